"""A model's scores by task, beside those of the base model that it descends from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, Split
from lamdagent.results.scores import task_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBar:
    """A score and its 95 % interval, where that is known."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBars:
    """Scores on one side by task. `base` is empty where there is no base model to show."""

    model: str
    side: Split
    scores: Mapping[str, TaskBar]
    base_model: str
    base: Mapping[str, float]


def validation_bars(state: State, object_id: ObjectId) -> TaskBars:
    """The validation scores of a scored model."""
    obj = state.pool[object_id]
    root = state.pool.get(obj.root)
    base = () if root is None or root.id == object_id else state.scores.get(root.id, ())
    return TaskBars(
        model=obj.name,
        side="validation",
        scores={
            task: TaskBar(value=s.value, low=s.low, high=s.high)
            for task, s in task_scores(state.scores.get(object_id, ()), state.goals).items()
        },
        base_model="" if root is None else root.name,
        base={s.task: s.value for s in base},
    )
