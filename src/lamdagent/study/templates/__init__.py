"""Studies to start from, as `lamdagent init` writes them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

NAMES = ("tiny", "smollm2", "paper")


def write_template(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    width: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write a template's study file to a folder, and for `tiny` its whole world.

    Args:
        width: of the tiny model; None is its usual one.
        report: hears of the pretraining of the tiny model: steps done, steps in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if name == "tiny":
        from lamdagent.study.templates.tiny import WIDTH, write

        write(folder, seed=seed, width=width or WIDTH, report=report)
    (folder / "study.yaml").write_text(text(name), encoding="utf-8")


def text(name: str) -> str:
    """The study file of a template."""
    return (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
