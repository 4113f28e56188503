"""`export`: a made model as a plain Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.study.config import load_study
from lamdagent.study.read import made_model, read_study
from lamdagent.ui.cli._options import STUDY_HELP, TRIAL_HELP


def export(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    to: Path = typer.Option(..., "--to", help="A new or empty folder."),
) -> None:
    """Copy a trial's model as a plain Hugging Face folder, with its pipeline and a model card. Weights that were deleted or
    damaged are made again first."""
    from lamdagent.results.export.huggingface import export_model
    from lamdagent.results.rescore import make_again

    read = read_study(study)
    found = made_model(read, trial)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is not empty. Give a new folder.")
    if damaged := read.artifacts.damaged(found.choice.action.id):
        if read.file is None:
            raise UserError("\n".join([*damaged, "Give the study file, not its folder, and it is made again."]))
        make_again(load_study(read.file), found)
    export_model(read.state, found, read.artifacts, to, study=read.name, home=read.home)
    typer.echo(f"trial {found.number} is in {to}: load it with AutoModelForCausalLM.from_pretrained({str(to)!r})")
