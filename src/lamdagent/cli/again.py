"""Commands that do pipelines again: `scale`, `attribute`, `replay`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from lamdagent.cli.begin import SET_HELP
from lamdagent.cli.handover import hand_over
from lamdagent.cli.studies import TRIAL_HELP
from lamdagent.config import Study
from lamdagent.errors import UserError

FILE_HELP = "The study file of a search that has begun. Run the command again to go on where it stopped."


def scale(
    study: Path = typer.Argument(help=FILE_HELP),
    top: int = typer.Option(3, min=1, help="How many of the best pipelines by validation."),
    others: int = typer.Option(0, "--random", min=0, help="And so many other scored pipelines, drawn by the study's "
                               "seed: the best alone lie close together, and say little of whether an order holds."),
    data: str | None = typer.Option(None, "--data", help="Factors with commas, such as 2,4,6: every dataset so many times "
                                    "as large as its `limit` in the study."),
    model: list[str] = typer.Option([], "--model", help="Another base model, as NAME=PATH or NAME=HUB_ID, with the name "
                                    "it has in the study. Repeatable: all at once."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for scale.json, .png and .html. "
                                   "Unset: runs/NAME.scale-data or -model."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it as one JSON object."),
) -> None:  # fmt: skip
    """Do the best pipelines again on more data, or on another base model, and say whether their order holds.

    Search cheaply, with few rows or a small model, then see with this command whether what was found is worth the full
    price. The answer is the rank agreement (Kendall's tau-b, 95 % over items), every pair that changed places, and the
    smallest gap from which on none did. Each factor or model is a study of its own in runs/NAME.scale-…, which `show`
    reads.
    """
    from lamdagent import build
    from lamdagent.cli.drawn import draw_scale, scale_table
    from lamdagent.config import load_study
    from lamdagent.derived import begun
    from lamdagent.plan import Plan, plan_data
    from lamdagent.scaling import chosen, data_changes, model_change, scale_data

    loaded = load_study(study, set_)
    state, factors = begun(loaded), _factors(data)
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
    arms = {label: _done(loaded, state, steps, change, label) for label, change in changes.items()}
    found = scale_data(loaded.body.study, state, picked, top, arms, build.artifacts(loaded))
    kinds = "-".join([*(["data"] if factors else []), *(["model"] if model else [])])
    hand_over(
        found, to or loaded.root / f"{loaded.body.study}.scale-{kinds}", "scale", draw_scale, scale_table, as_json
    )


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


def _done(study: Study, state: Any, steps: Mapping[str, Any], change: Any, label: str) -> tuple[str, Any, Any]:
    """A derived study run to its end: its name, its state, and where the plan stands."""
    from lamdagent.derived import derive
    from lamdagent.driver import run_plan
    from lamdagent.plan import Plan

    derived, plan = derive(study, state, steps, change), Plan.of(steps, str(study.file))
    print(f"{label}: {len(plan.steps)} steps, in {derived.folder}", file=sys.stderr, flush=True)
    done, followed = run_plan(derived, plan, display=_progress(derived, plan))
    _say_how_to_retry(followed, derived)
    return derived.body.study, done, followed


def _say_how_to_retry(followed: Any, study: Study) -> None:
    if followed.lost:
        print(
            f"{len(followed.lost)} of the steps were not done. A study does nothing that failed again: to try anew, delete "
            f"{study.folder} (what was made is kept beside it) and run the command again.",
            file=sys.stderr,
        )


def _progress(study: Study, plan: Any) -> Any:
    from lamdagent.display.outlook import Outlook
    from lamdagent.display.plain import Plain
    from lamdagent.types import Budget

    return Plain(Outlook(Budget(trials=len(plan.steps)), study.body.execution.workers), out=sys.stderr)


def attribute(
    study: Path = typer.Argument(help=FILE_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for attribution.json, .png and .html. Unset: "
                                   "runs/NAME.attribute-TRIAL."),
    as_json: bool = typer.Option(False, "--json", help="Print all of it, by task too, as one JSON object."),
) -> None:  # fmt: skip
    """Say what each step of a trial's pipeline is worth, by doing the pipeline without it.

    A step's worth is the objective of the whole pipeline less that without the step, on the same items, with its 95 %
    interval. Steps can need each other, so worths do not add up. Without a training step, what took its model takes its
    input instead. Without a merge, the best-scoring of the merged models stands in its place. A later merge that cannot
    take what is left of a branch is done without the branch; where one model is left, that model stands in its place.
    """
    from lamdagent import build
    from lamdagent.attribution import attribution, variants
    from lamdagent.cli.drawn import attribution_table, draw_attribution
    from lamdagent.cli.studies import ReadStudy, made_trial
    from lamdagent.config import load_study
    from lamdagent.derived import Change, begun
    from lamdagent.pipeline import pipeline_of
    from lamdagent.plan import plan_data

    loaded = load_study(study, set_)
    name, state = loaded.body.study, begun(loaded)
    found = made_trial(ReadStudy(name=name, folder=loaded.folder, home=loaded.home, state=state), trial)
    whole = pipeline_of(state, found.choice.action.id)
    without = variants(whole, state, build.action_types(loaded))
    steps = plan_data(state, [whole, *(v.pipeline for v in without if v.pipeline is not None)])
    change = Change(label=f"attribute-{found.number}")
    _, replay, followed = _done(
        loaded, state, steps, change, f"{whole.object.name}, {len(without)} times without a step"
    )
    data = {"study": name, **attribution(whole, without, state, (steps, replay, followed), build.artifacts(loaded))}
    folder = to or loaded.root / f"{name}.{change.label}"
    hand_over(data, folder, "attribution", draw_attribution, attribution_table, as_json)


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
    from lamdagent import build
    from lamdagent.cli.drawn import outcome_text
    from lamdagent.derived import write_plan
    from lamdagent.driver import run_plan
    from lamdagent.export import export_model
    from lamdagent.intake import bring
    from lamdagent.plan import Plan
    from lamdagent.recipe import outcome, read_recipe, strangers

    recipe = read_recipe(pipeline)
    study, study_file = _remade(recipe, pipeline, to, set_)
    strange = strangers(recipe, bring(study, {}).objects)
    if strange and not anyway:
        raise UserError(
            f"{pipeline}: this is not what was exported:\n" + "\n".join(f"  {line}" for line in strange) + "\n"
            "Say where it lies (--set datasets.NAME.path=…, --set models.NAME.path=…), or make another model with --anyway."
        )
    write_plan(recipe, to / "pipeline.yaml")
    write_plan(study_file, study.file)
    plan = Plan.of(recipe, str(pipeline))
    state, followed = run_plan(study, plan, display=_progress(study, plan))
    _say_how_to_retry(followed, study)
    data = outcome(recipe, strange, state, followed, build.artifacts(study))
    made = state.trial_of(followed.ids.get(recipe["result"], ""))
    if made is not None and not (to / "model" / "README.md").exists():
        export_model(state, made, build.artifacts(study), to / "model", study=to.name, home=study.home)
    data["model"] = None if made is None else str(to / "model")
    typer.echo(json.dumps(data, indent=2) if as_json else outcome_text(data))
    if not data["identical"]:
        raise typer.Exit(1)


def _remade(recipe: Mapping[str, Any], pipeline: Path, to: Path, overrides: list[str]) -> tuple[Study, dict[str, Any]]:
    """The study that makes a recipe again in a folder, and its data. Nothing is written.

    Raises:
        UserError: the folder holds something else, or an override is not for a replay.
    """
    from lamdagent.config import Document
    from lamdagent.config.study import study_of
    from lamdagent.recipe import study_data

    data = study_data(recipe, (pipeline if pipeline.is_dir() else pipeline.parent).resolve(), overrides)
    file = to / "study.yaml"
    taken = to.exists() and (not to.is_dir() or any(to.iterdir()))
    if taken and (not file.is_file() or Document(file).data != data):
        raise UserError(f"{to} is not empty and holds no replay of {pipeline} with these --set. Give a new folder.")
    return study_of(Document.of(file, data)), data
