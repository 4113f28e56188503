"""A post-training world small enough for a CPU: skills, data sets and tasks, and a base model that half knows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from lamdagent.study.templates.tiny import more, skills
from lamdagent.study.templates.tiny.model import WIDTH, write_base
from lamdagent.study.templates.tiny.skills import SKILLS, QAPair, Stage
from lamdagent.study.templates.tiny.worlds import TINY, Part, World

__all__ = ["SIDES", "TASK_ROWS", "WIDTH", "write", "write_data", "write_fresh_tasks"]

SIDES = ("validation", "test")

TASK_ROWS = 200


def write(
    folder: Path,
    world: World = TINY,
    *,
    seed: int = 0,
    width: int = WIDTH,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write models/base, data/*.jsonl and tasks/*.jsonl under `folder`, all a function of the world, `seed` and `width`.

    `report` is told the steps of pretraining done and in all. The data files are the same bytes for the same seed
    everywhere; the model's are on one machine.
    """
    pretraining = write_data(folder, world, seed=seed)
    write_base(folder / "models" / "base", pretraining, steps=world.steps, seed=seed, width=width, report=report)


def write_data(folder: Path, world: World = TINY, *, seed: int = 0) -> list[QAPair]:
    """Write the data sets and the tasks, and return the items of pretraining; no prompt occurs in two of them."""
    draw = _Draw(seed)
    for file, rows in _rows(draw, world):
        _write_rows(folder / file, rows)
    return draw(world.pretraining, "pretraining")


def write_fresh_tasks(folder: Path, world: World = TINY, *, seed: int, draw_seed: int) -> None:
    """Write tasks/*.jsonl of the world of `seed` with items that are not in it, a function of `draw_seed`.

    No prompt is one of the world's own tasks, data sets or pretraining.
    """
    draw = _Draw(seed)
    for _ in _rows(draw, world):
        pass
    draw(world.pretraining, "pretraining")
    draw.rng = Random(f"fresh {seed} {draw_seed}")
    for file, rows in _task_rows(draw, world):
        _write_rows(folder / file, rows)


Rows = list[dict[str, Any]]


def _rows(draw: _Draw, world: World) -> Iterator[tuple[str, Rows]]:
    """The rows of each file of tasks and training sets, in the order in which they are drawn."""
    yield from _task_rows(draw, world)
    for name, parts in world.data.items():
        rows = [{"prompt": item.prompt, "completion": item.completion} for item in draw(parts, "training")]
        yield f"data/{name}.jsonl", rows


def _task_rows(draw: _Draw, world: World) -> Iterator[tuple[str, Rows]]:
    for (name, form), split in product(world.tasks.items(), SIDES):
        items = draw([Part(skill=name, rows=TASK_ROWS, form=form)], "task")
        yield f"tasks/{name}.{split}.jsonl", [_task_row(item) for item in items]


class _Draw:
    """Draws items whose prompts, as their skills word them, were never drawn before, mixed in random order."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self._drawn: set[str] = set()

    def __call__(self, parts: Sequence[Part], stage: Stage) -> list[QAPair]:
        items: list[tuple[Part, QAPair]] = []
        for part in parts:
            full = len(items) + part.rows
            while len(items) < full:
                item = (SKILLS | more.MORE)[part.skill](self.rng, stage)
                if item.prompt not in self._drawn:
                    self._drawn.add(item.prompt)
                    items.append((part, item))
        self.rng.shuffle(items)
        return [_dressed(self.rng, part, item) for part, item in items]


def _dressed(rng: Random, part: Part, item: QAPair) -> QAPair:
    """An item as a part has it: perhaps wrong, worded and styled in its own way."""
    answer = item.completion
    if part.wrong == 1 or (part.wrong and rng.random() < part.wrong):
        known = part.skill in more.MORE
        mistakes = more.mistaken(item) if known else skills.mistaken(rng, item, part.skill)
        answer = next(mistake for mistake in mistakes if mistake != answer)
    verb, _, rest = item.prompt.removesuffix(":").partition(" ")
    prompt = part.form.format(verb=verb, rest=rest) if part.form else item.prompt
    return QAPair(prompt, part.style.format(answer=answer), item.choices)


def _task_row(item: QAPair) -> dict[str, Any]:
    if item.choices:
        return {"prompt": item.prompt, "choices": item.choices, "answer": item.choices.index(item.completion)}
    return {"prompt": item.prompt, "answer": item.completion}


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
