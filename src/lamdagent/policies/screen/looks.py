"""What short looks say of each dataset, task by task."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamdagent.core.format import change
from lamdagent.core.state import State
from lamdagent.core.types import Object

CLEAR = 1.4
"""Errors of a difference beyond which it counts. The two models of a look answer the same items, and alike: taken as
independent, their error is about 1.4 times the paired one, so this is two paired errors."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a look at a dataset changed on a task, less what looks change in the middle, in shares of the maximum."""

    task: str
    value: float
    stderr: float

    @property
    def clear(self) -> bool:
        return abs(self.value) > CLEAR * self.stderr

    def __str__(self) -> str:
        return f"`{self.task}` {change(self.value, self.stderr)}"


def effects_of(state: State, start: Object, looks: Mapping[str, Object | None]) -> dict[str, list[Effect]]:
    """For each dataset by name what training on it alone did to the tasks that count; nothing for a look that failed.

    What all looks have in common, the forgetting, is taken out: the median over datasets of the change on each task.
    """
    before = _shares(state, start)
    changes: dict[str, dict[str, tuple[float, float]]] = {}
    for name, model in looks.items():
        for task, (now, error) in _shares(state, model).items() if model is not None else ():
            was, other = before[task]
            changes.setdefault(name, {})[task] = now - was, math.hypot(error, other)
    middle = {task: statistics.median(c[task][0] for c in changes.values()) for task in before} if changes else {}
    return {
        name: [Effect(task, value - middle[task], error) for task, (value, error) in by_task.items()]
        for name, by_task in changes.items()
    }


def harmful(effects: Sequence[Effect]) -> bool:
    """Whether a dataset gains nowhere and clearly hurts somewhere."""
    return not any(e.value > 0 and e.clear for e in effects) and any(e.value < 0 and e.clear for e in effects)


def best_of_each_task(effects: Mapping[str, Sequence[Effect]]) -> set[str]:
    """Of each task the dataset, by its key, that gains most on it, clearly or not; none where none gains."""
    by_task: dict[str, tuple[float, str]] = {}
    for key, found in effects.items():
        for effect in found:
            by_task[effect.task] = max(by_task.get(effect.task, (0.0, "")), (effect.value, key))
    return {key for _, key in by_task.values() if key}


def said(name: str, effects: Sequence[Effect]) -> str:
    """`add_noisy`: gains nothing (`sort` +0.010 ± 0.020), costs `reverse` -0.060 ± 0.030."""
    best, worst = max(effects, key=lambda e: e.value), min(effects, key=lambda e: e.value)
    gain = f"gains {best}" if best.value > 0 and best.clear else f"gains nothing ({best})"
    return f"{name} {gain}" + (f", costs {worst}" if worst.value < 0 and worst.clear else "")


def _shares(state: State, model: Object) -> dict[str, tuple[float, float]]:
    """Scores on the validation side with their errors, as shares of each task's maximum."""
    most = {g.task: g.max_score for g in state.goals if g.weight}
    return {
        s.task: (s.value / most[s.task], (s.stderr or 0.0) / most[s.task])
        for s in state.scores.get(model.id, ())
        if s.split == "validation" and s.task in most
    }
