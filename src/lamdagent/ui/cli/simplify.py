"""`simplify`: a shorter pipeline that is as good."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.ui.cli._options import SET_HELP, TRIAL_HELP
from lamdagent.ui.cli._output import write_outputs
from lamdagent.ui.cli._rerun import BEGUN_HELP, run_change


def simplify(
    study: Path = typer.Argument(help=BEGUN_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    trials: int = typer.Option(12, "--trials", min=1, help="How many shorter pipelines are made and scored at most."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for simplification.json, .md and .html. Unset: "
                                   "runs/NAME.simplify-TRIAL."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it as one JSON object."),
) -> None:  # fmt: skip
    """Drop steps and datasets of a trial's pipeline, one after another, while nothing is lost.

    Every shorter pipeline is made and scored in a derived study, the cheapest first. It takes the place of the pipeline
    unless it loses more than noise against the whole one: their difference on the same validation items, one-sided 95 %.
    It must break no guard that the whole one holds. The result is a trial of the derived study, like any other.
    """
    from collections.abc import Mapping
    from typing import Any

    from lamdagent.results.rerun import Rerun, StudyChange, load_state
    from lamdagent.results.simplification import simplified
    from lamdagent.study.config import load_study
    from lamdagent.study.parts import StudyParts
    from lamdagent.study.read import ReadStudy, made_model

    loaded = load_study(study, set_)
    name, state, parts = loaded.body.study, load_state(loaded), StudyParts(loaded)
    found = made_model(ReadStudy(name=name, folder=loaded.folder, home=loaded.home, state=state), trial)
    whole = found.choice.action.id
    change = StudyChange(label=f"simplify-{found.number}")
    derived = loaded.root / f"{name}.{change.label}"

    def remake(plan: Mapping[str, Any], label: str) -> Rerun:
        return run_change(loaded, state, plan, change, label, alone=False)

    try:
        result = simplified(name, str(derived), state, whole, parts.action_types, parts.artifacts, remake, trials)
    except LookupError as error:
        raise UserError(f"{state.pool[whole].name} could not be done again: {error}") from None
    write_outputs(result, to or derived, "simplification", as_json=as_json)
