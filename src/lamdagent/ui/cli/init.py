"""`init`: write a study to start from."""

from __future__ import annotations

import os
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
    template: Template = typer.Option(Template.tiny, help="tiny: a CPU, minutes, nothing fetched. tiny-conflict: some "
                                      "sets answer the same prompts wrongly. tiny-shift: little clean data, tasks in "
                                      "another form. tiny-drawn: skills and faults drawn from the seed. smollm2: a real "
                                      "135M model and real data. paper: Gemma-2-2B as in the paper, for a GPU."),
    seed: int = typer.Option(0, min=0, help="Seed of a tiny world."),
    width: int = typer.Option(96, min=24, help="Width of a tiny world's model, a multiple of 24: 96 has 0.45 M "
                              "parameters, 192 four times as many."),
) -> None:  # fmt: skip
    """Write a study to start from."""
    from rich.progress import Progress

    from lamdagent.study.templates import is_tiny, write_template

    if width % 24:
        raise UserError(f"--width {width}: give a multiple of 24, such as 96 or 192.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} is not empty. Give a new folder, or run what is there: lamdagent run {folder}/study.yaml"
        )
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
