"""What is claimed of picks, comparisons, sizes and orders, held against simulated truths: nominal against seen.

    python benchmarks/claims.py [--runs 60]

Items are right or wrong, hard ones hard for all models (correlation 0.4). Every line is a claim, what it should be, and what
was seen in so many simulations, with the Monte-Carlo error of a share.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lamdagent.core.types import TaskWeight
from lamdagent.evaluation.held_out import held_out_picks
from lamdagent.evaluation.statistics import corrected_winner, stability
from lamdagent.results.order import item_agreement
from lamdagent.results.statistics import holm, item_error, paired

Array = NDArray[np.float64]
GOALS = [TaskWeight(task="t")]
COMMON = 0.4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="simulations a line")
    runs = parser.parse_args().runs
    print("| claim | nominal | seen |\n|---|---|---|")
    for lines in (picks, seeds_and_items, many_tests, winners, sizes, orders):
        for claim, nominal, seen in lines(runs):
            print(f"| {claim} | {nominal} | {seen} |", flush=True)


Line = tuple[str, str, str]


def answers(rng: np.random.Generator, chances: Array, n: int) -> Array:
    """Right or wrong, models by items."""
    hidden = np.sqrt(COMMON) * rng.normal(size=n) + np.sqrt(1 - COMMON) * rng.normal(size=(len(chances), n))
    return np.asarray(hidden < stats.norm.ppf(chances)[:, None], dtype=float)


def share(found: list[bool]) -> str:
    p = float(np.mean(found))
    return f"{p:.3f} ± {np.sqrt(max(p * (1 - p), 0.25 / len(found)) / len(found)):.3f}"


def picks(runs: int) -> Iterator[Line]:
    """30 equal models against 3, 5 seeds on one set of items."""
    for n in (20, 100, 200, 1000):
        held, maximum, gains = [], [], []
        for run in range(runs):
            rng = np.random.default_rng([1, run])
            few: list[Array] = []
            many: list[Array] = []
            top_few: list[float] = []
            top_many: list[float] = []
            shared_N = rng.normal(size=n)  # hard items are hard for all models of all seeds
            for _ in range(5):
                hidden = np.sqrt(COMMON) * shared_N + np.sqrt(1 - COMMON) * rng.normal(size=(33, n))
                found = [{"t": row} for row in (hidden < 0).astype(float)]
                for group, out, top in ((found[:3], few, top_few), (found[3:], many, top_many)):
                    picked = held_out_picks(group, GOALS, [len(group)])
                    assert picked is not None
                    out.append(picked["t"][0])
                    top.append(max(float(model["t"].mean()) for model in group))
            gap_SN = np.stack(many) - np.stack(few)
            test = paired(list(gap_SN.mean(axis=1)), [0.0] * 5, item_error([{"t": row} for row in gap_SN], GOALS))
            held.append((test.t_p or 1.0) < 0.05)
            maximum.append((paired(top_many, top_few).t_p or 1.0) < 0.05)
            gains.append(float(gap_SN.mean()))
        yield (
            f"{n} items: 30 equal models against 3, held-out pick p < .05 (gain {np.mean(gains):+.3f})",
            "0.050",
            share(held),
        )
        yield f"{n} items: the same by the validation maximum, no claim any more", "-", share(maximum)


def seeds_and_items(runs: int) -> Iterator[Line]:
    """Arms that these items favour by as much as seeds differ; the truth is no difference."""
    for seeds in (3, 5, 10):
        for of_items in (0.0, 0.5, 0.9):
            both, alone = [], []
            for run in range(20 * runs):
                rng = np.random.default_rng([2, run])
                n = 100
                gap_SN = (
                    np.sqrt(1 - of_items) * rng.normal(size=(seeds, 1))
                    + np.sqrt(of_items * n) * rng.normal(size=n)
                    + rng.normal(size=(seeds, n))
                )
                gaps, zeros = list(gap_SN.mean(axis=1)), [0.0] * seeds
                both.append((paired(gaps, zeros, item_error([{"t": row} for row in gap_SN], GOALS)).t_p or 1.0) < 0.05)
                alone.append((paired(gaps, zeros).t_p or 1.0) < 0.05)
            claim = f"{seeds} seeds, {of_items:.0%} of luck in shared items: equal arms p < .05"
            yield f"{claim} (seeds alone: {np.mean(alone):.3f})", "0.050", share(both)


def many_tests(runs: int) -> Iterator[Line]:
    for count in (8, 35):
        p = np.random.default_rng(3).random((20 * runs, count)).tolist()
        found = [min(holm(row)) < 0.05 for row in p]
        yield (
            f"{count} equal arms: some Holm p < .05 (raw: {np.mean(np.min(p, axis=1) < 0.05):.3f})",
            "0.050",
            share(found),
        )


TRUTHS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "equals": lambda rng, m: np.full(m, 0.5),
    "spread like the error": lambda rng, m: 0.5 + 0.035 * rng.normal(size=m),
    "spread 4 times as wide": lambda rng, m: np.clip(0.5 + 0.14 * rng.normal(size=m), 0.05, 0.95),
    "one star at .6": lambda rng, m: np.r_[0.6, np.full(m - 1, 0.5)],
    "one star at .7": lambda rng, m: np.r_[0.7, np.full(m - 1, 0.5)],
    "30 % failures": lambda rng, m: np.where(rng.random(m) < 0.3, 0.1, 0.5),
    "near 1": lambda rng, m: np.clip(0.97 + 0.01 * rng.normal(size=m), 0.9, 0.995),
    # On these nothing was ever chosen; on those above, the spreads and shares of the posterior's prior were.
    "even from .3 to .7": lambda rng, m: rng.uniform(0.3, 0.7, size=m),
    "t of 3 degrees": lambda rng, m: np.clip(0.5 + 0.03 * rng.standard_t(3, size=m), 0.05, 0.95),
    "half .4, half .5": lambda rng, m: np.where(rng.random(m) < 0.5, 0.4, 0.5),
    "equals at .2": lambda rng, m: np.full(m, 0.2),
    "three stars at .6": lambda rng, m: np.r_[np.full(3, 0.6), np.full(m - 3, 0.5)],
}


@dataclass(frozen=True)
class Won:
    raw: float
    off: float
    held: bool


def winners(runs: int) -> Iterator[Line]:
    for name, truths in TRUTHS.items():
        for m, n in ((5, 200), (40, 20), (40, 100), (40, 200), (40, 1000)):
            found = [_won(np.random.default_rng([4, run]), truths, m, n, run) for run in range(runs)]
            bias, raw = np.mean([won.off for won in found]), np.mean([won.raw for won in found])
            claim = f"leader of {m}, {n} items, {name}: interval covers (bias {bias:+.3f}, raw {raw:+.3f})"
            yield claim, "0.950", share([won.held for won in found])


def _won(
    rng: np.random.Generator, truths: Callable[[np.random.Generator, int], Array], m: int, n: int, seed: int
) -> Won:
    truth = truths(rng, m)
    x = answers(rng, truth, n)
    best = int(x.mean(axis=1).argmax())
    found = corrected_winner({i: {"t": row} for i, row in enumerate(x)}, GOALS, seed=seed)
    held = bool(found.low <= truth[best] <= found.high)
    return Won(found.raw - truth[best], found.corrected - truth[best], held)


def sizes(runs: int) -> Iterator[Line]:
    for name, chances in (
        ("ten equal models", np.full(10, 0.5)),
        ("one of ten ahead by .2", np.r_[0.7, np.full(9, 0.5)]),
    ):
        for n in (20, 100, 200, 1000):
            claims, low, first = [], [], []
            for run in range(runs):
                x = answers(np.random.default_rng([5, run]), chances, n)
                rows = stability({i: {"t": row} for i, row in enumerate(x)}, GOALS, [n, 5 * n], 10, seed=run)
                claims.append(any(row.best_first_low >= 0.9 for row in rows))
                low.append(rows[0].best_first_low)
                first.append(rows[0].best_first)
            figures = f"best first {np.mean(first):.2f}, from {np.mean(low):.2f}"
            claim = f"{name}, {n} items: some size is called enough ({figures})"
            yield claim, "at most 0.050" if name.startswith("ten") else "high", share(claims)


def orders(runs: int) -> Iterator[Line]:
    close, apart = np.linspace(0.45, 0.55, 6), np.linspace(0.4, 0.6, 6)
    mixed = np.array([0.5, 0.4, 0.46, 0.6, 0.54, 0.58])
    for name, cheap, full, n in (
        *(("same order, .45 to .55", close, close, n) for n in (20, 100, 200, 1000)),
        *(("half kept, .4 to .6", apart, mixed, n) for n in (20, 100, 200, 1000)),
        *(("turned round, .4 to .6", apart, apart[::-1], n) for n in (20, 100, 200, 1000)),
    ):
        true, seen, held = float(stats.kendalltau(cheap, full).statistic), [], []
        for run in range(runs // 2):
            x = answers(np.random.default_rng([6, run]), np.r_[cheap, full], n)
            found = item_agreement([{"t": row} for row in x[:6]], [{"t": row} for row in x[6:]], GOALS, seed=run)
            seen.append(found.tau)
            held.append(found.low - 1e-9 <= true <= found.high + 1e-9)
        yield (
            f"six pipelines, {n} items, {name}: interval covers tau {true:.2f} (seen {np.mean(seen):.2f})",
            "0.950",
            share(held),
        )


if __name__ == "__main__":
    main()
