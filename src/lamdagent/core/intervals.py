"""Intervals of scores, which know that a score has a least and a best value: 95 %, over the draw of the items.

A mean of items that are all right has no spread, and still may be .98: as many items as that can happen to be all right.
So a score has the interval of Wilson 1927 with the variance that its items show (that of right and wrong for items which
are all alike), objectives put those of their scores together (MOVER, Zou and Donner 2008), and paired differences have
that of Agresti and Min 2005. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from lamdagent.core.types import Score, TaskWeight

NORMAL_95 = NormalDist().inv_cdf(0.975)
ROUNDING = 1e-9

Interval = tuple[float, float]


def score_interval(score: Score, best: float = 1.0) -> Interval | None:
    """The 95 % interval of a score, within [0, `best`], as far as the draw of its items goes.

    Items beyond [0, `best`] have no bounds that are known of: there it is Student's, and None for a single item. In
    simulation it covers at 93 to 100 % from 20 items on, graded ones at 95 to 100 % (`benchmarks/intervals.py`).

    Args:
        best: the best value of an item, `max_score` of its task.
    """
    p, draws = score.value / best, float(score.n if score.clusters is None else score.clusters)
    most = p * (1 - p)
    variance = most / max(1, draws - 1) if score.stderr is None else (score.stderr / best) ** 2
    if most < -ROUNDING or (score.clusters is None and variance * (draws - 1) > most + ROUNDING):
        if score.stderr is None:
            return None
        reach = t_quantile(0.975, draws - 1) * score.stderr
        return score.value - reach, score.value + reach
    if variance > 0:  # what clusters make of the number of items
        draws = max(draws, min(score.n, most / variance))
    z = NORMAL_95 if score.clusters is None else t_quantile(0.975, score.clusters - 1)
    shrunk = 1 + z**2 / draws
    centre, reach = (p + z**2 / (2 * draws)) / shrunk, z * math.sqrt(variance + (z / (2 * draws)) ** 2) / shrunk
    # Of graded items the pull towards 1/2 may be more than their spread: they reach what a normal law reaches, too.
    plain = 0.0 if score.clusters is None and variance * (draws - 1) > most - ROUNDING else z * math.sqrt(variance)
    low, high = min(p - plain, centre - reach), max(p + plain, centre + reach)
    return best * max(0.0, low), best * min(1.0, high)


def objective_interval(goals: Sequence[TaskWeight], scores: Sequence[Score]) -> Interval | None:
    """The 95 % interval of the weighted mean of scores, one for each goal, from those of the scores (MOVER).

    Of one score it is that score's; None where a score has none. Of several it reaches at least as far as their normal law,
    since the skewness of several tasks near 0 or 1 adds up. Scores of the same rows go up and down together as far as
    their errors do.
    """
    shares = [goal.weight / goal.max_score / sum(g.weight for g in goals) for goal in goals]
    found = [score_interval(score, goal.max_score) for goal, score in zip(goals, scores, strict=True)]
    ends = [end for end in found if end is not None]
    if len(ends) < len(scores):
        return None
    below = [share * (score.value - low) for share, score, (low, _) in zip(shares, scores, ends, strict=True)]
    above = [share * (high - score.value) for share, score, (_, high) in zip(shares, scores, ends, strict=True)]
    value = math.fsum(share * score.value for share, score in zip(shares, scores, strict=True))
    low, high = value - _together(below, scores), value + _together(above, scores)
    if len(scores) == 1:
        return low, high
    plain = [share * NORMAL_95 * (score.stderr or 0.0) for share, score in zip(shares, scores, strict=True)]
    reach = _together(plain, scores)
    bounded = all(0 <= score.value <= goal.max_score for goal, score in zip(goals, scores, strict=True))
    least, most = (0.0, 1.0) if bounded else (-math.inf, math.inf)
    return min(low, max(least, value - reach)), max(high, min(most, value + reach))


def gain_interval(score: Score, best: float = 1.0, z: float = NORMAL_95) -> Interval | None:
    """The interval of a score's paired gain that reaches `z` normal deviates each way; None without an error.

    With one pair added that differs half up and half down, and one that does not (Agresti and Min 2005), so that a gain on
    few items is not certain because they are alike. The added pair differs by no more than all others together.
    """
    if score.gain is None or score.gain_stderr is None:
        return None
    m = score.n if score.clusters is None else score.clusters
    gain, own = score.gain / best, (score.gain_stderr / best) ** 2 * m * (m - 1)
    seen = own + m * gain**2
    variance = (own + 2 * m * gain**2 / (m + 2) + (min(1.0, seen) if seen else 1.0)) / (m + 2) ** 2
    centre, reach = m * gain / (m + 2), z * math.sqrt(variance)
    return best * min(gain, centre - reach), best * max(gain, centre + reach)


def t_quantile(share: float, dof: float) -> float:
    """Student's quantile; exact for 1 and 2 degrees of freedom, to 3 digits above (Abramowitz and Stegun 26.7.5)."""
    if dof <= 0:
        return math.inf
    if dof == 1:
        return math.tan(math.pi * (share - 0.5))
    if dof == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / dof**power for power, term in enumerate(terms, 1))


def _together(parts: Sequence[float], scores: Sequence[Score]) -> float:
    """The root of the sum of squares, and of twice the products of those that vary together."""
    total = math.fsum(part**2 for part in parts)
    place = {score.task: k for k, score in enumerate(scores)}
    for k, score in enumerate(scores):
        for task, covariance in score.shared:
            j = place.get(task)
            errors = (score.stderr or 0.0) * ((scores[j].stderr if j is not None else None) or 0.0)
            if j is not None and errors > 0:
                total += parts[k] * parts[j] * covariance / errors
    return math.sqrt(max(0.0, total))
