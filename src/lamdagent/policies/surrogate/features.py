"""What a pool's objects have behind them, as arrays over the pool."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamdagent.core.state import State
from lamdagent.core.types import Action, Made, Object, ObjectId

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]

OWN = 0.7  # of a made dataset's effect beyond those it is made from, against that of a provided one
SOURCES = 4  # of the datasets that one is made from, how many are looked at
FADES = 0.7  # what is left of "seen" with every later step
WIDE = 10.0  # positive numbers of settings that differ by so large a factor are compared by their logarithms


@dataclass(frozen=True, slots=True)
class LineageFeatures:
    """Facts of every object of the pool; all 0 where they do not apply.

    `depth` (pool,) steps back to a base model; `merges` (pool,) how many of them took several models; `seen` and
    `latest` (pool, pool) how often a model saw a dataset, older times counting less, and whether its last step did, in
    [0, 1]: a merge has the mean of its parents. `distance` (pool,) how far a model's weights lie from its base model's,
    where that is known, against the mean of all made models. `numbers`: by action type, each numeric key of its
    settings (pool,), standardised. `own` (pool,) how much of a dataset's effect is its own; of a made one the rest is
    the mean of those it is made from: `sources` (pool, most) are positions, with their `shares` (pool, most), 0 where
    there is none.
    """

    depth: Floats
    merges: Floats
    seen: Floats
    latest: Floats
    distance: Floats
    numbers: Mapping[str, Mapping[str, Floats]]
    own: Floats
    sources: Positions
    shares: Floats


def lineage_features(state: State, makers: Mapping[ObjectId, Action] | None = None) -> LineageFeatures:
    """The lineages of a state's pool, in its order.

    Args:
        makers: the actions that would make datasets of the pool that are imagined.
    """
    pool, n = list(state.pool.values()), len(state.pool)
    place = {obj.id: i for i, obj in enumerate(pool)}
    depth, merges, seen, latest = np.zeros(n), np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
    for trial in state.trials:
        action = trial.choice.action
        at = place.get(action.id)
        if at is None or not isinstance(trial.outcome, Made):
            continue
        used = [place[i] for i in action.object_ids]
        parents = [i for i in used if pool[i].kind == "model"]
        if not parents:
            continue
        depth[at], merges[at] = 1 + depth[parents].max(), merges[parents].max() + (len(parents) > 1)
        seen[at] = FADES * seen[parents].mean(axis=0)
        datasets = [i for i in used if pool[i].kind == "dataset"]
        seen[at, datasets] += 1.0
        latest[at, datasets] = 1.0
        if not datasets:
            latest[at] = latest[parents].mean(axis=0)
    distance = np.array([float(obj.model.get("distance", 0.0)) if obj.kind == "model" else 0.0 for obj in pool])
    distance /= distance[distance > 0].mean() if distance.any() else 1.0
    types = {obj.setting["action"] for obj in pool if obj.kind == "hyperparameters" and "action" in obj.setting}
    numbers = {type: _numbers(pool, type) for type in types}
    return LineageFeatures(depth, merges, seen, latest, distance, numbers, *_composition(state, place, makers or {}))


def _composition(
    state: State, place: Mapping[ObjectId, int], makers: Mapping[ObjectId, Action]
) -> tuple[Floats, Positions, Floats]:
    """What is a dataset's own, and what it is made from, back to those that the user provided: the `SOURCES` weightiest."""
    parts: dict[int, dict[int, float]] = {}
    own = np.ones(len(place))
    for at, obj in enumerate(state.pool.values()):
        if obj.kind != "dataset" or obj.made_by is None:
            continue
        trial = state.trial_of(obj.id)
        action = trial.choice.action if trial else makers[obj.id]
        sources = [place[i] for i in action.object_ids if state.pool[i].kind == "dataset"]
        found: dict[int, float] = {}
        for source in sources:
            for part, share in {**parts.get(source, {}), source: own[source]}.items():
                found[part] = found.get(part, 0.0) + share / len(sources)
        parts[at], own[at] = found, OWN if sources else 1.0
    most = min(SOURCES, max(map(len, parts.values()), default=0))
    positions, shares = np.tile(np.arange(len(place))[:, None], most), np.zeros((len(place), most))
    for at, found in parts.items():
        for k, (part, share) in enumerate(sorted(found.items(), key=lambda one: -one[1])[:most]):
            positions[at, k], shares[at, k] = part, share
    return own, positions, shares


def _numbers(pool: Sequence[Object], type: str) -> dict[str, Floats]:
    """The numeric keys in which settings of an action type differ, standardised among those that have them."""
    by_key: dict[str, dict[int, float]] = {}
    for i, obj in enumerate(pool):
        if obj.kind == "hyperparameters" and obj.setting.get("action") == type:
            for key, value in _flat(obj.setting.get("values", {})):
                by_key.setdefault(key, {})[i] = value
    found: dict[str, Floats] = {}
    for key, values in by_key.items():
        numbers = np.array(list(values.values()))
        if len(set(values.values())) < 2:
            continue
        if numbers.min() > 0 and numbers.max() / numbers.min() >= WIDE:
            numbers = np.log(numbers)
        spread = np.zeros(len(pool))
        spread[list(values)] = (numbers - numbers.mean()) / numbers.std()
        found[key] = spread
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and math.isfinite(value):
            yield f"{prefix}{key}", float(value)
