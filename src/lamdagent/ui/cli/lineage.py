"""`lineage`: the pipeline that made a model, as a tree."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lamdagent.core.pipeline import node_label, pipeline_of, render, to_data
from lamdagent.study.read import made_trial, read_study
from lamdagent.ui.cli._options import JSON_HELP, STUDY_HELP, TRIAL_HELP


def lineage(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    as_json: bool = typer.Option(False, "--json", help=JSON_HELP),
) -> None:
    """Draw the pipeline that made a trial's model, back to the base model."""
    read = read_study(study)
    pipeline = pipeline_of(read.state, made_trial(read, trial).choice.action.id)
    if as_json:
        typer.echo(json.dumps(to_data(pipeline), indent=2, ensure_ascii=False))
    else:
        typer.echo(render(pipeline, lambda node: node_label(read.state, node)))
