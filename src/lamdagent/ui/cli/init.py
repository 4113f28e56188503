"""`init`: write a study to start from, or one from what the user has."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path

import typer

from lamdagent.core.errors import UserError


class Template(StrEnum):
    """The studies that `init` can write."""

    tiny = "tiny"
    tiny_conflict = "tiny-conflict"
    tiny_shift = "tiny-shift"
    tiny_drawn = "tiny-drawn"
    smollm2 = "smollm2"
    paper = "paper"


def init(
    folder: Path = typer.Argument(help="A new or empty folder."),
    model: list[str] = typer.Option([], "--model", help="A model to start from: hub id, Hugging Face folder or .gguf "
                                    "file. Repeatable."),
    data: list[str] = typer.Option([], "--data", help="Rows to train on: a .jsonl, .json, .csv or .parquet file, or a hub "
                                   "id. What its columns are is guessed and shown; FILE:prompt=COLUMN,completion=COLUMN "
                                   "says it. Repeatable."),
    task: list[str] = typer.Option([], "--task", help="What models are scored on: a file of rows with right answers, from "
                                   "which a validation and a sealed test side are cut, or the name of a task of lm-eval. "
                                   "FILE:prompt=COLUMN,answer=COLUMN,metric=NAME says what cannot be guessed. The same file "
                                   "may be --data too. Repeatable."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Write without asking whether the guesses are right."),
    template: Template | None = typer.Option(None, help="tiny (what is written where nothing is named): a CPU, minutes, "
                                      "nothing fetched. tiny-conflict: some sets answer the same prompts wrongly. "
                                      "tiny-shift: little clean data, tasks in another form. tiny-drawn: skills and faults "
                                      "drawn from the seed. smollm2: a real 135M model and real data. paper: Gemma-2-2B as "
                                      "in the paper, for a GPU."),
    seed: int = typer.Option(0, min=0, help="Seed of a tiny world, or of the cut of a task's rows."),
    width: int = typer.Option(96, min=24, help="Width of a tiny world's model, a multiple of 24: 96 has 0.45 M "
                              "parameters, 192 four times as many."),
) -> None:  # fmt: skip
    """Write a study: one to start from (`--template`), or one from your own model, rows and tasks.

    Own ones: `lamdagent init my-study --model MODEL --data rows.jsonl --task gsm8k`
    """
    if width % 24:
        raise UserError(f"--width {width}: give a multiple of 24, such as 96 or 192.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is not empty. Give a new folder, or run what is there: lamdagent run {folder}/study.yaml"
        )
    if not (model or data or task):
        _from_template(folder, template or Template.tiny, seed, width)
    elif template is not None:
        raise UserError(
            "--template writes a study with models, rows and tasks of its own: leave it out, or --model, --data and --task."
        )
    else:
        _from_own(folder, model, data, task, seed=seed, ask=not yes and sys.stdin.isatty())


def _from_template(folder: Path, template: Template, seed: int, width: int) -> None:
    from rich.progress import Progress

    from lamdagent.study.templates import is_tiny, write_template

    with Progress(disable=not is_tiny(template.value)) as bar:
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


def _from_own(folder: Path, models: list[str], data: list[str], tasks: list[str], *, seed: int, ask: bool) -> None:
    from lamdagent.core.text import one_line
    from lamdagent.study.config import load_study
    from lamdagent.study.draft.write import draft, write_draft
    from lamdagent.ui.cli._output import show_result
    from lamdagent.ui.cli.dry_run import plan_of

    made = draft(folder, models, data, tasks, seed=seed)
    for line in made.said:
        typer.echo(("    " if line.startswith(" ") else "") + one_line(line))
    if ask and not typer.confirm("Is that right? A study file is written", default=True):
        raise typer.Exit(1)
    study = write_draft(made)
    typer.echo(f"wrote {study}\n")
    try:
        show_result(plan_of(load_study(study)), as_json=False)
    except UserError as error:
        raise UserError(
            f"{error}\n{study} is written as it was guessed: mend it there, then: lamdagent run {study}"
        ) from None
    typer.echo(f"next: lamdagent run {study}")
