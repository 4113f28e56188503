"""Commands that take results away or check them: `export`, `verify`."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lamdagent.cli.studies import STUDY_HELP, TRIAL_HELP, made_trial, read_study
from lamdagent.errors import UserError


def export(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    to: Path = typer.Option(..., "--to", help="A new or empty folder."),
) -> None:
    """Copy a trial's model as a plain Hugging Face folder, with its pipeline and a model card."""
    from lamdagent.export import export_model

    read = read_study(study)
    found = made_trial(read, trial)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is not empty. Give a new folder.")
    export_model(read.state, found, read.artifacts, to, study=read.name, home=read.home)
    typer.echo(f"trial {found.number} is in {to}: load it with AutoModelForCausalLM.from_pretrained({str(to)!r})")


def verify(
    study: Path = typer.Argument(help=STUDY_HELP),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead."),
) -> None:
    """Check every artifact and every score of a study against its id. Exits with 1 where something is wrong."""
    from lamdagent.verify import verify_study

    read = read_study(study)
    checked, problems = verify_study(read.state, read.artifacts, read.home)
    if as_json:
        typer.echo(json.dumps({"checked": checked, "problems": problems}, indent=2))
    else:
        typer.echo("\n".join(problems))
        typer.echo(f"{checked} objects and scores checked, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)
