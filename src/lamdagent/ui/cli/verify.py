"""`verify`: every artifact and score against its id."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.study.read import folder_of, read_study
from lamdagent.ui.cli._options import STUDY_HELP
from lamdagent.ui.cli._output import show_result


def verify(
    study: Path = typer.Argument(help=STUDY_HELP),
    mend: bool = typer.Option(
        False,
        "--mend",
        help="Where the journal is damaged: keep the events before the first damaged one, and the damaged file beside. "
        "What came after is done again by the next run, whose models are found where they still are.",
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead."),
) -> None:
    """Check the journal of a study, and every artifact and every score against its id. Exits with 1 where something is
    wrong."""
    from lamdagent.results.verify import verify_study

    if mend:
        from lamdagent.study.journal import mend_journal

        kept, aside = mend_journal(folder_of(study))
        typer.echo(f"{kept} events kept; the damaged journal is now {aside}", err=True)
    read = read_study(study)
    found = verify_study(read.name, read.state, read.artifacts, read.home)
    show_result(found, as_json=as_json)
    if found.problems:
        raise typer.Exit(1)
