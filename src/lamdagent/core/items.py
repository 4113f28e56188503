"""What the items of a task gave, how they were drawn, and what follows for the error of their mean.

Questions on one passage, or one question asked by two tasks, are right and wrong together: they were drawn once. So items
carry the key of their cluster, errors are those of clusters (Liang and Zeger 1986, with C / (C - 1)), and tasks whose items
have keys in common vary together. A group of subtasks is a stratified sample: how many items a subtask has is no accident.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How items were drawn, one entry an item.

    Items with one key in `clusters`, of this task or another, were drawn together. `strata` names the part of the task that
    each is of, and `shares` what each part counts in the mean; without parts all items count alike.
    """

    clusters: tuple[str, ...]
    strata: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)

    def first(self, n: int) -> Draw:
        """Of the first `n` items."""
        return Draw(clusters=self.clusters[:n], strata=self.strata[:n], shares=self.shares)

    def at(self, places: Sequence[int]) -> Draw:
        """Of the items at these places."""
        strata = tuple(self.strata[i] for i in places) if self.strata else ()
        return Draw(clusters=tuple(self.clusters[i] for i in places), strata=strata, shares=self.shares)

    @property
    def plain(self) -> bool:
        """Whether each item was drawn by itself and all count alike."""
        return not self.strata and len(set(self.clusters)) == len(self.clusters)

    def weights(self) -> list[float]:
        """What each item counts in the mean; 1 in all."""
        if not self.strata:
            return [1 / len(self.clusters)] * len(self.clusters)
        sizes = Counter(self.strata)
        total = math.fsum(self.shares[part] for part in sizes)
        return [self.shares[part] / total / sizes[part] for part in self.strata]

    def parts(self) -> list[tuple[list[int], float]]:
        """The items of each part by place, and by how much its clusters show too little spread. Parts of a single cluster
        show none, and are taken together."""
        places: dict[str, list[int]] = defaultdict(list)
        for place in range(len(self.clusters)):
            places[self.strata[place] if self.strata else ""].append(place)
        counts = {part: len({self.clusters[i] for i in of_one}) for part, of_one in places.items()}
        alone = [i for part, of_one in places.items() if counts[part] < 2 for i in of_one]
        found = [(of_one, counts[part]) for part, of_one in places.items() if counts[part] > 1]
        found += [(alone, len({self.clusters[i] for i in alone}))] if alone else []
        return [(of_one, math.sqrt(c / (c - 1)) if c > 1 else 1.0) for of_one, c in found]


class ItemValues(list[float]):
    """What each item gave, in their order; `draw` is None where each was drawn by itself."""

    def __init__(self, values: Iterable[float] = (), draw: Draw | None = None) -> None:
        super().__init__(values)
        self.draw = draw


def draw_of(values: object) -> Draw | None:
    """How items were drawn, where that is known."""
    return values.draw if isinstance(values, ItemValues) else None


def first_of(values: Sequence[float], n: int) -> ItemValues:
    """The first `n` items."""
    draw = draw_of(values)
    return ItemValues(values[:n], None if draw is None else draw.first(n))


def less(a: Sequence[float], b: Sequence[float]) -> ItemValues:
    """What each item gave more to one model than to another; items of the same draw."""
    return ItemValues((x - y for x, y in zip(a, b, strict=True)), draw_of(a) or draw_of(b))


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean of one value or more, and its standard error; None for a single item or a single cluster."""
    draw, n = draw_of(values), len(values)
    if draw is None or draw.plain:
        mean = math.fsum(values) / n
        return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n) if n > 1 else None
    mean = math.fsum(w * v for w, v in zip(draw.weights(), values, strict=True))
    errors = errors_by_cluster(values)
    return mean, math.sqrt(math.fsum(e**2 for e in errors.values())) if len(errors) > 1 else None


def errors_by_cluster(values: Sequence[float]) -> dict[str, float]:
    """What each cluster adds to the error of the mean: the squares sum to its variance, and the products with those of
    another task to their covariance. Without a draw there are no keys, and nothing is known."""
    if (draw := draw_of(values)) is None:
        return {}
    found, weights = defaultdict[str, float](float), draw.weights()
    for places, correction in draw.parts():
        total = math.fsum(weights[i] for i in places)
        centre = math.fsum(weights[i] * values[i] for i in places) / total
        for i in places:
            found[draw.clusters[i]] += correction * weights[i] * (values[i] - centre)
    return dict(found)


def cluster_count(values: Sequence[float]) -> int | None:
    """How many clusters items were drawn in, in a task of several parts also single items; None where each was drawn by
    itself."""
    draw = draw_of(values)
    return None if draw is None or draw.plain else len(set(draw.clusters))
