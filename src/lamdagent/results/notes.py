"""What the figures of a study cover, and what its tasks cost in certainty: the lines below a leaderboard."""

from __future__ import annotations

import math

from lamdagent.core.intervals import NORMAL_95, score_interval
from lamdagent.core.state import State
from lamdagent.core.types import Score, TaskWeight

COVERS = (
    "± and intervals cover the draw of the items: not other seeds of training (`repeat`), and not that the best was "
    "picked"
)
SMALL = 0.5
"""A task is small with fewer than this share of the items of the largest."""
COSTS = 0.9
"""It is named where the error of the objective would be below this share of what it is."""


def notes_on(state: State) -> tuple[str, ...]:
    """What the scores of the leader cover, which tasks ask the same rows, and which are small."""
    ranked = state.ranked()
    if not ranked:
        return ()
    goals = {goal.task: goal for goal in state.goals if goal.weight}
    scores = [s for s in state.scores[ranked[0][0].id] if s.split == "validation" and s.task in goals]
    return (COVERS, *_same_rows(scores), *_small(scores, goals))


def _same_rows(scores: list[Score]) -> list[str]:
    order = [score.task for score in scores]
    pairs = [(s.task, other) for s in scores for other, _ in s.shared if other in order]
    return [
        f"tasks {a} and {b} ask the same rows: they count as one sample"
        for a, b in pairs
        if order.index(a) < order.index(b)
    ]


def _small(scores: list[Score], goals: dict[str, TaskWeight]) -> list[str]:
    """Small tasks with the error of the objective as it is, and as it would be with the items of the largest task."""
    most = max(scores, key=lambda s: s.n)
    weights = math.fsum(goal.weight for goal in goals.values())
    errors = {s.task: _error(s, goals[s.task]) / weights for s in scores}
    total = math.hypot(*errors.values())
    lines = []
    for score in scores:
        if score.n < SMALL * most.n:
            grown = errors[score.task] * math.sqrt(score.n / most.n)
            better = math.hypot(*(grown if task == score.task else error for task, error in errors.items()))
            if better < COSTS * total:
                lines.append(
                    f"task {score.task} has {score.n} items: it makes the error of the objective {total:.3f}, "
                    f"{better:.3f} with the {most.n} of {most.task}; gaps must be {total / better:.1f} times as wide to show"
                )
    return lines


def _error(score: Score, goal: TaskWeight) -> float:
    """What a task adds to the error of the objective, times the sum of weights; by its interval where items are alike."""
    low, high = score_interval(score, goal.max_score) or (math.nan, math.nan)
    error = score.stderr or (high - low) / (2 * NORMAL_95)
    return 0.0 if math.isnan(error) else goal.weight / goal.max_score * error
