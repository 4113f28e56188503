"""The trial to take: of models that cannot be told from the leader, the one whose pipeline is cheapest."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lamdagent.core.format import with_error
from lamdagent.core.pipeline import pipeline_of
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId
from lamdagent.evaluation.ranking import Ranking

BEST, CHEAPEST = "best validation objective", "cheapest pipeline that cannot be told from the best"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineCost:
    """What making a model again from what the user provided takes. A step that several branches share counts once."""

    rows: int | None
    """Rows to train on, each as often as it is seen; null where one step's are not known."""
    steps: int
    """How many actions."""

    @property
    def words(self) -> str:
        """`8,400 rows in 2 steps`."""
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        return steps if self.rows is None else f"{self.rows:,} rows in {steps}"


def pipeline_cost(state: State, object_id: ObjectId) -> PipelineCost:
    """What the whole lineage of an object trained on."""
    made = [node.object.id for node in pipeline_of(state, object_id).nodes() if node.type is not None]
    rows: list[int | None] = []
    for trial in map(state.trial_of, made):
        rows.append(None if trial is None or trial.outcome is None else trial.outcome.cost.training.rows)
    return PipelineCost(rows=None if None in rows else sum(n or 0 for n in rows), steps=len(made))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The trial to take, and by which rule."""

    trial: int
    """Its number."""
    model: str
    """The name of its model."""
    objective: float
    """Its validation objective."""
    stderr: float | None
    """The standard error of that."""
    cost: PipelineCost
    """What its pipeline takes."""
    rule: str
    """How it was picked: `cheapest pipeline that cannot be told from the best`, or, where that is the best itself or items
    do not say what can be told from it, `best validation objective`."""
    among: int
    """How many made models cannot be told from the leader, itself included; 0 where that is not known."""
    leader: str
    """The name of the best model by validation."""
    leader_cost: PipelineCost
    """What its pipeline takes."""

    @property
    def words(self) -> str:
        """In one line: what to take, and why."""
        objective = with_error(self.objective, self.stderr)
        what = f"recommended: trial {self.trial} ({self.model}), {objective}, {self.cost.words}"
        if self.rule == CHEAPEST:
            return (
                f"{what}: the cheapest pipeline of the {self.among} trials that cannot be told from the best; that of "
                f"{self.leader} takes {self.leader_cost.words}"
            )
        if self.among == 0:
            return f"{what}: the best by validation; what else is as good is not known"
        of = f" of the {self.among} trials that cannot be told from it" if self.among > 1 else ""
        return f"{what}: the best by validation" + (
            f", and the cheapest pipeline{of}" if of else "; all others are worse"
        )


def recommendation(state: State, ranking: Ranking) -> Recommendation | None:
    """The trial to take; None where none is scored.

    Where the rows of a pipeline are not known, it counts as dearer than those whose are. Among equal rows fewer steps
    win, then the better score.
    """
    made = [(obj, value) for obj, value in state.ranked() if obj.made_by is not None]
    if not made:
        return None
    equal = [row for row in made if row[0].id in ranking.contenders]
    costs = {obj.id: pipeline_cost(state, obj.id) for obj, _ in equal or made[:1]}

    def dear(object_id: ObjectId) -> tuple[float, int]:
        cost = costs[object_id]
        return (math.inf if cost.rows is None else cost.rows, cost.steps)

    best = made[0][0]
    if best.id not in costs:  # a provided model leads so far that no made one is equal to it
        equal, costs = [], {best.id: pipeline_cost(state, best.id)}
    obj, value = min(equal or made[:1], key=lambda row: dear(row[0].id))
    trial = state.trial_of(obj.id)
    assert trial is not None
    return Recommendation(
        trial=trial.number,
        model=obj.name,
        objective=value.value,
        stderr=value.stderr,
        cost=costs[obj.id],
        rule=BEST if obj.id == best.id else CHEAPEST,
        among=len(equal),
        leader=best.name,
        leader_cost=costs[best.id],
    )
