"""Commands that judge a search when it is over: `report`, `validation-size`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from lamdagent.cli.begin import SET_HELP
from lamdagent.errors import UserError

FILE_HELP = "The study file."


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
    from lamdagent.cli.scoring import tested_leaders
    from lamdagent.config import load_study
    from lamdagent.report.markdown import markdown, ranking, summary, table
    from lamdagent.report.page import page

    loaded = load_study(study, set_)
    data = tested_leaders(loaded, top)
    folder = to or loaded.folder
    folder.mkdir(parents=True, exist_ok=True)
    written = {"report.md": markdown(data), "report.json": json.dumps(data, indent=2), "report.html": page(data)}
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    typer.echo(json.dumps(data, indent=2) if as_json else f"{summary(data)}\n\n{table(ranking(data))}")
    print(f"\nwritten: {', '.join(str(folder / name) for name in written)}", file=sys.stderr)


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
    from lamdagent.cli.scoring import size_table
    from lamdagent.config import load_study

    try:
        wanted = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        wanted = []
    if not wanted or wanted[0] < 2:
        raise UserError(f"--sizes {sizes}: give numbers of items with commas, each 2 or more, such as 100,500,1000.")
    data = size_table(load_study(study, set_), wanted, top)
    if plot is not None:
        _draw(data, plot)
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


def _draw(data: dict[str, Any], file: Path) -> None:
    from matplotlib.figure import Figure

    rows, figure = data["sizes"], Figure(figsize=(7, 3.6), layout="constrained")
    axes, sizes = figure.subplots(), [row["size"] for row in data["sizes"]]
    low, high = [row["tau_low"] for row in rows], [row["tau_high"] for row in rows]
    axes.fill_between(sizes, low, high, alpha=0.2, label="95 %")
    axes.plot(sizes, [row["tau"] for row in rows], "o-", label="rank agreement (tau-b)")
    axes.plot(sizes, [row["best_first"] for row in rows], "s--", label="the best is first")
    axes.set(xscale="log", xlabel="validation items per task", ylim=(-0.05, 1.05))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.legend(frameon=False)
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:  # no such folder, or an ending that is no picture's
        raise UserError(f"--plot {file}: {error}. Give a .png or .svg file in a folder that exists.") from error
