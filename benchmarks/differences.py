"""How often equal models are told apart, and how often the interval holds no difference, with tasks of unlike size.

    python benchmarks/differences.py --runs 300

Binary items with a difficulty that both models share; shares at the null, nominal .05 and .95.
"""

from __future__ import annotations

import argparse

import numpy as np

from lamdagent.core.types import TaskWeight
from lamdagent.evaluation.statistics import difference

WORLDS: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...] = (
    ((20,), (1,)),
    ((20, 20), (1, 1)),
    ((20, 1000), (1, 1)),
    ((4, 1000), (1, 1)),
    ((4, 1000), (0.05, 1)),
    ((4, 1000), (0, 1)),
    ((100, 20, 20, 20), (1, 1, 1, 1)),
    ((200, 200), (1, 3)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300, help="simulations of each world")
    runs = parser.parse_args().runs
    print("| items | weights | p < .05 | interval covers 0 |\n|---|---|---|---|")
    for sizes, weights in WORLDS:
        told_apart, covered = at_the_null(sizes, weights, runs)
        print(f"| {', '.join(map(str, sizes))} | {', '.join(map(str, weights))} | {told_apart:.3f} | {covered:.3f} |")


def at_the_null(sizes: tuple[int, ...], weights: tuple[float, ...], runs: int) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    goals = [TaskWeight(task=str(k), weight=weight) for k, weight in enumerate(weights)]
    told_apart = covered = 0
    for run in range(runs):
        difficulty = [rng.normal(size=n) for n in sizes]
        a, b = (
            {str(k): (d + 1.2 * rng.normal(size=len(d)) > 0).astype(float) for k, d in enumerate(difficulty)}
            for _ in range(2)
        )
        found = difference(a, b, goals, seed=run, resamples=1000)
        told_apart += found.p < 0.05
        covered += found.low <= 0 <= found.high
    return told_apart / runs, covered / runs


if __name__ == "__main__":
    main()
