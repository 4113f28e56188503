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

    def first(self, action: Action, reason: str) -> tuple[Action, str]:
        """What must be done first, and why: the making of an imagined dataset that an action takes, else itself."""
        for i in action.object_ids:
            if i in self.makers:
                return self.makers[i], f"makes {self.state.pool[i].name} for: {reason}"
        return action, reason


def imagine(state: State, space: ActionSpace, most: int) -> ImaginedSpace:
    """At most `most` datasets that could be made now, drawn as the policy `random` draws among the actions that make
    data.

    None is imagined while one that was made has trained no model, nor where one of the last `REST` trials made data: new
    data always looks promising, and a trial that makes it makes no model.

    An imagined dataset looks like one that its action type made before, else like one that it is made from, so that
    slots say whether they take it; what cannot be likened to any is not imagined.
    """
    makers = space.over(state, {n: type for n, type in space.types.items() if type.makes == "dataset"})
    found: dict[ObjectId, tuple[Action, Object]] = {}
    rests = any(trial.choice.action.type in makers.types for trial in state.trials[-REST:])
    # Draws of its own: where no action makes data, a policy's draws are those that it had without all this.
    rng = random.Random(f"{state.seed}:{len(state.trials)}:imagined")
    for _ in range(0 if not makers.types or rests or untried(state, space) else most):
        if (action := makers.sample(rng)) is None:
            break
        if (like := _like(state, action)) is not None:
            parts = ", ".join(state.pool[i].name for i in action.object_ids)
            looks = replace(like, id=action.id, name=f"{action.type} of {parts}", uri="", made_by=action.id)
            found[action.id] = action, looks
    if not found:
        return ImaginedSpace(state, space, {})
    imagined = replace(state, pool={**state.pool, **{i: looks for i, (_, looks) in found.items()}})
    return ImaginedSpace(imagined, space.over(imagined), {i: action for i, (action, _) in found.items()})


def with_made_data(choose: Callable[[State, ActionSpace], Choice | None]) -> Callable[..., Choice | None]:
    """A policy's way to choose, with one imagined dataset among those to choose from."""

    def chosen(state: State, space: ActionSpace) -> Choice | None:
        imagined = imagine(state, space, 1)
        if (choice := choose(imagined.state, imagined.space)) is None:
            return None
        action, reason = imagined.first(choice.action, choice.reason)
        return replace(choice, action=action, reason=reason)

    return chosen


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
    return made[-1] if made else next((obj for obj in datasets if obj.id in action.object_ids), None)
