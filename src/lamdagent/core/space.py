"""Enumerate: what can be done now.

Lazy, because pairs of models grow with the square of the pool: an agent reads `options`, a policy that draws uses
`sample`, one that ranks iterates as far as it likes. Nothing here keeps a list of all actions.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from lamdagent.core.action_type import cost_of, seed_counts
from lamdagent.core.budget import Budget, Left, TrainingBound, left_of, trained
from lamdagent.core.errors import nearest
from lamdagent.core.settings import EPOCHS, RATE, Free, Freedom, read_varied
from lamdagent.core.state import State
from lamdagent.core.training import Training
from lamdagent.core.types import ALL, Action, Choice, Object, ObjectId, Slot, Status

if TYPE_CHECKING:
    from lamdagent.core.action_type import ActionType

LOOKED_THROUGH = 2_000  # actions, where no draw is feasible
TRIED: Mapping[Status, str] = {
    "running": "is running",
    "made": "was done",
    "failed": "failed",
    "stopped": "was stopped",
}


class ActionSpace:
    """The actions that a state, a set of action types and a budget allow.

    `passed` are the bounds that some action which was asked about would pass, though nothing else is against it.
    """

    def __init__(self, state: State, types: Mapping[str, ActionType], budget: Budget = Budget()) -> None:
        self._state, self.types, self.budget = state, types, budget
        self.passed: set[TrainingBound] = set()
        self._all_types = types
        self._place = {object_id: i for i, object_id in enumerate(state.pool)}
        self._fit: dict[tuple[str, Slot], tuple[Object, ...]] = {}
        self._varied: dict[ObjectId, Object] = {}
        self._dear: dict[str, bool] = {}

    def over(self, state: State, types: Mapping[str, ActionType] | None = None) -> ActionSpace:
        """The space of another state, or of some action types only, within the same budget; settings that were varied are
        known in both."""
        space = ActionSpace(state, self.types if types is None else types, self.budget)
        space._varied, space.passed, space._all_types = self._varied, self.passed, self._all_types
        return space

    def __getitem__(self, object_id: ObjectId) -> Object:
        """An object of the pool, or a setting that was varied."""
        found = self._state.pool.get(object_id) or self._varied.get(object_id)
        if found is None:
            raise KeyError(object_id)
        return found

    def __contains__(self, object_id: ObjectId) -> bool:
        return object_id in self._state.pool or object_id in self._varied

    def freedom(self, type: str) -> Freedom | None:
        """What of an action type's settings is free; None where it takes the named ones only."""
        found: Freedom | None = getattr(self.types[type], "freedom", None)
        return found

    def varied(
        self, type: str, setting: Object, wanted: Mapping[str, float], bounds: Free | None = None
    ) -> Object | None:
        """A setting with the free amounts nearest to those that are wanted, by TRL's keys, for the inputs of an action.

        None where the action type, or the setting, takes no other amounts. What comes to an object of the pool is that
        one; else it joins the pool with the first trial that takes it.

        Args:
            bounds: take the place of the study's.
        """
        freedom = self.freedom(type)
        if freedom is None:
            return None
        freedom = freedom if bounds is None else replace(freedom, bounds=bounds)
        near: dict[str, float] = {}
        for key, value in wanted.items():
            if (inside := freedom.within(key, value, setting)) is None:
                return None
            near[key] = inside
        return self._known_or_new(freedom.varied(setting, near))

    def setting(self, type: str, name: str) -> Object | None:
        """A setting of an action type by its name, also one that is varied here, as `firm×3@2e-4`; None if unknown.

        Raises:
            ValueError: it names amounts that are not free; the message says why.
        """
        known = {o.name: o for o in self._state.of_kind("hyperparameters") if o.setting.get("action") == type}
        if name in known or (read := read_varied(name)) is None:
            return known.get(name)
        base, freedom = known.get(read[0]), self.freedom(type)
        if base is None or freedom is None:
            return None
        return self._known_or_new(freedom.varied(base, read[1]))

    def _known_or_new(self, setting: Object) -> Object:
        return self._state.pool.get(setting.id) or self._varied.setdefault(setting.id, setting)

    def joining(self, action: Action) -> tuple[Object, ...]:
        """The varied settings of an action that the pool does not have yet."""
        return tuple(self._varied[i] for i in action.object_ids if i not in self._state.pool and i in self._varied)

    def options(self, type: str) -> dict[str, tuple[Object, ...]]:
        """The objects that each slot of an action type takes: lines for a prompt, not their product."""
        return {slot.name: self._fitting(type, slot) for slot in self.types[type].slots}

    def slots(self, type: str) -> tuple[Slot, ...]:
        """The slots of an action type, `ALL` as the number of objects that there are to take."""
        return tuple(
            replace(slot, at_most=max(slot.at_least, len(self._fitting(type, slot)))) if slot.at_most == ALL else slot
            for slot in self.types[type].slots
        )

    def action(self, type: str, inputs: Mapping[str, Sequence[str]]) -> Action:
        """An action from object ids, unordered slots put into pool order so that equal choices have equal ids.

        What the type does not have is left as it is given: `why_invalid` says what is wrong with it.
        """
        known = self.types.get(type)
        unordered = {slot.name for slot in known.slots if not slot.ordered} if known else set()
        filled = {
            name: tuple(sorted(ids, key=lambda i: self._place.get(i, -1)) if name in unordered else ids)
            for name, ids in inputs.items()
        }
        return Action(type=type, version=known.version if known else 0, inputs=filled, seed=self._state.seed)

    def repeat(self, action: Action) -> Action:
        """The same action with the next seed of training that it was not done with: itself where it was never done."""
        while action.id in self._state.tried:
            action = replace(action, seed=action.seed + 1)
        return action

    def why_invalid(self, action: Action) -> str | None:
        """Why an action cannot be done, in words to act on; None if it can."""
        if action.type not in self.types:
            return f"unknown action type {action.type!r}. {nearest(action.type, self.types)}"
        type = self.types[action.type]
        if set(action.inputs) != {slot.name for slot in type.slots}:
            return f"{action.type} has the slots {', '.join(s.name for s in type.slots)}"
        for slot in type.slots:
            if reason := self._misfit(action, slot):
                return reason
        if reason := self._uncanonical(action):
            return reason
        if (number := self._state.tried.get(action.id)) is not None:
            return f"already tried: it {TRIED[self._state.trials[number].status]} as trial {number}"
        return type.validate(self._objects(action)) or self._unaffordable(action)

    def cost(self, action: Action) -> Training:
        """What a valid action will train on; None in it what cannot be known before."""
        return cost_of(self.types[action.type], self._objects(action))

    @cached_property
    def left(self) -> Left:
        """What is left of the budget."""
        return left_of(self.budget, self._state, self._foreseen)

    @property
    def trained(self) -> tuple[Training, ...]:
        """What each trial trains on; of those that run, or do not say, as their types foresee it."""
        return trained(self._state, self._foreseen)

    def affordable(self, choices: Sequence[Choice]) -> list[Choice]:
        """Those of some feasible choices that fit in what is left together, the first ones before others."""
        left, fitting = self.left, []
        for choice in choices:
            if left.passed_by(cost := self.cost(choice.action)) is None:
                left = left.after(cost)
                fitting.append(choice)
        return fitting

    def sample(self, rng: random.Random, tries: int = 100) -> Action | None:
        """A feasible action: a type drawn evenly, then its objects evenly; None if nothing is left.

        Drawing is by rejection. Only where `tries` draws of a type fail are its actions looked through one by one, at
        most `LOOKED_THROUGH` of them: with sets of datasets there may be more than can ever be counted.
        """
        for type in rng.sample(list(self.types), len(self.types)):
            if self._too_dear(type):
                continue
            for _ in range(tries):
                action = self._draw(type, rng)
                if action is not None and self.why_invalid(action) is None:
                    return action
            fills = itertools.islice(self._filled(type, self.types[type].slots), LOOKED_THROUGH)
            actions = (self.action(type, inputs) for inputs in fills)
            if (action := next((a for a in actions if self.why_invalid(a) is None), None)) is not None:
                return action
        return None

    def __iter__(self) -> Iterator[Action]:
        """Every feasible action, one at a time."""
        return itertools.chain.from_iterable(map(self.of_type, self.types))

    def of_type(self, type: str) -> Iterator[Action]:
        """Every feasible action of one type."""
        if self._too_dear(type):
            return
        for inputs in self._filled(type, self.types[type].slots):
            action = self.action(type, inputs)
            if self.why_invalid(action) is None:
                yield action

    def size(self, type: str) -> int:
        """How many ways there are to fill the slots of a type with what each takes, before they are put together."""
        ways = 1
        for slot in self.types[type].slots:
            n, count = len(self._fitting(type, slot)), math.perm if slot.ordered else math.comb
            ways *= sum(count(n, k) for k in range(slot.at_least, slot.most(n) + 1))
        return ways

    def neighbors(self, action: Action) -> Iterator[tuple[str, Object, Action]]:
        """Every feasible action one change away: the slot, the object that changes, the action.

        A change puts another object in the place of one, adds one or leaves one out where the slot takes several, or
        doubles or halves a free amount.
        """
        for slot in self.types[action.type].slots:
            for obj, group in self._changes(action.type, slot, tuple(action.inputs[slot.name])):
                other = self.action(action.type, {**action.inputs, slot.name: group})
                if self.why_invalid(other) is None:
                    yield slot.name, obj, other

    def _changes(
        self, type: str, slot: Slot, ids: tuple[ObjectId, ...]
    ) -> Iterator[tuple[Object, tuple[ObjectId, ...]]]:
        """Every change of what is in a slot: the object that changes, and all that is in it then."""
        fitting = self._fitting(type, slot)
        fresh = [obj for obj in fitting if obj.id not in ids]
        for i, obj in itertools.product(range(len(ids)), fresh):
            yield obj, (*ids[:i], obj.id, *ids[i + 1 :])
        for obj in fresh if len(ids) < slot.most(len(fitting)) else ():
            yield obj, (*ids, obj.id)
        for i in range(len(ids)) if len(ids) > slot.at_least else ():
            yield self[ids[i]], (*ids[:i], *ids[i + 1 :])
        for i in range(len(ids)) if slot.kind == "hyperparameters" else ():
            for obj in self._rescaled(type, self[ids[i]]):
                yield obj, (*ids[:i], obj.id, *ids[i + 1 :])

    def _rescaled(self, type: str, setting: Object) -> list[Object]:
        """A setting with a free amount doubled, and halved."""
        values = setting.setting["values"]
        wanted = [
            self.varied(type, setting, {key: factor * values[key]})
            for key in (EPOCHS, RATE)
            if key in values
            for factor in (2.0, 0.5)
        ]
        return list({obj.id: obj for obj in wanted if obj is not None and obj.id != setting.id}.values())

    def _objects(self, action: Action) -> dict[str, list[Object]]:
        return {name: [self[i] for i in ids] for name, ids in action.inputs.items()}

    def _foreseen(self, action: Action) -> Training:
        type = self._all_types.get(action.type)
        return Training() if type is None else cost_of(type, self._objects(action))

    def _unaffordable(self, action: Action) -> str | None:
        if self.budget.train_rows is None and self.budget.train_tokens is None:
            return None
        if (found := self.left.passed_by(self.cost(action))) is None:
            return None
        self.passed.add(found[0])
        return found[1]

    def _too_dear(self, type: str) -> bool:
        """Whether no action of a type fits in what is left of the budget, since not even its cheapest does.

        That is one of as few objects as may be, of the lowest amount, whichever of the descendants of a base model it is
        on. Without this look every action there is would be drawn or gone through, and refused.
        """
        if self.budget.train_rows is None and self.budget.train_tokens is None:
            return False
        if type not in self._dear:
            fills = itertools.product(*(self._cheap(type, slot) for slot in self.types[type].slots))
            names = [slot.name for slot in self.types[type].slots]
            cheap = [dict(zip(names, ids, strict=True)) for ids in itertools.islice(fills, LOOKED_THROUGH)]
            self._dear[type] = (
                bool(cheap)
                and len(cheap) < LOOKED_THROUGH
                and all(self._unaffordable(self.action(type, inputs)) for inputs in cheap)
            )
        return self._dear[type]

    def _cheap(self, type: str, slot: Slot) -> list[list[ObjectId]]:
        """What a slot may take at the least, models of one base and one setting's amounts once each."""
        found = self._fitting(type, slot)
        if slot.kind == "model" and slot.at_least == 1:
            found = tuple({obj.root: obj for obj in found}.values())
        if slot.kind == "hyperparameters":
            each = [one for obj in found for one in (obj, self.varied(type, obj, {EPOCHS: 0.0})) if one is not None]
            found = tuple({obj.id: obj for obj in each}.values())
        groups = itertools.islice(itertools.combinations(found, slot.at_least), LOOKED_THROUGH)
        return [[obj.id for obj in group] for group in groups]

    def _fitting(self, type: str, slot: Slot) -> tuple[Object, ...]:
        if (type, slot) not in self._fit:
            right = (o for o in self._state.pool.values() if is_for(o, type, slot))
            self._fit[type, slot] = tuple(o for o in right if slot.why_refused(o) is None)
        return self._fit[type, slot]

    def _filled(self, type: str, slots: Sequence[Slot]) -> Iterator[dict[str, list[str]]]:
        # Recursive because itertools.product would first list every group of every slot.
        if not slots:
            yield {}
            return
        first, pick = slots[0], itertools.permutations if slots[0].ordered else itertools.combinations
        fitting = self._fitting(type, first)
        for k in range(first.at_least, first.most(len(fitting)) + 1):
            for group in pick(fitting, k):
                for rest in self._filled(type, slots[1:]):
                    yield {first.name: [o.id for o in group], **rest}

    def _draw(self, type: str, rng: random.Random) -> Action | None:
        inputs = {}
        for slot in self.slots(type):
            fitting, k = self._fitting(type, slot), rng.randint(slot.at_least, slot.at_most)
            if len(fitting) < k:
                return None
            inputs[slot.name] = [o.id for o in rng.sample(fitting, k)]
        return self.action(type, self.with_drawn_amounts(type, inputs, rng))

    def with_drawn_amounts(
        self, type: str, inputs: Mapping[str, Sequence[ObjectId]], rng: random.Random
    ) -> Mapping[str, Sequence[ObjectId]]:
        """Inputs with free amounts drawn for their settings; as they are where nothing is free."""
        if self.freedom(type) is None:
            return inputs
        slots = {slot.name for slot in self.types[type].slots if slot.kind == "hyperparameters"}
        return {
            name: [self._drawn_amounts(type, self[i], rng).id for i in ids] if name in slots else ids
            for name, ids in inputs.items()
        }

    def _drawn_amounts(self, type: str, setting: Object, rng: random.Random) -> Object:
        """A setting, each free amount drawn evenly on a log scale in every second draw."""
        freedom = self.freedom(type)
        for key in (EPOCHS, RATE) if freedom else ():
            bounds = getattr(freedom.bounds, key) if freedom else None
            if bounds is not None and rng.random() < 0.5:
                drawn = math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))
                setting = self.varied(type, setting, {key: float(f"{drawn:.2g}")}) or setting
        return setting

    def _misfit(self, action: Action, slot: Slot) -> str | None:
        ids = action.inputs[slot.name]
        where = f"slot {slot.name!r} of {action.type}"
        if unknown := [i for i in ids if i not in self or not is_for(self[i], action.type, slot)]:
            given = ", ".join(self[i].name if i in self else i for i in unknown)
            return f"{where} takes {slot.kind} objects of the pool, not {given}. {self._known(action.type, slot)}"
        if refusal := next(filter(None, (slot.why_refused(self[i]) for i in ids)), None):
            return f"{where}: {refusal}. {self._known(action.type, slot)}"
        if len(set(ids)) != len(ids):
            return f"{where} takes different objects"
        if not slot.at_least <= len(ids) <= slot.at_most:
            return f"{where} takes {slot.count} objects, not {len(ids)}"
        return None

    def _known(self, type: str, slot: Slot) -> str:
        return f"Known: {', '.join(o.name for o in self._fitting(type, slot)) or 'none'}"

    def _uncanonical(self, action: Action) -> str | None:
        # The id covers version, seed and order: the same work under another id would be done once more.
        wanted = self.action(action.type, action.inputs)
        if action == wanted:
            return None
        if replace(action, seed=wanted.seed) == wanted and action.seed > wanted.seed:  # a repeat
            counts = seed_counts(self.types[action.type], self._objects(action))
            return None if counts else f"{action.type} trains nothing: another seed gives the same again"
        if (action.version, action.seed) != (wanted.version, wanted.seed):
            given, known = (f"version {a.version} and seed {a.seed}" for a in (action, wanted))
            return f"{action.type} has {known} here, not {given}"
        filled = ((slot, ", ".join(self[i].name for i in ids)) for slot, ids in wanted.inputs.items())
        return (
            f"{action.type} takes its objects in this order: {'; '.join(f'{slot}: {names}' for slot, names in filled)}"
        )


def is_for(obj: Object, type: str, slot: Slot) -> bool:
    """Whether an object is of a slot's kind, and where it is a setting, of the slot's action type."""
    return obj.kind == slot.kind and obj.meta.get("action", type) == type
