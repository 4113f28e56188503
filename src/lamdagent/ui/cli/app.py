"""The commands, in the order in which they are used."""

from __future__ import annotations

import typer

from lamdagent.ui.cli import compare, export, report, run, scale, show
from lamdagent.ui.cli.actions import actions
from lamdagent.ui.cli.attribute import attribute
from lamdagent.ui.cli.by_hand import by_hand
from lamdagent.ui.cli.doctor import doctor
from lamdagent.ui.cli.init import init
from lamdagent.ui.cli.lineage import lineage
from lamdagent.ui.cli.plugins import Commands
from lamdagent.ui.cli.repeat import repeat
from lamdagent.ui.cli.replay import replay
from lamdagent.ui.cli.score import score
from lamdagent.ui.cli.simplify import simplify
from lamdagent.ui.cli.validation_size import validation_size
from lamdagent.ui.cli.verify import verify

app = typer.Typer(
    name="lamdagent",
    cls=Commands,
    help="Find the best post-training pipeline for a language model.\n\n"
    "A study file names models, datasets, actions and tasks. `run` searches: it trains and merges models, scores each "
    "one, and goes on from what worked. Kill it at any time; the same command goes on.\n\n"
    "New here? `lamdagent init --template tiny demo`, then `lamdagent run demo/study.yaml`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("init")(init)
app.command("actions")(actions)
app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run.run)
app.command("show")(show.show)
app.command("lineage")(lineage)
app.command("compare", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(compare.compare)
app.command("by-hand", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(by_hand)
app.command("score")(score)
app.command("report")(report.report)
app.command("validation-size")(validation_size)
app.command("scale")(scale.scale)
app.command("attribute")(attribute)
app.command("simplify")(simplify)
app.command("repeat")(repeat)
app.command("export")(export.export)
app.command("replay")(replay)
app.command("verify")(verify)
app.command("doctor")(doctor)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True)) -> None:
    if version:
        from lamdagent import __version__

        typer.echo(f"lamdagent {__version__}")
        raise typer.Exit
