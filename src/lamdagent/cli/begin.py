"""Commands that begin: `init`, `run`, `doctor`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import typer

from lamdagent.errors import UserError, nearest

SET_HELP = (
    "Override a value of the study file, such as `budget.trials=50` or `datasets.math.path=x.jsonl`; "
    "`-actions.ties` takes a key out. Repeatable."
)


class Template(StrEnum):
    """The studies that `init` can write."""

    tiny = "tiny"
    smollm2 = "smollm2"
    paper = "paper"


def init(
    folder: Path = typer.Argument(help="A new or empty folder."),
    template: Template = typer.Option(Template.tiny, help="tiny: a CPU, minutes, nothing fetched. smollm2: a real "
                                      "135M model and real data. paper: Gemma-2-2B as in the paper, for a GPU."),
    seed: int = typer.Option(0, min=0, help="Seed of the tiny world."),
    width: int = typer.Option(96, min=24, help="Width of the tiny world's model, a multiple of 24: 96 has 0.45 M "
                              "parameters, 192 four times as many."),
) -> None:  # fmt: skip
    """Write a study to start from."""
    from rich.progress import Progress

    from lamdagent.templates import write_template

    if width % 24:
        raise UserError(f"--width {width}: give a multiple of 24, such as 96 or 192.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is not empty. Give a new folder, or run what is there: lamdagent run {folder}/study.yaml"
        )
    with Progress(disable=template is not Template.tiny) as bar:
        os.environ.setdefault("TQDM_DISABLE", "1")
        pretraining = bar.add_task("pretraining a tiny language model", total=None)
        write_template(
            template.value,
            folder,
            seed=seed,
            width=width,
            report=lambda done, total: bar.update(pretraining, completed=done, total=total),
        )
    typer.echo(f"wrote {folder}/study.yaml; next: lamdagent run {folder}/study.yaml")


def run(
    context: typer.Context,
    study: Path = typer.Argument(help="The study file. Run it again to go on where it stopped."),
    trials: int | None = typer.Option(None, min=1, help="Stop after this many trials in all; as --set budget.trials=N."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check everything and print what a run would do. "
                                 "Nothing is written, fetched or started."),
    plain: bool = typer.Option(False, "--plain", help="Plain lines, as where there is no terminal."),
    as_json: bool = typer.Option(False, "--json", help="Print the result (or the plan) as one JSON object."),
) -> None:  # fmt: skip
    """Search for the best pipeline, until the budget of the study file is used up.

    Values can also be overridden by dotted options: `--budget.hours 2`.
    """
    from lamdagent.config import load_study

    overrides = [*set_, *dotted(context.args), *([f"budget.trials={trials}"] if trials else [])]
    if dry_run:
        from lamdagent.cli.plan import print_plan

        print_plan(load_study(study, overrides), as_json=as_json)
        return
    _search(study, overrides, plain=plain, as_json=as_json)


def dotted(args: Sequence[str]) -> list[str]:
    """`--policy.kind agent` and `--policy.kind=agent` as overrides.

    Raises:
        UserError: anything else that no option takes.
    """
    overrides, rest = [], list(args)
    while rest:
        arg = rest.pop(0)
        key, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or "." not in key or (not equals and not rest):
            known = ("--trials", "--set", "--dry-run", "--plain", "--json", "--help")
            raise UserError(
                f"{arg}: no such option, or its value is missing. {nearest(arg, known)} Or --KEY.KEY VALUE."
            )
        overrides.append(f"{key}={value if equals else rest.pop(0)}")
    return overrides


def doctor(as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead.")) -> None:
    """Check this machine: versions, device, memory, disk and hub access. Exits with 1 where something must be mended."""
    from lamdagent.cli.health import checks

    found = checks(Path.cwd())
    if as_json:
        typer.echo(json.dumps([{"check": c.name, "status": c.status, "found": c.found} for c in found], indent=2))
    else:
        for check in found:
            typer.echo(f"{check.status:5} {check.name}: {check.found}")
    if any(check.status == "FAIL" for check in found):
        raise typer.Exit(1)


def _search(file: Path, overrides: Sequence[str], *, plain: bool, as_json: bool) -> None:
    from lamdagent import build
    from lamdagent.cli.look import print_leaderboard, study_data
    from lamdagent.cli.studies import read_study
    from lamdagent.config import load_study
    from lamdagent.display.outlook import Outlook
    from lamdagent.display.plain import Plain
    from lamdagent.driver import run_loaded
    from lamdagent.protocols import Display

    study = load_study(file, overrides)
    budget = build.budget(study)
    outlook = Outlook(budget, study.body.execution.workers)
    display: Display
    if as_json:
        display = Plain(outlook, out=sys.stderr)
    elif plain or not sys.stdout.isatty():
        display = Plain(outlook)
    else:
        from lamdagent.display.live import Live

        display = Live(outlook, budget)
    state = run_loaded(study, display=display)
    if as_json:
        typer.echo(json.dumps(study_data(read_study(study.folder)), indent=2, ensure_ascii=False))
        return
    print_leaderboard(state, 10, build.artifacts(study))
    typer.echo(f"\nnext: lamdagent lineage {file}, or lamdagent export {file} best --to FOLDER")
