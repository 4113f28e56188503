"""Evaluate: from what each item gives to scores with their errors, and the race of a new model against the leader."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lamdagent.core.action_type import Context
from lamdagent.core.items import ItemValues, cluster_count, errors_by_cluster, first_of, less, mean_and_error
from lamdagent.core.protocols import Task
from lamdagent.core.state import weighted_mean
from lamdagent.core.types import Object, ObjectId, ObjectiveValue, Score, Split, TaskWeight


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How models are scored: on `first` items of each task, and on up to `most` while a race is open. None is all."""

    tasks: Sequence[Task]
    goals: Sequence[TaskWeight] = ()
    first: int | None = None
    most: int | None = None

    def values(self, model: Object, split: Split, ctx: Context, n: int | None) -> dict[str, Sequence[float]]:
        return {task.name: task.values(model, split, ctx, n) for task in self.tasks}

    def scores(
        self, model: Object, split: Split, ctx: Context, n: int | None, base: Object | None
    ) -> tuple[Score, ...]:
        """A model's score on every task.

        Args:
            base: the model to pair it with, on the same items; None for a base model itself.
        Raises:
            ValueError: a score is not finite.
        """
        found = self.values(model, split, ctx, n)
        before = self.values(base, split, ctx, n) if base is not None else {}
        looks = self._looks(n) if split == "validation" else ()
        scores = [score_of(task, split, found[task.name], before.get(task.name), looks) for task in self.tasks]
        return _with_shared(scores, found)

    def race(self, model: Object, leader: Object, ctx: Context, known: int = 0) -> int | None:
        """Ask both more items until one is ahead or the items end; how many the model was asked of each task in the end.

        A model that is not behind is asked as many as the leader was, so that nobody leads on fewer items.

        Args:
            known: how many items the leader was asked before.
        """
        from lamdagent.evaluation.statistics import verdict

        n, step = self.first, self.first
        if n is None or step is None or self.most is None:
            return n
        looks, asked = math.ceil(self.most / step), -1
        while n < self.most:
            a, b = (_as_items(self.values(m, "validation", ctx, n)) for m in (model, leader))
            total = sum(map(len, a.values()))
            found = "open" if total == asked else verdict(a, b, self.goals, looks=looks)
            if found == "behind" or (found == "ahead" and n >= known) or total == asked:
                return n
            asked, n = total, min(n + step, self.most)
        return n

    def gains(
        self, model: Object, others: Sequence[Object], ctx: Context, n: int | None, asked: Mapping[ObjectId, int]
    ) -> dict[ObjectId, ObjectiveValue]:
        """A model's objective less that of each of `others`, paired on the items that both were asked.

        Args:
            n: how many items of a task the model was asked; None is all.
            asked: how many each of the others was.
        """
        found = {}
        for other in others if self.goals else ():
            common = asked[other.id] if n is None else min(n, asked[other.id])
            mine, theirs = (self.values(m, "validation", ctx, common) for m in (model, other))
            gaps = {name: less(mine[name], theirs[name]) for name in mine}
            scores = [score_of(task, "validation", gaps[task.name]) for task in self.tasks]
            if (gain := weighted_mean(self.goals, _with_shared(scores, gaps))) is not None:
                found[other.id] = gain
        return found

    def _looks(self, n: int | None) -> Sequence[int]:
        """Where a race that went on to `n` items looked before."""
        return () if n is None or self.first is None or self.most is None else range(self.first, n, self.first)


def _as_items(values: Mapping[str, Sequence[float]]) -> dict[str, ItemValues]:
    return {task: first_of(found, len(found)) for task, found in values.items()}


def _with_shared(scores: Sequence[Score], values: Mapping[str, Sequence[float]]) -> tuple[Score, ...]:
    """Scores with the covariances of their errors, where tasks have items that were drawn together."""
    parts = {score.task: errors_by_cluster(values[score.task]) for score in scores}

    def together(task: str, other: str) -> float:
        return math.fsum(
            parts[task][key] * parts[other][key] for key in sorted(parts[task].keys() & parts[other].keys())
        )

    pairs = [(a, b) for a in parts for b in parts if a != b and not parts[a].keys().isdisjoint(parts[b])]
    return tuple(replace(s, shared=tuple((b, together(a, b)) for a, b in pairs if a == s.task)) for s in scores)


def score_of(
    task: Task, split: Split, values: Sequence[float], base: Sequence[float] | None = None, looks: Sequence[int] = ()
) -> Score:
    """Mean and standard error of items, and the paired gain over `base`, over how the items were drawn.

    Args:
        looks: of how many first items the mean is kept, too.

    Raises:
        ValueError: the mean or its error is not finite.
    """
    value, stderr = mean_and_error(values)
    gain, gain_stderr = (None, None) if base is None else mean_and_error(less(values, base))
    if not math.isfinite(value) or not math.isfinite(stderr or 0.0):
        raise ValueError(f"task {task.name!r} gave a score that is not finite: {value} ± {stderr}")
    return Score(
        task=task.name, split=split, value=value, n=len(values), stderr=stderr,
        gain=gain, gain_stderr=gain_stderr, task_id=task.ids[split],
        looks=tuple((n, mean_and_error(first_of(values, n))[0]) for n in looks if n < len(values)),
        clusters=cluster_count(values),
    )  # fmt: skip
