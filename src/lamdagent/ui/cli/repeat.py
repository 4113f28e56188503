"""`repeat`: a pipeline with other training seeds."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.ui.cli._options import SET_HELP, TRIAL_HELP
from lamdagent.ui.cli._output import write_outputs
from lamdagent.ui.cli._rerun import BEGUN_HELP, run_change


def repeat(
    study: Path = typer.Argument(help=BEGUN_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    seeds: int = typer.Option(3, "--seeds", min=1, help="How many other seeds: those after the study's own."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for repetition.json, .md and .html. Unset: "
                                   "runs/NAME.repeat-TRIAL."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it as one JSON object."),
) -> None:  # fmt: skip
    """Make a trial's pipeline again with other training seeds, and give the spread of its score over them.

    The error of a score covers the draw of the items; this is the part that comes from the seed of training: the order of
    the rows, dropout, new adapters. Each seed is a derived study, runs/NAME.repeat-TRIAL-seed-SEED. `show STUDY TRIAL`
    and `report` show the spread from then on.
    """
    from lamdagent.core.pipeline import pipeline_of
    from lamdagent.core.plan import plan_data
    from lamdagent.results.recommendation import pipeline_cost
    from lamdagent.results.repetition import label_of, repetition
    from lamdagent.results.rerun import StudyChange, load_state
    from lamdagent.study.config import load_study
    from lamdagent.study.read import ReadStudy, made_model

    loaded = load_study(study, set_)
    name, state = loaded.body.study, load_state(loaded)
    found = made_model(ReadStudy(name=name, folder=loaded.folder, home=loaded.home, state=state), trial)
    whole = pipeline_of(state, found.choice.action.id)
    if pipeline_cost(state, whole.object.id).rows == 0:
        raise UserError(f"the pipeline of {whole.object.name} trains on nothing, so no seed changes it.")
    plan = plan_data(state, [whole])
    for seed in range(state.seed + 1, state.seed + 1 + seeds):
        change = StudyChange(label=label_of(found, seed), seed=seed)
        run_change(loaded, state, plan, change, f"{whole.object.name} with seed {seed}")
    result = repetition(name, state, found, loaded.folder)
    assert result is not None
    write_outputs(result, to or loaded.root / f"{name}.repeat-{found.number}", "repetition", as_json=as_json)
