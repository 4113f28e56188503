"""`validation-size`: how many items would be enough."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.ui.cli._options import FILE_HELP, SET_HELP
from lamdagent.ui.plots import draw_validation_size


def validation_size(
    study: Path = typer.Argument(help=FILE_HELP),
    sizes: str = typer.Option("50,100,200,500,1000", help="Items per task, with commas."),
    top: int = typer.Option(10, min=3, help="How many of the best models."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    plot: Path | None = typer.Option(None, "--plot", help="Draw it to a .png or .svg file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead."),
) -> None:
    """How many validation items would rank the best models of this study reliably.

    Stored items are drawn again and again; where a size needs more items than are stored, more are asked first, as far
    as the tasks have them.
    """
    from lamdagent.results.rescore import size_table
    from lamdagent.study.config import load_study

    try:
        wanted = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        wanted = []
    if not wanted or wanted[0] < 2:
        raise UserError(f"--sizes {sizes}: give numbers of items with commas, each 2 or more, such as 100,500,1000.")
    data = size_table(load_study(study, set_), wanted, top)
    if plot is not None:
        draw_validation_size(data, plot)
    if as_json:
        typer.echo(json.dumps(data, indent=2))
        return
    typer.echo("items per task   rank agreement (95 %)     the best is first")
    for row in data["sizes"]:
        typer.echo(
            f"{row['size']:14}   {row['tau']:.2f} ({row['tau_low']:.2f} to {row['tau_high']:.2f})"
            f"{row['best_first']:18.0%}"
        )
    typer.echo(data["advice"])
