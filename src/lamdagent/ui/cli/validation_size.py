"""`validation-size`: how many items would be enough."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.ui.cli._options import FILE_HELP, SET_HELP
from lamdagent.ui.cli._output import show_result


def validation_size(
    study: Path = typer.Argument(help=FILE_HELP),
    sizes: str = typer.Option("50,100,200,500,1000", help="Items per task, with commas."),
    top: int = typer.Option(10, min=3, help="How many of the best models."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    plot: Path | None = typer.Option(None, "--plot", help="Draw it to a .png or .svg file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead."),
) -> None:
    """How many validation items would rank the best models of this study reliably.

    What the true scores may be is taken from all models' items, luck accounted for, and scored again on sets of each
    size; where the items cannot tell the best, this is said. Where a size needs more items than are stored, more are
    asked first, as far as the tasks have them.
    """
    from lamdagent.results.rescore import measured_sizes
    from lamdagent.results.result import pictures
    from lamdagent.study.config import load_study

    try:
        wanted = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        wanted = []
    if not wanted or wanted[0] < 2:
        raise UserError(f"--sizes {sizes}: give numbers of items with commas, each 2 or more, such as 100,500,1000.")
    found = measured_sizes(load_study(study, set_), wanted, top)
    if plot is not None:
        from lamdagent.ui.plots import save

        save(pictures(found.sections())[0], plot)
    show_result(found, as_json=as_json)
