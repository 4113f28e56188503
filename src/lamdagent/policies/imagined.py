"""Datasets that could be made, as if they were there: how a policy comes to make data.

What a made dataset is worth shows only in the models that are trained on it. So a policy chooses in a world in which a
few datasets that could be made are made already; where its choice takes one of them, that one is made first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice, Object, ObjectId

REST = 10  # trials between two that make data


@dataclass(frozen=True, slots=True)
class ImaginedSpace:
    """A state and its action space with datasets in the pool that could be made, by id the actions that make them."""

    state: State
    space: ActionSpace
    makers: Mapping[ObjectId, Action]

    def first(self, action: Action) -> Action:
        """What must be done first for an action: the making of an imagined dataset that it takes, else itself."""
        return next((self.makers[i] for i in action.object_ids if i in self.makers), action)


def imagine(state: State, space: ActionSpace, rng: random.Random, most: int) -> ImaginedSpace:
    """At most `most` datasets that could be made now, drawn as the policy `random` draws among the actions that make
    data.

    An imagined dataset looks like one that its action type made before, else like one that it is made from, so that
    slots say whether they take it; what cannot be likened to any is not imagined.
    """
    makers = ActionSpace(state, {n: type for n, type in space.types.items() if type.makes == "dataset"})
    found: dict[ObjectId, tuple[Action, Object]] = {}
    for _ in range(most if makers.types else 0):
        if (action := makers.sample(rng)) is None:
            break
        if (like := _like(state, action)) is not None:
            parts = ", ".join(state.pool[i].name for i in action.object_ids)
            looks = replace(like, id=action.id, name=f"{action.type} of {parts}", uri="", made_by=action.id)
            found[action.id] = action, looks
    if not found:
        return ImaginedSpace(state, space, {})
    imagined = replace(state, pool={**state.pool, **{i: looks for i, (_, looks) in found.items()}})
    return ImaginedSpace(imagined, ActionSpace(imagined, space.types), {i: action for i, (action, _) in found.items()})


def with_made_data(choose: Callable[[State, ActionSpace], Choice | None]) -> Callable[..., Choice | None]:
    """A policy's way to choose, with one imagined dataset among those to choose from.

    None is imagined while there is a made dataset that no model was trained on yet, nor where one of the last `REST`
    trials made data: what is new always tempts, and a trial that makes data makes no model.
    """

    def chosen(state: State, space: ActionSpace) -> Choice | None:
        # Draws of its own: where no action makes data, a policy's draws are those that it had without all this.
        rng = random.Random(f"{state.seed}:{len(state.trials)}:imagined")
        waits = untried(state, space) or any(makes_data(space, trial.choice.action) for trial in state.trials[-REST:])
        imagined = imagine(state, space, rng, 0 if waits else 1)
        choice = choose(imagined.state, imagined.space)
        if choice is None or (action := imagined.first(choice.action)) == choice.action:
            return choice
        made = imagined.state.pool[action.id].name
        return replace(choice, action=action, reason=f"makes {made} for: {choice.reason}")

    return chosen


def makes_data(space: ActionSpace, action: Action) -> bool:
    type = space.types.get(action.type)
    return type is not None and type.makes == "dataset"


def untried(state: State, space: ActionSpace) -> set[ObjectId]:
    """The made datasets that an action which makes a model takes, and that none has taken yet."""
    types = [name for name, type in space.types.items() if type.makes == "model"]
    taken = {i for t in state.trials if t.choice.action.type in types for i in t.choice.action.object_ids}
    fitting = (obj for name in types for objects in space.options(name).values() for obj in objects)
    return {obj.id for obj in fitting if obj.kind == "dataset" and obj.made_by is not None} - taken


def _like(state: State, action: Action) -> Object | None:
    """A dataset that an action's type made, the latest, else one that the action takes; None if there is neither."""
    datasets = state.of_kind("dataset")
    made = [obj for obj in datasets if (t := state.trial_of(obj.id)) and t.choice.action.type == action.type]
    return next(iter(reversed(made)), None) or next((obj for obj in datasets if obj.id in action.object_ids), None)
