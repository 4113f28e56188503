"""Regularised evolution over pipelines: the young compete, winners are mutated, the old are forgotten.

A trial makes one model, so a mutation changes the end of a pipeline: its last step in one object, one step more, or a
merge with another winner. Steps further back change as their own results are mutated.

Source: Real et al. 2019 (arXiv 1802.01548), algorithm 1, with a population sized to tens of trials.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.format import scored
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice, Object
from lamdagent.policies.imagined import with_made_data
from lamdagent.policies.moves import at_random, drawn_with, merges, model_slots, one_by_one, seeded, trains

Mutation = tuple[Action, str]
PARENTS = 3  # tournaments held before an action is drawn at random
CROSSED = 8  # most models of a cross


class EvolutionConfig(Config):
    """Mutate the winner of a tournament among the latest models."""

    warmup: int = Field(4, ge=0, description="first trials, drawn at random")
    population: int = Field(16, ge=2, description="how many of the latest scored models can be parents")
    tournament: int = Field(5, ge=1, description="how many of them are drawn, the best of which is the parent")


class Evolution:
    """Keeps the latest models as its population; changes, extends or crosses the winner of a tournament.

    Args:
        warmup: first trials, drawn at random.
        population: scored models that can be parents, the latest.
        tournament: how many of them compete.
    """

    Config = EvolutionConfig
    name = "evolution"

    def __init__(self, *, warmup: int = 4, population: int = 16, tournament: int = 5) -> None:
        self._warmup, self._population, self._tournament = warmup, population, tournament

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, with_made_data(self._choose))

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        rng = seeded(state)
        warm = len(state.trials) >= self._warmup
        population = latest(state, self._population)
        for _ in range(PARENTS if warm and population else 0):
            parent = self._winner(state, population, rng)
            for mutate in rng.sample(self._mutations, len(self._mutations)):
                if (mutation := mutate(state, space, parent, population, rng)) is not None:
                    action, what = mutation
                    reason = f"parent {parent.name} ({scored(state.objective(parent.id))}): {what}"
                    return Choice(action=action, reason=reason, by=self.name)
        none_left = f"no mutation was found in {PARENTS} tournaments"
        why = "warm-up" if not warm else none_left if population else "no model has scores yet"
        return at_random(space, rng, by=self.name, why=why)

    @property
    def _mutations(self) -> list[Callable[..., Mutation | None]]:
        return [self._change, self._extend, self._cross]

    def _winner(self, state: State, population: Sequence[Object], rng: random.Random) -> Object:
        drawn = rng.sample(population, min(self._tournament, len(population)))
        return max(drawn, key=lambda model: _value(state, model))

    def _change(
        self, state: State, space: ActionSpace, parent: Object, population: Sequence[Object], rng: random.Random
    ) -> Mutation | None:
        """The action that made the parent, with one object changed: a slot drawn evenly, then what comes into it."""
        trial = state.trial_of(parent.id)
        if trial is None:
            return None
        by_slot: dict[str, list[Mutation]] = {}
        young = {model.id for model in population}
        for slot, obj, action in space.neighbors(trial.choice.action):
            if obj.kind != "model" or obj.id in young:
                kept = "with" if obj.id in action.inputs[slot] else "without"
                by_slot.setdefault(slot, []).append((action, f"its last step {kept} {obj.name} as {slot}"))
        return rng.choice(by_slot[rng.choice(list(by_slot))]) if by_slot else None

    def _extend(
        self, state: State, space: ActionSpace, parent: Object, population: Sequence[Object], rng: random.Random
    ) -> Mutation | None:
        """One step more on the parent."""
        for type in _drawn(space, trains, rng):
            if (action := drawn_with(space, type, parent.id, rng)) is not None:
                return action, f"one step more, {type}"
        return None

    def _cross(
        self, state: State, space: ActionSpace, parent: Object, population: Sequence[Object], rng: random.Random
    ) -> Mutation | None:
        """A merge of the parent with winners of other tournaments."""
        others = [model for model in population if model.id != parent.id]
        if not others:
            return None
        for type in _drawn(space, merges, rng):
            most = max(slot.most(CROSSED) for slot in model_slots(space.types[type]))
            partners = {self._winner(state, others, rng).id for _ in range(most - 1)}
            if (action := drawn_with(space, type, parent.id, rng, partners)) is not None:
                names = (state.pool[i].name for i in action.object_ids if i in partners)
                return action, f"crossed with {', '.join(names)} by {type}"
        return None


def latest(state: State, count: int) -> Sequence[Object]:
    """The scored models that joined the pool last, at most `count`, the eldest first."""
    return [model for model in state.of_kind("model") if state.objective(model.id) is not None][-count:]


def _value(state: State, model: Object) -> float:
    objective = state.objective(model.id)
    assert objective is not None
    return objective.value


def _drawn(space: ActionSpace, fits: Callable[..., bool], rng: random.Random) -> list[str]:
    types = [name for name, type in space.types.items() if fits(type)]
    return rng.sample(types, len(types))
