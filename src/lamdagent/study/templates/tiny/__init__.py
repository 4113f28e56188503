"""A post-training world small enough for a CPU: skills, data sets and tasks, and a base model that half knows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from lamdagent.study.templates.tiny.model import WIDTH, write_base
from lamdagent.study.templates.tiny.skills import SKILLS, QAPair, Stage, wrong

__all__ = ["SIDES", "WIDTH", "write", "write_data", "write_fresh_tasks"]

SIDES = ("validation", "test")

TASK_ROWS = 200
# Each training set's rows per skill.
DATA: dict[str, dict[str, int]] = {
    **{name: {name: 1200} for name in SKILLS},
    "numbers": {"add": 400, "sort": 400, "largest": 400},
    "words": {"reverse": 400, "call": 400, "facts": 400},
    "general": dict.fromkeys(SKILLS, 200),
    "add_noisy": {"add": 1200},
}
# The shares were tuned so that the base half knows every skill.
PRETRAINING = {"add": 1250, "reverse": 650, "sort": 320, "call": 350, "facts": 1300, "largest": 200}


def write(folder: Path, *, seed: int = 0, width: int = WIDTH, report: Callable[[int, int], None] | None = None) -> None:
    """Write models/base, data/*.jsonl and tasks/*.jsonl under `folder`, all a function of `seed` and `width`.

    `report` is told the steps of pretraining done and in all. The data files are the same bytes for the same seed
    everywhere; the model's are on one machine.
    """
    pretraining = write_data(folder, seed=seed)
    write_base(folder / "models" / "base", pretraining, seed=seed, width=width, report=report)


def write_data(folder: Path, *, seed: int = 0) -> list[QAPair]:
    """Write the data sets and the tasks, and return the items of pretraining; no prompt occurs in two of them."""
    draw = _Draw(seed)
    _write_tasks(folder, draw)
    for name, items in _training(draw):
        rows = [{"prompt": item.prompt, "completion": item.completion} for item in items]
        _write_rows(folder / "data" / f"{name}.jsonl", rows)
    return draw(PRETRAINING, "pretraining")


def write_fresh_tasks(folder: Path, *, seed: int, draw_seed: int) -> None:
    """Write tasks/*.jsonl of the world of `seed` with items that are not in it, a function of `draw_seed`.

    No prompt is one of the world's own tasks, data sets or pretraining.
    """
    draw = _Draw(seed)
    for name, _ in product(SKILLS, SIDES):
        draw({name: TASK_ROWS}, "task")
    for _ in _training(draw):
        pass
    draw(PRETRAINING, "pretraining")
    draw.rng = Random(f"fresh {seed} {draw_seed}")
    _write_tasks(folder, draw)


def _write_tasks(folder: Path, draw: _Draw) -> None:
    for name, split in product(SKILLS, SIDES):
        rows = [_task_row(item) for item in draw({name: TASK_ROWS}, "task")]
        _write_rows(folder / "tasks" / f"{name}.{split}.jsonl", rows)


def _training(draw: _Draw) -> Iterator[tuple[str, list[QAPair]]]:
    for name, counts in DATA.items():
        items = draw(counts, "training")
        yield name, [wrong(draw.rng, item) for item in items] if name.endswith("_noisy") else items


class _Draw:
    """Draws items whose prompts were never drawn before, mixed in random order."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self._drawn: set[str] = set()

    def __call__(self, counts: Mapping[str, int], stage: Stage) -> list[QAPair]:
        items: list[QAPair] = []
        for name, count in counts.items():
            full = len(items) + count
            while len(items) < full:
                item = SKILLS[name](self.rng, stage)
                if item.prompt not in self._drawn:
                    self._drawn.add(item.prompt)
                    items.append(item)
        self.rng.shuffle(items)
        return items


def _task_row(item: QAPair) -> dict[str, Any]:
    if item.choices:
        return {"prompt": item.prompt, "choices": item.choices, "answer": item.choices.index(item.completion)}
    return {"prompt": item.prompt, "answer": item.completion}


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
