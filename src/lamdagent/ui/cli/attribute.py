"""`attribute`: what each step of a pipeline is worth."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.ui.cli._options import SET_HELP, TRIAL_HELP
from lamdagent.ui.cli._output import write_outputs
from lamdagent.ui.cli._rerun import BEGUN_HELP, run_change


def attribute(
    study: Path = typer.Argument(help=BEGUN_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for attribution.json, .md, .html and .png. Unset: "
                                   "runs/NAME.attribute-TRIAL."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it, by task too, as one JSON object."),
) -> None:  # fmt: skip
    """Say what each step of a trial's pipeline is worth, by doing the pipeline without it; of a step that mixes datasets
    also what each dataset is worth in it.

    A step's worth is the objective of the whole pipeline less that without the step, on the same items, with its 95 %
    interval. Steps can need each other, so worths do not add up. Without a training step, what took its model takes its
    input instead. Without a merge, the best-scoring of the merged models stands in its place. A later merge that cannot
    take what is left of a branch is done without the branch; where one model is left, that model stands in its place.

    All is over validation items, less the luck of having been picked by these; or over those of the sealed test where
    `report` opened it for the pipeline before. The result says which.
    """
    from lamdagent.core.pipeline import pipeline_of
    from lamdagent.core.plan import plan_data
    from lamdagent.results.attribution import attribution, remade
    from lamdagent.results.rerun import StudyChange, derive_study, load_state
    from lamdagent.results.rescore import tested_again
    from lamdagent.results.variants import variants
    from lamdagent.study.config import load_study
    from lamdagent.study.parts import StudyParts
    from lamdagent.study.read import ReadStudy, made_model

    loaded = load_study(study, set_)
    name, state = loaded.body.study, load_state(loaded)
    found = made_model(ReadStudy(name=name, folder=loaded.folder, home=loaded.home, state=state), trial)
    whole = pipeline_of(state, found.choice.action.id)
    without = variants(whole, state, StudyParts(loaded).action_types)
    steps = plan_data(state, [whole, *(v.pipeline for v in without if v.pipeline is not None)])
    change = StudyChange(label=f"attribute-{found.number}")
    done = run_change(
        loaded, state, steps, change, f"{whole.object.name}, {len(without)} times without a step or a dataset"
    )
    derived = derive_study(loaded, state, steps, change)
    tested = tested_again(loaded, whole.object.id, derived, remade(whole, without, steps, done))
    result = attribution(name, whole, without, state, steps, done, StudyParts(loaded).artifacts, tested)
    write_outputs(result, to or loaded.root / f"{name}.{change.label}", "attribution", as_json=as_json)
