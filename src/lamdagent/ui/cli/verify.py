"""`verify`: every artifact and score against its id."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lamdagent.study.read import read_study
from lamdagent.ui.cli._options import STUDY_HELP


def verify(
    study: Path = typer.Argument(help=STUDY_HELP),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead."),
) -> None:
    """Check every artifact and every score of a study against its id. Exits with 1 where something is wrong."""
    from lamdagent.results.verify import verify_study

    read = read_study(study)
    checked, problems = verify_study(read.state, read.artifacts, read.home)
    if as_json:
        typer.echo(json.dumps({"checked": checked, "problems": problems}, indent=2))
    else:
        typer.echo("\n".join(problems))
        typer.echo(f"{checked} objects and scores checked, {len(problems)} problems")
    if problems:
        raise typer.Exit(1)
