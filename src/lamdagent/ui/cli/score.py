"""`score`: models from elsewhere, by the study's tasks."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.ui.cli._options import JSON_HELP, SET_HELP
from lamdagent.ui.cli._output import show_result
from lamdagent.ui.cli._rerun import BEGUN_HELP


def score(
    study: Path = typer.Argument(help=BEGUN_HELP),
    models: list[str] = typer.Argument(help="Hugging Face folders, or hub ids such as HuggingFaceTB/SmolLM2-135M."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    as_json: bool = typer.Option(False, "--json", help=JSON_HELP),
) -> None:
    """Score models from elsewhere by the tasks of a study, to compare with: no search ever chooses from them.

    They are scored on the validation items, once; `show` lists them apart, with what the best model found has more, paired
    on the same items. The sealed test stays closed.
    """
    from lamdagent.results.references import score_references
    from lamdagent.study.config import load_study

    show_result(score_references(load_study(study, set_), models), as_json=as_json)
