"""`export`: a made model as a plain Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.study.read import made_model, read_study
from lamdagent.ui.cli._options import STUDY_HELP, TRIAL_HELP


def export(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    to: Path = typer.Option(..., "--to", help="A new or empty folder."),
) -> None:
    """Copy a trial's model as a plain Hugging Face folder, with its pipeline and a model card."""
    from lamdagent.results.export.huggingface import export_model

    read = read_study(study)
    found = made_model(read, trial)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is not empty. Give a new folder.")
    export_model(read.state, found, read.artifacts, to, study=read.name, home=read.home)
    typer.echo(f"trial {found.number} is in {to}: load it with AutoModelForCausalLM.from_pretrained({str(to)!r})")
