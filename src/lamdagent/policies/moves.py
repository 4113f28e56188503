"""What several policies need: how choices follow each other, and what can be done with one model.

Action types are told apart by their slots, never by name: one that trains takes exactly one model, one that merges has
a slot for several.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Asked
from lamdagent.core.settings import EPOCHS, RATE
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Object, ObjectId, Slot

LOOKED_THROUGH = 200  # fills of an action type: up to so many are all looked at, and of more so many are drawn


def one_by_one(
    state: State, space: ActionSpace, n: int, choose: Callable[[State, ActionSpace], Choice | None]
) -> Sequence[Choice]:
    """Up to `n` choices, each made as if those before it had begun."""
    choices: list[Choice] = []
    while len(choices) < n and (choice := choose(state, space)) is not None:
        choices.append(choice)
        asked = Asked(number=len(state.trials), choice=choice, settings=space.joining(choice.action))
        state = reduce_events([asked], state)
        space = space.over(state)
    return choices


def seeded(state: State) -> random.Random:
    """The same draws for the same state: seeded by the study's seed and the trial's number."""
    return random.Random(f"{state.seed}:{len(state.trials)}")


def with_varied_settings(state: State, space: ActionSpace) -> State:
    """A state whose pool has every named setting with its free amounts doubled and halved, as far as the bounds go.

    For policies that choose among the objects of a pool; what they choose joins the pool of the search.
    """
    more: dict[ObjectId, Object] = {}
    for type in space.types:
        if (freedom := space.freedom(type)) is None:
            continue
        named = [o for o in state.of_kind("hyperparameters") if o.setting["action"] == type and "of" not in o.setting]
        for setting in named:
            for key in (key for key in (EPOCHS, RATE) if key in setting.setting["values"]):
                bounds = getattr(freedom.bounds, key)
                for value in doublings(setting.setting["values"][key], bounds):
                    varied = space.varied(type, setting, {key: value})
                    more |= {varied.id: varied} if varied is not None else {}
    return replace(state, pool={**state.pool, **more}) if more else state


def doublings(value: float, bounds: Sequence[float] | None) -> list[float]:
    """A value doubled and halved again and again inside its bounds; nothing where there are none."""
    if bounds is None:
        return []
    most, least = (math.floor(math.log2(bound / value) + 1e-9) for bound in (bounds[1], value * value / bounds[0]))
    return [value * 2.0**k for k in range(-least, most + 1) if k]


def at_random(space: ActionSpace, rng: random.Random, *, by: str, why: str) -> Choice | None:
    """Any feasible action, drawn as the policy `random` draws."""
    action = space.sample(rng)
    return None if action is None else Choice(action=action, reason=f"drawn at random: {why}", by=by)


def model_slots(type: ActionType) -> list[Slot]:
    return [slot for slot in type.slots if slot.kind == "model"]


def trains(type: ActionType) -> bool:
    """Whether an action type makes a model from exactly one model."""
    slots = model_slots(type)
    return type.makes == "model" and len(slots) == 1 and (slots[0].at_least, slots[0].at_most) == (1, 1)


def merges(type: ActionType) -> bool:
    """Whether an action type makes a model and has a slot for several."""
    return type.makes == "model" and any(slot.at_most > 1 for slot in model_slots(type))


def drawn_with(
    space: ActionSpace, type: str, model: ObjectId, rng: random.Random, partners: Collection[ObjectId] | None = None
) -> Action | None:
    """A feasible action of a type that takes this model, its other objects drawn evenly.

    None where there is none; where there are too many to look through, also where no draw of `LOOKED_THROUGH` is
    feasible.

    Args:
        partners: the only other models for slots that take several; None is any.
    """
    options: dict[str, Sequence[Object]] = dict(space.options(type))
    places = [slot for slot in model_slots(space.types[type]) if any(o.id == model for o in options[slot.name])]
    if partners is not None:
        for slot in model_slots(space.types[type]):
            if slot.at_most > 1:
                options[slot.name] = [o for o in options[slot.name] if o.id in partners]
    for place in rng.sample(places, len(places)):
        for inputs in _fills(space.types[type], options, place, model, rng):
            action = space.action(type, space.with_drawn_amounts(type, inputs, rng))
            if space.why_invalid(action) is None:
                return action
    return None


def _fills(
    type: ActionType, options: Mapping[str, Sequence[Object]], place: Slot, model: ObjectId, rng: random.Random
) -> Iterator[dict[str, tuple[ObjectId, ...]]]:
    """Ways to fill the slots with `model` in `place`, in random order: all where there are few, else draws."""
    names = [slot.name for slot in type.slots]
    seats = [_Seats(slot, options[slot.name], model if slot == place else None) for slot in type.slots]
    count = math.prod(seat.count() for seat in seats)
    if count > LOOKED_THROUGH:
        for _ in range(LOOKED_THROUGH):
            yield dict(zip(names, (seat.draw(rng) for seat in seats), strict=True))
    elif count > 0:
        fills = list(itertools.product(*(seat.groups() for seat in seats)))
        for fill in rng.sample(fills, len(fills)):
            yield dict(zip(names, fill, strict=True))


class _Seats:
    """The groups of objects that can fill one slot, `model` among them where it is given."""

    def __init__(self, slot: Slot, options: Sequence[Object], model: ObjectId | None) -> None:
        self._fixed = () if model is None else (model,)
        self._ids = [obj.id for obj in options if obj.id != model]
        least, most = slot.at_least - len(self._fixed), slot.at_most - len(self._fixed)
        self._sizes = range(max(0, least), min(most, len(self._ids)) + 1)
        self._ordered = slot.ordered

    def count(self) -> int:
        orders = [math.factorial(k + len(self._fixed)) if self._ordered else 1 for k in self._sizes]
        return sum(math.comb(len(self._ids), k) * n for k, n in zip(self._sizes, orders, strict=True))

    def groups(self) -> Iterator[tuple[ObjectId, ...]]:
        for k in self._sizes:
            for others in itertools.combinations(self._ids, k):
                group = (*self._fixed, *others)
                yield from itertools.permutations(group) if self._ordered else (group,)

    def draw(self, rng: random.Random) -> tuple[ObjectId, ...]:
        group = [*self._fixed, *rng.sample(self._ids, rng.choice(self._sizes))]
        rng.shuffle(group)
        return tuple(group)
