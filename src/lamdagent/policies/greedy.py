"""Go on from the best model so far, now and then elsewhere: what a search must beat to be worth its name."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.format import scored
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice
from lamdagent.policies.imagined import with_made_data
from lamdagent.policies.moves import at_random, drawn_with, one_by_one, seeded


class GreedyConfig(Config):
    """Draw an untried action on the best model so far; with some probability any action."""

    exploration: float = Field(0.2, ge=0, le=1, description="probability that any feasible action is drawn instead")


class Greedy:
    """Draws an action type evenly, then an untried action of it that takes the best model; else the next best one.

    Args:
        exploration: probability of a draw from all that can be done, in [0, 1].
    """

    Config = GreedyConfig
    name = "greedy"

    def __init__(self, *, exploration: float = 0.2) -> None:
        self._exploration = exploration

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, with_made_data(self._choose))

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        rng = seeded(state)
        explores = rng.random() < self._exploration
        for rank, (model, objective) in enumerate(() if explores else state.ranked()):
            for type in rng.sample(list(space.types), len(space.types)):
                if (action := drawn_with(space, type, model.id, rng)) is not None:
                    which = f"the best model, {model.name}" if rank == 0 else f"{model.name}, the best not used up"
                    return Choice(action=action, reason=f"goes on from {which}: {scored(objective)}", by=self.name)
        none_left = "no action was found that goes on from a scored model"
        why = "exploring" if explores else none_left if state.ranked() else "no model has scores yet"
        return at_random(space, rng, by=self.name, why=why)
