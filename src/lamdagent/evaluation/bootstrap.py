"""The objectives of models as measured on items, and the errors that come from these being a sample of all items.

A model's items are its values in an order that all models share, so that an item that is hard for one can be held
against the same item for another; a model with fewer items has the first ones. Errors are drawn by the bootstrap, items
anew within each task (stratified; Efron and Tibshirani 1993), and scaled to variances over n - 1. Where `ItemValues` say
so, clusters are drawn in place of items, those of several tasks together (`core.items`).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamdagent.core.items import Draw, ItemValues, draw_of
from lamdagent.core.types import TaskWeight

# Names end in axes: B draws, M models, N items.
Array = NDArray[np.float64]
Items = Mapping[str, Any]
"""What each item gave to a model, by task: an array, or `ItemValues` where it is known how items were drawn."""
TaskWeights = Sequence[TaskWeight]
Labels = NDArray[np.int64]

RESAMPLES = 2000
TIED = 1e-12
"""Nearer than this is equal: the rest is rounding."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The objectives of models, and a matrix per goal, models by items, of what each item adds to their errors.

    Rows sum to 0, and their products to the covariance of the errors. Items drawn together are one column, and goals that
    ask the same rows one matrix. `dof_M` are degrees of freedom: columns less 1, or of several matrices what their shares
    of the variance make of them (Welch 1947, Satterthwaite 1946), so that a task of few items costs as much certainty as it
    brings noise. `sizes` says how many items of a task stand behind each matrix.
    """

    values_M: Array
    influence: list[Array]
    dof_M: Array
    sizes: list[int]

    @property
    def covariance_MM(self) -> Array:
        return np.asarray(sum(rows_MN @ rows_MN.T for rows_MN in self.influence))

    @property
    def stderr(self) -> float:
        """That of the first model."""
        return math.sqrt(self.covariance_MM[0, 0])

    @property
    def pair_stderr_MM(self) -> Array:
        """Of every model's objective less every other's; exactly 0 for twins."""
        covariance_MM = self.covariance_MM
        both_MM = np.add.outer(np.diag(covariance_MM), np.diag(covariance_MM))
        variance_MM = both_MM - 2 * covariance_MM
        return np.sqrt(np.where(variance_MM < TIED * both_MM, 0.0, variance_MM))

    @property
    def own_variance(self) -> float:
        """The mean variance of the errors that the models, at least 2, do not share."""
        covariance_MM, m = self.covariance_MM, len(self.values_M)
        return float((np.trace(covariance_MM) - covariance_MM.sum() / m) / (m - 1))

    def errors(self, seed: int, resamples: int = RESAMPLES) -> Array:
        """Errors drawn by the bootstrap, draws by models; their mean is 0."""
        rng = np.random.default_rng(seed)
        drawn = (counts(rng, resamples, rows.shape[1], rows.shape[1]) @ rows.T for rows in self.influence)
        error_BM = sum(drawn, np.zeros(len(self.values_M)))
        return np.asarray(error_BM - error_BM.mean(axis=0))


def measured(models: Sequence[Items], goals: TaskWeights) -> Measured:
    """Measure each model by its difference from the best of those with most items, on the items that both have.

    Where all have the same items this is the plain objective. Where one has only the first of them, it is neither
    helped nor hurt by their being easier or harder than the rest.

    Raises:
        ValueError: no models, no goals, a goal for which a model has fewer than 2 items, or an item without a value.
    """
    scales = scales_of(goals)
    short = [t for t in scales if any(len(items.get(t, ())) < 2 for items in models)]
    if short or not models:
        raise ValueError(f"every model needs at least 2 items of {short}" if short else "there are no models")
    if holes := [
        t for t in scales if not all(np.isfinite(np.asarray(items[t], dtype=float)).all() for items in models)
    ]:
        raise ValueError(f"items of {holes} have no finite value: nothing can be said of their mean")
    whole = max(models, key=lambda m: (sum(len(m[t]) for t in scales), sum(scales[t] * np.mean(m[t]) for t in scales)))
    values_M, influence, free, sizes = np.zeros(len(models)), [], [], []
    for tasks, labels in drawn_together(models, whole, list(scales)):
        columns = 1 + max(int(label_N.max()) for label_N in labels)
        rows_MC, seen_MC = np.zeros((len(models), columns)), np.zeros((len(models), columns), dtype=bool)
        for task, label_N in zip(tasks, labels, strict=True):
            draw, base_N = draw_among(models, task), np.asarray(whole[task], dtype=float)
            mean, base_rows_N = _influence(base_N, draw)
            base_C = scales[task] * np.bincount(label_N, base_rows_N, minlength=columns)
            values_M += scales[task] * mean
            rows_MC += base_C
            for m, items in enumerate(models):
                mine_N, base_mine_N = shared([items, whole], task)
                mean, rows_N = _influence(mine_N - base_mine_N, draw)
                label_mine_N = label_N[: len(mine_N)]
                values_M[m] += scales[task] * mean
                rows_MC[m] += scales[task] * np.bincount(label_mine_N, rows_N, minlength=columns)
                seen_MC[m, label_mine_N] = True
        influence.append(rows_MC)
        free.append(seen_MC.sum(axis=1) - 1.0)
        sizes.append(max(len(label_N) for label_N in labels))
    free_KM, variance_KM = np.maximum(1.0, free), np.array([(rows_MC**2).sum(axis=1) for rows_MC in influence])
    total_M = variance_KM.sum(axis=0)
    share_KM = np.divide(variance_KM, total_M, out=np.zeros_like(variance_KM), where=total_M > 0)
    spent_M = (share_KM**2 / free_KM).sum(axis=0)
    dof_M = np.divide(1.0, spent_M, out=free_KM.min(axis=0), where=spent_M > 0)
    return Measured(values_M, influence, dof_M, sizes)


def lead(a: Items, b: Items, goals: TaskWeights) -> Measured:
    """Measure what `a` scores more than `b`, as if one model's score, on the items that both have."""
    gaps = {t: np.subtract(*shared([a, b], t)) for t in scales_of(goals) if t in a and t in b}
    return measured([{t: ItemValues(gap_N.tolist(), draw_among([a, b], t)) for t, gap_N in gaps.items()}], goals)


def shared(models: Sequence[Items], task: str) -> list[Array]:
    """Each model's items of a task, as many as all of them have."""
    n = min(len(items[task]) for items in models)
    return [np.asarray(items[task], dtype=float)[:n] for items in models]


def draw_among(models: Sequence[Items], task: str) -> Draw | None:
    """How the items of a task were drawn, from the model that knows it of most."""
    found = [draw for items in models if (draw := draw_of(items[task])) is not None]
    return max(found, key=lambda draw: len(draw.clusters), default=None)


def drawn_together(
    models: Sequence[Items], whole: Items, tasks: Sequence[str]
) -> Iterator[tuple[list[str], list[Labels]]]:
    """The tasks that are drawn together, each with the number of the cluster that each of its items is in."""
    keys: dict[str, list[Hashable]] = {}
    for task in tasks:
        n, draw = len(whole[task]), draw_among(models, task)
        known = () if draw is None else draw.clusters[:n]
        keys[task] = [*known, *((task, i) for i in range(len(known), n))] if known else []
    groups: list[list[str]] = []
    for task in tasks:
        joined = [group for group in groups if any(not set(keys[task]).isdisjoint(keys[t]) for t in group)]
        groups = [g for g in groups if g not in joined] + [[*(t for group in joined for t in group), task]]
    for group in sorted(groups, key=lambda group: tasks.index(group[0])):
        number: dict[Hashable, int] = {}
        numbered = ([number.setdefault(key, len(number)) for key in keys[task]] for task in group)
        yield group, [np.array(found or range(len(whole[t]))) for t, found in zip(group, numbered, strict=True)]


def _influence(value_N: Array, draw: Draw | None) -> tuple[float, Array]:
    """The mean, and what each item adds to its error: of single items, the squares sum to the sample variance over n."""
    n = len(value_N)
    if draw is None or draw.first(n).plain:
        mean = float(value_N.mean())
        row_N = (value_N - mean) / math.sqrt(n * (n - 1))
        rounding_N = np.abs(value_N - mean) <= TIED * np.abs(value_N).max()
        return mean, np.where(rounding_N, 0.0, row_N)
    drawn = draw.first(n)
    weight_N, row_N = np.array(drawn.weights()), np.zeros(n)
    for places, correction in drawn.parts():
        centred_N = value_N[places] - np.average(value_N[places], weights=weight_N[places])
        row_N[places] = correction * weight_N[places] * centred_N
    return float(weight_N @ value_N), np.where(np.abs(row_N) * n <= TIED * np.abs(value_N).max(), 0.0, row_N)


def scales_of(goals: TaskWeights) -> dict[str, float]:
    """What a task's mean counts in the objective; without the tasks that are only watched."""
    total = sum(goal.weight for goal in goals)
    if not total:
        raise ValueError("an objective needs at least one goal that counts")
    return {goal.task: goal.weight / goal.max_score / total for goal in goals if goal.weight}


def counts(rng: np.random.Generator, resamples: int, n: int, size: int) -> Array:
    """How often each of `n` items comes when `size` are drawn with replacement; resamples by items."""
    return rng.multinomial(size, np.full(n, 1 / n), size=resamples).astype(float)
