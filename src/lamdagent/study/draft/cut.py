"""Validation and test side of a file that has none: seeded, and without near-duplicates across the cut."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.evaluation.contamination.overlap import Evaluated, EvaluationItem, words
from lamdagent.objects.datasets.formats import task_items

MOST_ITEMS = 500
"""Items of a side: the standard error of a score is 2 points at the most."""
SHARE = 0.15
"""Of a file that is trained on too, what each side takes."""
LEAST = 20
Row = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Rows of each side as they were, `train` empty where none is trained on; `dropped` repeat a validation item."""

    train: Sequence[Mapping[str, Any]]
    validation: Sequence[Mapping[str, Any]]
    test: Sequence[Mapping[str, Any]]
    dropped: int


def cut(rows: Sequence[Row], columns: Mapping[str, str], *, seed: int, trained_on: bool) -> Sides | None:
    """Draw the sides; None where there are too few rows for both.

    Rows with equal prompts stay together. A test row that has 13 words in a row, or its whole prompt, in common with a
    validation item is left out of both. (The rows that stay for training are held against both sides by every run.)

    Args:
        trained_on: a share of 15 % for each side, at most 500 rows; else both take half, up to that.
    """
    groups: dict[str, list[int]] = {}
    items = list(task_items(rows, columns))
    for number, item in enumerate(items):
        groups.setdefault(" ".join(words(item["prompt"])), []).append(number)
    drawn = list(groups.values())
    random.Random(f"{seed}:cut").shuffle(drawn)
    each = min(MOST_ITEMS, round(len(rows) * (SHARE if trained_on else 0.5)))
    if each < LEAST:
        return None
    sides: tuple[list[int], list[int], list[int]] = ([], [], [])
    for group in drawn:
        side = 0 if len(sides[0]) < each else 1 if len(sides[1]) < each else 2
        sides[side].extend(group)
    validation, test, train = sides
    asked = Evaluated(_evaluated(number, items[number]) for number in validation)
    repeated = {number for number in test if asked.find(_fields(items[number]))}
    kept = [number for number in test if number not in repeated]
    if min(len(validation), len(kept)) < LEAST or (trained_on and not train):
        return None
    return Sides(
        train=[rows[number][1] for number in sorted(train)] if trained_on else [],
        validation=[rows[number][1] for number in validation],
        test=[rows[number][1] for number in kept],
        dropped=len(repeated),
    )


def _evaluated(number: int, item: Mapping[str, Any]) -> EvaluationItem:
    return EvaluationItem(task="own", split="validation", index=number, prompt=item["prompt"], answer=_answer(item))


def _fields(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["prompt"], _answer(item)


def _answer(item: Mapping[str, Any]) -> str:
    return str(item["choices"][item["answer"]] if "choices" in item else item["answer"][0])
