"""Very many candidates as arrays: every way to fill the slots of an action type, or a large draw of them.

A hundred thousand actions as objects cost seconds; as positions in the pool they cost milliseconds. Whether one can be
done is left to the action space, which is asked only about those that are chosen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamdagent.core.space import ActionSpace
from lamdagent.core.types import Action, ObjectId, Slot

Positions = NDArray[np.intp]
EMPTY = -1


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Ways to fill the slots of one action type, one a row.

    `models` (n, most models) and `others` (n, most other objects) are positions in the pool, slots side by side; EMPTY
    where a slot has fewer objects than it may.
    """

    type: str
    slots: tuple[Slot, ...]
    models: Positions
    others: Positions

    @classmethod
    def of(cls, type: str, slots: tuple[Slot, ...], groups: Sequence[Positions]) -> CandidateSet:
        """From the groups of each slot, (n, at_most) each."""
        n = len(groups[0])
        sides: dict[bool, list[Positions]] = {True: [], False: []}
        for slot, group in zip(slots, groups, strict=True):
            sides[slot.kind == "model"].append(group)
        models, others = (np.hstack(g) if g else np.empty((n, 0), np.intp) for g in (sides[True], sides[False]))
        return cls(type, slots, models, others)

    def __len__(self) -> int:
        return len(self.models)

    def inputs(self, row: int, pool: Sequence[ObjectId]) -> dict[str, tuple[ObjectId, ...]]:
        """The objects of one row by slot."""
        sides = {True: iter(self.models[row].tolist()), False: iter(self.others[row].tolist())}
        groups = {s.name: list(itertools.islice(sides[s.kind == "model"], s.at_most)) for s in self.slots}
        return {name: tuple(pool[i] for i in group if i != EMPTY) for name, group in groups.items()}


def of_actions(
    type: str, slots: tuple[Slot, ...], actions: Sequence[Action], place: Mapping[ObjectId, int]
) -> CandidateSet:
    """Known actions of one type as rows."""
    groups = [[[place[i] for i in action.inputs[slot.name]] for action in actions] for slot in slots]
    return CandidateSet.of(
        type, slots, [_padded(found, slot.at_most) for slot, found in zip(slots, groups, strict=True)]
    )


def candidates(
    space: ActionSpace, type: str, place: Mapping[ObjectId, int], models: Sequence[ObjectId], most: int, seed: int
) -> CandidateSet:
    """Every fill of a type where there are at most `most`, else about so many draws in which good models are frequent.

    Args:
        place: where objects stand in the pool.
        models: the models to take, the best first.
    """
    slots, options = space.slots(type), space.options(type)
    fitting = [_fitting(slot, [o.id for o in options[slot.name]], models) for slot in slots]
    positions = [np.array([place[i] for i in ids], np.intp) for ids in fitting]
    if math.prod(map(_ways, slots, map(len, fitting))) > most:
        rng = np.random.default_rng(seed)
        drawn = [_draw(slot, len(ids), most, rng) for slot, ids in zip(slots, fitting, strict=True)]
        whole = np.logical_and.reduce([~_twice(group) for group in drawn])
        groups = [group[whole] for group in drawn]
    else:
        every = [_every(slot, len(ids)) for slot, ids in zip(slots, fitting, strict=True)]
        rows = np.indices([len(group) for group in every]).reshape(len(every), -1)
        groups = [group[at] for group, at in zip(every, rows, strict=True)]
    placed = [np.where(g == EMPTY, EMPTY, p[g]) if len(p) else g for g, p in zip(groups, positions, strict=True)]
    return CandidateSet.of(type, slots, placed)


def _fitting(slot: Slot, ids: Collection[ObjectId], models: Sequence[ObjectId]) -> Sequence[ObjectId]:
    if slot.kind != "model":
        return list(ids)
    fit = set(ids)
    return [i for i in models if i in fit]


def _ways(slot: Slot, n: int) -> int:
    count = math.perm if slot.ordered else math.comb
    return sum(count(n, k) for k in range(slot.at_least, slot.at_most + 1))


def _every(slot: Slot, n: int) -> Positions:
    pick = itertools.permutations if slot.ordered else itertools.combinations
    return _padded([g for k in range(slot.at_least, slot.at_most + 1) for g in pick(range(n), k)], slot.at_most)


def _draw(slot: Slot, n: int, count: int, rng: np.random.Generator) -> Positions:
    """Groups of at most `n` objects; the square of an even draw makes the first, so the best, models frequent."""
    if slot.kind != "model" and slot.at_most > 1:
        # Of large groups nearly every one that is drawn with repeats has an object twice.
        order = np.argsort(rng.random((count, max(n, slot.at_most))), axis=1)[:, : slot.at_most]
        sizes = rng.integers(slot.at_least, min(slot.at_most, n) + 1, count) if n >= slot.at_least else np.zeros(count)
        return np.where((np.arange(slot.at_most) < sizes[:, None]) & (order < n), order, EMPTY)
    even = rng.random((count, slot.at_most))
    group = (n * (even**2 if slot.kind == "model" else even)).astype(np.intp)
    sizes = rng.integers(slot.at_least, min(slot.at_most, n) + 1, count) if n >= slot.at_least else np.zeros(count)
    return np.where(np.arange(slot.at_most) < sizes[:, None], group, EMPTY)


def _twice(group: Positions) -> NDArray[np.bool_]:
    """Whether a row has an object twice."""
    ordered = np.sort(group, axis=1)
    found: NDArray[np.bool_] = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != EMPTY)).any(axis=1)
    return found


def _padded(groups: Sequence[Sequence[int]], width: int) -> Positions:
    return np.array([[*g, *[EMPTY] * (width - len(g))] for g in groups], np.intp).reshape(len(groups), width)
