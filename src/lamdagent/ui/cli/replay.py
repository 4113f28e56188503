"""`replay`: an exported pipeline made again from nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from lamdagent.core.budget import Budget
from lamdagent.core.errors import UserError
from lamdagent.study.config import Study
from lamdagent.ui.cli._output import show_result
from lamdagent.ui.cli._rerun import progress_of, say_how_to_retry


def replay(
    pipeline: Path = typer.Argument(help="A pipeline.yaml, or the folder that `export` wrote it to."),
    to: Path = typer.Option(..., "--to", help="A new folder: the model comes to DIR/model, the work to DIR/runs. Run the "
                            "command again to go on where it stopped."),
    set_: list[str] = typer.Option([], "--set", help="Where something lies here, or how it is run: such as "
                                   "`datasets.math.path=rows.jsonl`, `models.base.path=…`, `execution.device=cpu`. "
                                   "Repeatable."),
    anyway: bool = typer.Option(False, "--anyway", help="Go on although models or datasets are not what was exported."),
    as_json: bool = typer.Option(False, "--json", help="Print the outcome as one JSON object."),
) -> None:  # fmt: skip
    """Make an exported pipeline again from nothing, and say whether its weights are the same, bit by bit.

    `pipeline.yaml` has all that it takes but the rows and the models it starts from; their local paths start from its
    folder. What is found there must have the content that was exported. Where the weights differ, the versions and the
    kind of machine that differ are named. Exits with 1 where the weights are not the same.
    """
    from lamdagent.core.plan import Plan
    from lamdagent.results.export.huggingface import export_model
    from lamdagent.results.export.pipeline_file import read_recipe, strangers
    from lamdagent.results.export.replayed import replay_outcome
    from lamdagent.results.rerun import write_plan
    from lamdagent.study.initial_pool import load_pool
    from lamdagent.study.parts import StudyParts
    from lamdagent.study.run import run_plan

    recipe = read_recipe(pipeline)
    study, study_file = _remade(recipe, pipeline, to, set_)
    strange = strangers(recipe, load_pool(study, {}).objects)
    if strange and not anyway:
        raise UserError(
            f"{pipeline}: this is not what was exported:\n" + "\n".join(f"  {line}" for line in strange) + "\n"
            "Say where it lies (--set datasets.NAME.path=…, --set models.NAME.path=…), or make another model with --anyway."
        )
    write_plan(recipe, to / "pipeline.yaml")
    write_plan(study_file, study.file)
    plan = Plan.of(recipe, str(pipeline))
    state, followed = run_plan(study, plan, observers=[progress_of(study, Budget(trials=len(plan.steps)))])
    say_how_to_retry(followed, study)
    artifacts = StudyParts(study).artifacts
    made = state.trial_of(followed.ids.get(recipe["result"], ""))
    if made is not None and not (to / "model" / "README.md").exists():
        export_model(state, made, artifacts, to / "model", study=to.name, home=study.home)
    model = None if made is None else str(to / "model")
    found = replay_outcome(recipe, strange, followed, artifacts, model=model)
    show_result(found, as_json=as_json)
    if not found.identical:
        raise typer.Exit(1)


def _remade(recipe: Mapping[str, Any], pipeline: Path, to: Path, overrides: list[str]) -> tuple[Study, dict[str, Any]]:
    """The study that makes a recipe again in a folder, and its data. Nothing is written.

    Raises:
        UserError: the folder holds something else, or an override is not for a replay.
    """
    from lamdagent.results.export.pipeline_file import study_data
    from lamdagent.study.config import Document
    from lamdagent.study.config.schema import study_of

    data = study_data(recipe, (pipeline if pipeline.is_dir() else pipeline.parent).resolve(), overrides)
    file = to / "study.yaml"
    taken = to.exists() and (not to.is_dir() or any(to.iterdir()))
    if taken and (not file.is_file() or Document(file).data != data):
        raise UserError(f"{to} is not empty and holds no replay of {pipeline} with these --set. Give a new folder.")
    return study_of(Document.of(file, data)), data
