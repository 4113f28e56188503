"""Intervals of scores, objectives and paired gains, held against simulated truths: how often they hold the truth.

    python benchmarks/intervals.py [--runs 2000]

Nominal is .95 for intervals, and at most .05 for a guard that is broken by luck. Items are right or wrong, or graded in
[0, 1]; hard ones are hard for both models of a pair.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lamdagent.core.intervals import gain_interval, objective_interval, score_interval
from lamdagent.core.items import Draw, ItemValues, mean_and_error
from lamdagent.core.state import ONE_SIDED_95
from lamdagent.core.types import Score, TaskWeight
from lamdagent.evaluation.statistics import difference

Array = NDArray[np.float64]
SIZES = (20, 100, 200, 1000)
TRUTHS = (0.02, 0.1, 0.5, 0.9, 0.98)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulations a figure")
    runs = parser.parse_args().runs
    print(f"| what | truth | {' | '.join(f'{n} items' for n in SIZES)} |\n|---|---|{'---|' * len(SIZES)}")
    for lines in (scores, objectives, gains, guards, differences, clusters, same_rows):
        for what, truth, seen in lines(runs):
            print(f"| {what} | {truth} | {' | '.join(f'{share:.3f}' for share in seen)} |", flush=True)


Line = tuple[str, str, list[float]]


def right_or_wrong(rng: np.random.Generator, truth: float, n: int) -> Array:
    return (rng.random(n) < truth).astype(float)


def graded(rng: np.random.Generator, truth: float, n: int) -> Array:
    return np.asarray(rng.beta(2 * truth, 2 * (1 - truth), n))


def mostly_whole(rng: np.random.Generator, truth: float, n: int) -> Array:
    """Right or wrong but for a fifth of the items, as an F1."""
    return np.where(rng.random(n) < 0.2, graded(rng, truth, n), right_or_wrong(rng, truth, n))


def scored(values: Array, task: str = "t", gain: Array | None = None) -> Score:
    value, stderr = mean_and_error(values.tolist())
    gained = (None, None) if gain is None else mean_and_error(gain.tolist())
    return Score(
        task=task, split="validation", value=value, stderr=stderr, n=len(values), gain=gained[0], gain_stderr=gained[1]
    )


def share(runs: int, n: int, holds: Callable[[np.random.Generator, int], bool]) -> float:
    return float(np.mean([holds(np.random.default_rng([n, run]), n) for run in range(runs)]))


def scores(runs: int) -> Iterator[Line]:
    for what, items in (("right or wrong", right_or_wrong), ("graded", graded), ("a fifth graded", mostly_whole)):
        for truth in TRUTHS:

            def holds(rng: np.random.Generator, n: int, items: Items = items, truth: float = truth) -> bool:
                low, high = score_interval(scored(items(rng, truth, n))) or (0.0, 0.0)
                return low <= truth <= high

            yield f"score, {what}: interval", f"{truth}", [share(runs, n, holds) for n in SIZES]


Items = Callable[[np.random.Generator, float, int], Array]


def objectives(runs: int) -> Iterator[Line]:
    goals = [TaskWeight(task="a"), TaskWeight(task="b", weight=2.0), TaskWeight(task="c")]
    for truths in ((0.5, 0.5, 0.5), (0.98, 0.5, 0.02), (0.98, 0.98, 0.98), (0.02, 0.1, 0.02)):
        true = float(np.average(truths, weights=[1, 2, 1]))

        def holds(rng: np.random.Generator, n: int, truths: tuple[float, ...] = truths, true: float = true) -> bool:
            found = [scored(right_or_wrong(rng, p, n), g.task) for p, g in zip(truths, goals, strict=True)]
            low, high = objective_interval(goals, found) or (0.0, 0.0)
            return low <= true <= high

        yield "objective of 3, weights 1, 2, 1: interval", f"{truths}", [share(runs, n, holds) for n in SIZES]


def pair(rng: np.random.Generator, first: float, second: float, n: int) -> tuple[Array, Array]:
    """Right or wrong, with a common difficulty (correlation 0.5)."""
    hidden = np.sqrt(0.5) * (rng.normal(size=n) + rng.normal(size=(2, n)))
    a, b = (hidden < stats.norm.ppf([[first], [second]])).astype(float)
    return a, b


PAIRS = ((0.5, 0.5), (0.6, 0.5), (0.9, 0.9), (0.98, 0.98), (0.98, 0.9), (0.05, 0.02), (0.02, 0.02))


def gains(runs: int) -> Iterator[Line]:
    for first, second in PAIRS:

        def holds(rng: np.random.Generator, n: int, first: float = first, second: float = second) -> bool:
            a, b = pair(rng, first, second, n)
            low, high = gain_interval(scored(a, gain=a - b)) or (0.0, 0.0)
            return low <= first - second <= high

        yield "gain over the base model: interval", f"{first} - {second}", [share(runs, n, holds) for n in SIZES]


def guards(runs: int) -> Iterator[Line]:
    for first, second in ((0.5, 0.52), (0.88, 0.9), (0.96, 0.98), (0.5, 0.6), (0.02, 0.04)):

        def broken(rng: np.random.Generator, n: int, first: float = first, second: float = second) -> bool:
            a, b = pair(rng, first, second, n)
            found = gain_interval(scored(a, gain=a - b), z=ONE_SIDED_95)
            return found is not None and found[1] < first - second

        yield "guard at the bound: broken", f"{first} - {second}", [share(runs, n, broken) for n in SIZES]


def differences(runs: int) -> Iterator[Line]:
    goals = [TaskWeight(task="t")]
    for first, second in PAIRS:

        def holds(rng: np.random.Generator, n: int, first: float = first, second: float = second) -> bool:
            a, b = pair(rng, first, second, n)
            found = difference({"t": a}, {"t": b}, goals, seed=0, resamples=500)
            return found.low <= first - second <= found.high

        yield "paired difference: interval", f"{first} - {second}", [share(runs // 4, n, holds) for n in SIZES]


def on_documents(rng: np.random.Generator, truth: float, n: int) -> ItemValues:
    """Documents of 5 questions, right or wrong, the hidden correlation of a document's being 0.6."""
    documents = np.repeat(rng.normal(size=n // 5), 5)
    hidden = np.sqrt(0.6) * documents + np.sqrt(0.4) * rng.normal(size=n)
    return ItemValues(
        (hidden < stats.norm.ppf(truth)).astype(float).tolist(), Draw(clusters=tuple(map(str, np.arange(n) // 5)))
    )


def clusters(runs: int) -> Iterator[Line]:
    goals = [TaskWeight(task="t")]
    for truth in TRUTHS:

        def holds(rng: np.random.Generator, n: int, truth: float = truth) -> bool:
            values = on_documents(rng, truth, n)
            value, stderr = mean_and_error(values)
            found = Score(task="t", split="validation", value=value, stderr=stderr, n=n, clusters=n // 5)
            low, high = score_interval(found) or (0.0, 0.0)
            return low <= truth <= high

        yield "score, 5 questions a document: interval", f"{truth}", [share(runs, n, holds) for n in SIZES]
    for truth in (0.5, 0.9):

        def apart(rng: np.random.Generator, n: int, truth: float = truth, kept: bool = True) -> bool:
            a, b = (on_documents(rng, truth, n) for _ in range(2))
            pair = [{"t": x if kept else np.array(x)} for x in (a, b)]
            return difference(pair[0], pair[1], goals, seed=0, resamples=500).p < 0.05

        for kept, words in ((True, ""), (False, ", taken as single items")):

            def told(rng: np.random.Generator, n: int, apart: Apart = apart, kept: bool = kept) -> bool:
                return apart(rng, n, kept=kept)

            seen = [share(runs // 4, n, told) for n in SIZES]
            yield f"equal models, 5 questions a document: p < .05{words}", f"{truth}", seen


Apart = Callable[..., bool]


def same_rows(runs: int) -> Iterator[Line]:
    """Two tasks that score the same answers in two ways, which agree on four fifths of the rows."""
    goals = [TaskWeight(task="t"), TaskWeight(task="u")]
    for truth in (0.5, 0.9):

        def apart(rng: np.random.Generator, n: int, truth: float = truth) -> bool:
            rows = Draw(clusters=tuple(map(str, range(n))))
            models = []
            for _ in range(2):
                first = right_or_wrong(rng, truth, n)
                second = np.where(rng.random(n) < 0.8, first, right_or_wrong(rng, truth, n))
                models.append({"t": ItemValues(first.tolist(), rows), "u": ItemValues(second.tolist(), rows)})
            return difference(models[0], models[1], goals, seed=0, resamples=500).p < 0.05

        yield (
            "equal models, two tasks over the same rows: p < .05",
            f"{truth}",
            [share(runs // 4, n, apart) for n in SIZES],
        )


if __name__ == "__main__":
    main()
