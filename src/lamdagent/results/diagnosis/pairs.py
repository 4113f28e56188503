"""How two models differ: paired on the items that both have where these are kept, else with independent errors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, ObjectiveValue, Score, TaskWeight
from lamdagent.evaluation.bootstrap import TaskWeights, lead
from lamdagent.evaluation.ranking import ItemsById


@dataclass(frozen=True, slots=True)
class Pairs:
    """Differences of a state's models. `items` are those that are kept; without one of the two models' an error takes them
    as independent, which is too wide where they answer the same items alike."""

    state: State
    items: ItemsById = field(default_factory=dict)

    def objective(self, a: ObjectId, b: ObjectId) -> ObjectiveValue:
        """The objective of one scored model less another's."""
        if (paired := self._paired(a, b, self.state.goals)) is not None:
            return paired
        ours, theirs = self.state.objective(a), self.state.objective(b)
        errors = [value.stderr or 0.0 for value in (ours, theirs) if value is not None]
        return ObjectiveValue(value=self.state.lead(a, b), stderr=math.hypot(*errors))

    def on(self, goal: TaskWeight, a: Score, b: Score, of: tuple[ObjectId, ObjectId]) -> ObjectiveValue | None:
        """One score of a task less another, `of` the two models, in the task's unit; None without errors."""
        alone = [TaskWeight(task=goal.task)]
        found = self._paired(*of, alone)
        if found is None and a.stderr is not None and b.stderr is not None:
            found = ObjectiveValue(value=a.value - b.value, stderr=math.hypot(a.stderr, b.stderr))
        if found is None or found.stderr is None:
            return None
        # Where all items agree the measured error is 0; one item's worth is left, so that nothing is certain.
        return ObjectiveValue(value=found.value, stderr=max(found.stderr, goal.max_score / min(a.n, b.n)))

    def _paired(self, a: ObjectId, b: ObjectId, goals: TaskWeights) -> ObjectiveValue | None:
        ours, theirs = self.items.get(a), self.items.get(b)
        counted = [goal.task for goal in goals if goal.weight]
        if (
            ours is None
            or theirs is None
            or any(min(len(ours.get(t, ())), len(theirs.get(t, ()))) < 2 for t in counted)
        ):
            return None
        found = lead(ours, theirs, goals)
        return ObjectiveValue(value=float(found.values_M[0]), stderr=found.stderr)
