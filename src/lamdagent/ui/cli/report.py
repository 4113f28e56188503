"""`report`: open the sealed test for the best models."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.ui.cli._options import FILE_HELP, SET_HELP
from lamdagent.ui.cli._output import write_outputs


def report(
    study: Path = typer.Argument(help=FILE_HELP),
    top: int = typer.Option(5, min=1, help="How many of the best models by validation."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for report.json, .md, .html and .png. "
                                   "Unset: the study's run folder."),
    as_json: bool = typer.Option(False, "--json", help="Print the report as one JSON object."),
) -> None:  # fmt: skip
    """Open the sealed test for the best models, and write what it says.

    Models that were tested before are not scored again. Every opening is counted in the journal: who chooses by the
    test has no test any more.
    """
    from lamdagent.results.rescore import tested_leaders
    from lamdagent.study.config import load_study

    loaded = load_study(study, set_)
    write_outputs(tested_leaders(loaded, top), to or loaded.folder, "report", as_json=as_json)
