"""The commands, in the order in which they are used."""

from __future__ import annotations

import typer

from lamdagent.cli import again, begin, judge, look, take, versus

app = typer.Typer(
    name="lamdagent",
    help="Find the best post-training pipeline for a language model.\n\n"
    "A study file names models, datasets, actions and tasks. `run` searches: it trains and merges models, scores each "
    "one, and goes on from what worked. Kill it at any time; the same command goes on.\n\n"
    "New here? `lamdagent init --template tiny demo`, then `lamdagent run demo/study.yaml`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("init")(begin.init)
app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(begin.run)
app.command("show")(look.show)
app.command("lineage")(look.lineage)
app.command("compare", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(versus.compare)
app.command("report")(judge.report)
app.command("validation-size")(judge.validation_size)
app.command("scale")(again.scale)
app.command("attribute")(again.attribute)
app.command("export")(take.export)
app.command("replay")(again.replay)
app.command("verify")(take.verify)
app.command("doctor")(begin.doctor)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.", is_eager=True)) -> None:
    if version:
        from lamdagent import __version__

        typer.echo(f"lamdagent {__version__}")
        raise typer.Exit
