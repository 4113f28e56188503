"""Picks that are judged on items that did not pick them.

The best of many models is best by luck, too, so the score that picked it is too high; the more models, the more. Here
the items are cut in folds. For each fold the best model by all other items is picked and scored on the fold, as a
cross-validation does (Stone 1974), so every item is scored by a model that it had no part in picking. Items that were drawn
together are in one fold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamdagent.core.items import ItemValues, draw_of
from lamdagent.evaluation.bootstrap import Array, Items, Labels, TaskWeights, drawn_together, measured, scales_of

# Names end in axes: F folds, K moments, M models, N items.
FOLDS = 10
DIGITS = 12


def held_out_picks(models: Sequence[Items], goals: TaskWeights, known: Sequence[int]) -> dict[str, Array] | None:
    """What the pick among the first `known[k]` models gives on each item when the item's fold has no say.

    Returns an array by task, moments by items, of the items that all picks have; None with fewer than 4 items of a task, or
    clusters where items were drawn together. A pick by nine tenths of the items is a little worse than one by all: its
    score errs on the low side, by little. It is free of the luck of the pick, not of that of a search which made new models
    from those that these items liked.
    """
    scales = scales_of(goals)
    whole = {task: max((items[task] for items in models), key=len) for task in scales}
    drawn = {
        t: n
        for tasks, labels in drawn_together(models, whole, list(scales))
        for t, n in zip(tasks, labels, strict=True)
    }
    folds = min(FOLDS, *(len(set(drawn[task][: len(items[task])])) // 2 for items in models for task in scales))
    if folds < 2:
        return None
    fold_N = {task: label_N % folds for task, label_N in drawn.items()}
    pick_FK = np.array([_picks(models, goals, known, fold_N, fold) for fold in range(folds)])
    used_P, place_FK = np.unique(pick_FK, return_inverse=True)
    place_FK = place_FK.reshape(pick_FK.shape)
    found = {}
    for task in scales:
        size = min(len(models[m][task]) for m in used_P)
        value_PN = np.stack([np.asarray(models[m][task], dtype=float)[:size] for m in used_P])
        own_N = fold_N[task][:size]
        found[task] = np.stack([value_PN[place_F[own_N], np.arange(size)] for place_F in place_FK.T])
    return found


def _picks(
    models: Sequence[Items], goals: TaskWeights, known: Sequence[int], fold_N: dict[str, Labels], fold: int
) -> list[int]:
    """The best by all items but those of one fold, at each moment; the earliest among equals."""
    rest = [{task: _without(items[task], fold_N[task], fold) for task in scales_of(goals)} for items in models]
    value_M = np.round(measured(rest, goals).values_M, DIGITS)
    return [int(value_M[:count].argmax()) for count in known]


def _without(values: Sequence[float], fold_N: Labels, fold: int) -> ItemValues:
    places, draw = np.flatnonzero(fold_N[: len(values)] != fold).tolist(), draw_of(values)
    return ItemValues((values[i] for i in places), None if draw is None else draw.at(places))
