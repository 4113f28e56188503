"""`report`: open the sealed test for the best models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from lamdagent.ui.cli._options import FILE_HELP, SET_HELP


def report(
    study: Path = typer.Argument(help=FILE_HELP),
    top: int = typer.Option(5, min=1, help="How many of the best models by validation."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    to: Path | None = typer.Option(None, "--to", help="Folder for report.md, report.json and report.html. "
                                   "Unset: the study's run folder."),
    as_json: bool = typer.Option(False, "--json", help="Print the report as one JSON object."),
) -> None:  # fmt: skip
    """Open the sealed test for the best models, and write what it says.

    Models that were tested before are not scored again. Every opening is counted in the journal: who chooses by the
    test has no test any more.
    """
    from lamdagent.results.rescore import tested_leaders
    from lamdagent.study.config import load_study
    from lamdagent.ui.report.html import page
    from lamdagent.ui.report.markdown import markdown, markdown_table, ranking, summary

    loaded = load_study(study, set_)
    data = tested_leaders(loaded, top)
    folder = to or loaded.folder
    folder.mkdir(parents=True, exist_ok=True)
    written = {"report.md": markdown(data), "report.json": json.dumps(data, indent=2), "report.html": page(data)}
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    typer.echo(json.dumps(data, indent=2) if as_json else f"{summary(data)}\n\n{markdown_table(ranking(data))}")
    print(f"\nwritten: {', '.join(str(folder / name) for name in written)}", file=sys.stderr)
