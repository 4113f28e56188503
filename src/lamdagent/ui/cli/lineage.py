"""`lineage`: the pipeline that made a model, as a tree."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.results.lineage import lineage_of
from lamdagent.study.read import made_trial, read_study
from lamdagent.ui.cli._options import JSON_HELP, STUDY_HELP, TRIAL_HELP
from lamdagent.ui.cli._output import show_result


def lineage(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    as_json: bool = typer.Option(False, "--json", help=JSON_HELP),
) -> None:
    """Draw the pipeline that made a trial's model, back to the base model."""
    read = read_study(study)
    show_result(lineage_of(read.state, made_trial(read, trial).choice.action.id), as_json=as_json)
