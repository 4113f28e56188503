"""What racing saves: items asked to find the best of 30 models, against scoring every model on every item.

    python benchmarks/racing.py [--races 200]

Models come one by one, as in a search. Each is asked the first 100 items, then 100 more at a time up to 1,000, and is
dismissed as soon as it is behind the leader; one that is not takes the lead if its mean is higher. Items are right or
wrong, and hard items are hard for all (errors correlate at about 0.33). Prints how often the truly best model leads at
the end, and how far below the best the leader truly is. About a minute on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lamdagent.core.types import TaskWeight
from lamdagent.evaluation.statistics import verdict

MODELS = 30
LOOKS = range(100, 1001, 100)
SPREADS = (0.01, 0.02, 0.05, 0.1)
GOALS = [TaskWeight(task="task")]

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=200)
    races = parser.parse_args().races
    print(f"{MODELS} models, {LOOKS[-1]} items, looks every {LOOKS[0]}, {races} races a line")
    print("spread of    items asked    best found         below the best")
    print("true scores  of all         racing   all       racing   all")
    for spread in SPREADS:
        asked, found, full, lost, full_lost = np.mean([one_race(spread, seed) for seed in range(races)], axis=0)
        print(f"{spread:<11.2f}  {asked:5.1%}          {found:6.1%}   {full:6.1%}    {lost:.4f}   {full_lost:.4f}")


def one_race(spread: float, seed: int) -> tuple[float, bool, bool, float, float]:
    """Share of items asked; whether racing, and scoring all, found the best; how far below it they ended."""
    rng = np.random.default_rng(seed)
    chance_M = np.clip(0.5 + spread * rng.normal(size=MODELS), 0.05, 0.95)
    items_MN = answers(chance_M, LOOKS[-1], rng)
    picked, asked = race(items_MN, LOOKS)
    full, best = int(items_MN.mean(axis=1).argmax()), int(chance_M.argmax())
    lost_M = chance_M[best] - chance_M
    return asked / items_MN.size, picked == best, full == best, lost_M[picked], lost_M[full]


def answers(chance_M: Array, n: int, rng: np.random.Generator) -> Array:
    """Right or wrong, models by items; half of what decides is the item's difficulty, the same for all."""
    hidden_MN = np.sqrt(0.5) * (rng.normal(size=n) + rng.normal(size=(len(chance_M), n)))
    right_MN: Array = (hidden_MN < norm.ppf(chance_M)[:, None]).astype(float)
    return right_MN


def race(items_MN: Array, looks: Sequence[int]) -> tuple[int, int]:
    """Who leads at the end, and how many items were asked. The first model is asked everything."""
    leader, asked = 0, looks[-1]
    for challenger in range(1, len(items_MN)):
        for n in looks:
            ours, theirs = ({"task": items_MN[m, :n]} for m in (challenger, leader))
            if verdict(ours, theirs, GOALS, looks=len(looks)) == "behind":
                break
        else:
            leader = max(leader, challenger, key=lambda m: items_MN[m].mean())
        asked += n
    return leader, asked


if __name__ == "__main__":
    main()
