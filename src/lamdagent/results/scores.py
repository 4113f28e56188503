"""A model's scores by task, and its objective, each with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamdagent.core.format import change, with_both
from lamdagent.core.intervals import gain_interval, score_interval
from lamdagent.core.types import ObjectiveValue, Score, TaskWeight


@dataclass(frozen=True, slots=True, kw_only=True)
class SideObjective:
    """A model's objective on one side."""

    value: float
    """The weighted mean of its scores, each divided by its maximum."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items."""
    high: float | None
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """A model's score on one task, in the task's unit."""

    value: float
    """The mean over its items."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items; null where nothing is known of it."""
    high: float | None
    """Upper end."""
    n: int
    """How many items."""
    clusters: int | None
    """How many clusters these were drawn in; null where each was drawn by itself."""
    gain: float | None
    """The mean difference to its base model on the same items; null for base models."""
    gain_stderr: float | None
    """The paired standard error of that."""
    gain_low: float | None
    """Lower end of its 95 % interval."""
    gain_high: float | None
    """Upper end."""

    @property
    def words(self) -> str:
        gained = (
            ""
            if self.gain is None
            else f", {change(self.gain, self.gain_stderr, self.gain_low, self.gain_high)} against the base model"
        )
        drawn = "" if self.clusters in (None, self.n) else f" in {self.clusters} clusters"
        return f"{with_both(self.value, self.stderr, self.low, self.high)} on {self.n} items{drawn}{gained}"


def task_scores(scores: Sequence[Score], goals: Sequence[TaskWeight]) -> dict[str, TaskScore]:
    """Scores by task, with intervals that know the best value of each."""
    best = {goal.task: goal.max_score for goal in goals}
    return {s.task: _task_score(s, best.get(s.task, 1.0)) for s in scores}


def _task_score(score: Score, best: float) -> TaskScore:
    low, high = score_interval(score, best) or (None, None)
    gain_low, gain_high = gain_interval(score, best) or (None, None)
    return TaskScore(
        value=score.value, stderr=score.stderr, low=low, high=high, n=score.n, clusters=score.clusters,
        gain=score.gain, gain_stderr=score.gain_stderr, gain_low=gain_low, gain_high=gain_high,
    )  # fmt: skip


def side_objective(objective: ObjectiveValue | None) -> SideObjective | None:
    """An objective as a result has it."""
    if objective is None:
        return None
    return SideObjective(value=objective.value, stderr=objective.stderr, low=objective.low, high=objective.high)
