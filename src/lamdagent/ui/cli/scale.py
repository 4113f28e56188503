"""`scale`: the best pipelines on more data, or on another base model."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.ui.cli._options import SET_HELP
from lamdagent.ui.cli._output import write_outputs
from lamdagent.ui.cli._rerun import BEGUN_HELP, run_change


def scale(
    study: Path = typer.Argument(help=BEGUN_HELP),
    top: int = typer.Option(3, min=1, help="How many of the best pipelines by validation."),
    others: int = typer.Option(0, "--random", min=0, help="And so many other scored pipelines, drawn by the study's "
                               "seed: the best alone lie close together, and say little of whether an order holds."),
    data: str | None = typer.Option(None, "--data", help="Factors with commas, such as 2,4,6: every dataset so many times "
                                    "as large as its `limit` in the study."),
    model: list[str] = typer.Option([], "--model", help="Another base model, as NAME=PATH or NAME=HUB_ID, with the name "
                                    "it has in the study. Repeatable: all at once."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for scale.json, .md, .html and .png. "
                                   "Unset: runs/NAME.scale-data or -model."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it as one JSON object."),
) -> None:  # fmt: skip
    """Do the best pipelines again on more data, or on another base model, and say whether their order holds.

    Search cheaply, with few rows or a small model, then see with this command whether what was found is worth the full
    price. The answer is the rank agreement (Kendall's tau-b as measured, with the 95 % interval of that of the
    true scores), every pair that changed places beyond noise, and the smallest gap from which on none is reversed. Each
    factor or model is a study of its own in runs/NAME.scale-…, which `show` reads.
    """
    from lamdagent.core.plan import Plan, plan_data
    from lamdagent.results.rerun import load_state
    from lamdagent.results.scale_changes import chosen, data_changes, model_change
    from lamdagent.results.scaling import scaling
    from lamdagent.study.config import load_study
    from lamdagent.study.parts import StudyParts

    loaded = load_study(study, set_)
    state, factors = load_state(loaded), _factors(data)
    if not factors and not model:
        raise UserError(
            "nothing to scale: give --data 2,4,6 (more rows), --model NAME=PATH (another base model), or both."
        )
    picked = chosen(state, top, others)
    steps = plan_data(state, picked.values())
    plan = Plan.of(steps, str(study))
    more = data_changes(loaded, state, plan, factors) if factors else []
    changes = dict(zip((f"{k}x" for k in factors), more, strict=True))
    if model:
        change = model_change(loaded, plan, model)
        changes[", ".join(Path(path).name for path in change.models.values())] = change
    arms = {label: run_change(loaded, state, steps, change, label) for label, change in changes.items()}
    found = scaling(loaded.body.study, state, picked, top, arms, StudyParts(loaded).artifacts)
    kinds = "-".join([*(["data"] if factors else []), *(["model"] if model else [])])
    write_outputs(found, to or loaded.root / f"{loaded.body.study}.scale-{kinds}", "scale", as_json=as_json)


def _factors(given: str | None) -> list[int]:
    """Raises: UserError: not whole numbers of 2 or more."""
    if given is None:
        return []
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isdigit() and int(part) >= 2 for part in parts):
        raise UserError(
            f"--data {given}: give whole numbers with commas, each 2 or more (1x is the study), such as 2,4,6."
        )
    return sorted(set(map(int, parts)))
