"""`verify`: every artifact and score against its id."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.study.read import read_study
from lamdagent.ui.cli._options import STUDY_HELP
from lamdagent.ui.cli._output import show_result


def verify(
    study: Path = typer.Argument(help=STUDY_HELP),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead."),
) -> None:
    """Check every artifact and every score of a study against its id. Exits with 1 where something is wrong."""
    from lamdagent.results.verify import verify_study

    read = read_study(study)
    found = verify_study(read.name, read.state, read.artifacts, read.home)
    show_result(found, as_json=as_json)
    if found.problems:
        raise typer.Exit(1)
