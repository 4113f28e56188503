"""`run`: search for the best pipeline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from lamdagent.core.format import duration
from lamdagent.core.jobs import Progress
from lamdagent.core.protocols import Observer
from lamdagent.study.config import Study
from lamdagent.ui.cli._options import SET_HELP, dotted

LEADERS = 10
"""How many models a run ends with; `show` lists more."""


def run(
    context: typer.Context,
    study: Path = typer.Argument(help="The study file. Run it again to go on where it stopped."),
    trials: int | None = typer.Option(None, min=1, help="Stop after this many trials in all; as --set budget.trials=N."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything, look at what would be trained on "
                                 "in a worker of its own, and print what a run would do. Nothing is written or fetched."),
    plain: bool = typer.Option(False, "--plain", help="Plain lines, as where there is no terminal."),
    as_json: bool = typer.Option(False, "--json", help="Print the result (or the plan) as one JSON object."),
) -> None:  # fmt: skip
    """Search for the best pipeline, until the budget of the study file is used up.

    Values can also be overridden by dotted options: `--budget.hours 2`.
    """
    from lamdagent.study.config import load_study

    overrides = [*set_, *dotted(context.args), *([f"budget.trials={trials}"] if trials else [])]
    if dry_run:
        from lamdagent.ui.cli._output import show_result
        from lamdagent.ui.cli.dry_run import plan_of

        show_result(plan_of(load_study(study, overrides), watch=_say_progress), as_json=as_json)
        return
    _search(study, overrides, plain=plain, as_json=as_json)


def _search(file: Path, overrides: Sequence[str], *, plain: bool, as_json: bool) -> None:
    from lamdagent.results.by_hand import standing
    from lamdagent.results.leaderboard import leaderboard
    from lamdagent.study.config import load_study
    from lamdagent.study.read import ReadStudy
    from lamdagent.study.run import run_loaded
    from lamdagent.ui.cli._output import show_result

    study = load_study(file, overrides)
    state = run_loaded(study, observers=[display_of(study, plain=plain, as_json=as_json)])
    read = ReadStudy(name=study.body.study, folder=study.folder, home=study.home, state=state, file=file)
    found = leaderboard(read.name, state, read.artifacts, against_hand=standing(read))
    show_result(found, as_json=as_json, sections=found.sections(LEADERS))
    if not as_json:
        typer.echo(f"\nnext: lamdagent lineage {file}, or lamdagent export {file} best --to FOLDER")


def _say_progress(key: int | str, progress: Progress) -> None:
    """One line that is written over, on standard error."""
    left = progress.facts.get("seconds left")
    words = "" if left is None else f", about {duration(left)} left"
    typer.echo(f"\r\x1b[K{progress.phase} {progress.done}/{progress.total}{words} ", err=True, nl=False)
    if progress.done == progress.total:
        typer.echo("", err=True)


def display_of(study: Study, *, plain: bool, as_json: bool) -> Observer:
    """What shows a search as it goes: live on a terminal, else plain lines, on standard error beside JSON."""
    from lamdagent.study.parts import StudyParts
    from lamdagent.ui.terminal.plain import Plain
    from lamdagent.ui.terminal.progress import SearchProgress

    budget = StudyParts(study).budget
    progress_text = SearchProgress(budget, study.body.execution.workers)
    if as_json:
        return Plain(progress_text, out=sys.stderr)
    if plain or not sys.stdout.isatty():
        return Plain(progress_text)
    from lamdagent.ui.terminal.live import Live

    return Live(progress_text, budget)
