"""Do two scorings, or two ways of searching, agree: ranks, flips, paired tests over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lamdagent.evaluation.bootstrap import (
    RESAMPLES,
    Array,
    Items,
    TaskWeights,
    counts,
    measured,
    scales_of,
)
from lamdagent.evaluation.estimates import Agreement, Paired
from lamdagent.evaluation.statistics import DIGITS, Scores

FAR = 30.0
"""A noncentrality at which a test's power is 1, if it has 2 seeds or more and scipy's noncentral t fails beyond it."""


def agreement(cheap: Scores, full: Scores, *, seed: int) -> Agreement:
    """Kendall's tau-b between two scorings of the same pipelines, with a bootstrap 95 % interval over pipelines.

    In simulation the interval covers at 92 to 98 % from 10 pipelines on. With fewer it is too short where hardly a pair
    flipped: at 5 pipelines and a true tau of 0.8 it covers at 69 %.

    Args:
        cheap, full: one score per pipeline, same order; at least 3.

    Raises:
        ValueError: lengths differ, fewer than 3 pipelines, or a scoring in which all are equal.
    Source: Kendall 1945.
    """
    x_N, y_N = _scorings(cheap, full)
    n = len(x_N)
    x_NN, y_NN = np.sign(x_N[:, None] - x_N), np.sign(y_N[:, None] - y_N)
    if n < 3 or not x_NN.any() or not y_NN.any():
        raise ValueError(f"tau needs at least 3 pipelines that are not all equal, got {list(cheap)} and {list(full)}")
    count_BN = np.vstack([np.ones(n), counts(np.random.default_rng(seed), RESAMPLES, n, n)])
    same_B, x_B, y_B = (((count_BN @ s_NN) * count_BN).sum(axis=1) for s_NN in (x_NN * y_NN, x_NN**2, y_NN**2))
    ranked = x_B * y_B > 0
    tau_B = same_B[ranked] / np.sqrt(x_B[ranked] * y_B[ranked])
    low, high = np.quantile(tau_B[1:], [0.025, 0.975])
    return Agreement(tau=float(tau_B[0]), low=float(low), high=float(high), n=n)


def flips(cheap: Scores, full: Scores) -> list[tuple[int, int, float]]:
    """The pairs (i, j, gap) that `full` orders the other way round, i < j, with their gap in `cheap`, widest first.

    A pair that either scoring ties is no flip.

    Raises:
        ValueError: lengths differ.
    """
    x_N, y_N = _scorings(cheap, full)
    i_P, j_P = np.triu_indices(len(x_N), 1)
    gap_P = x_N[i_P] - x_N[j_P]
    found_P = np.flatnonzero(gap_P * (y_N[i_P] - y_N[j_P]) < 0)
    return sorted(((int(i_P[p]), int(j_P[p]), abs(float(gap_P[p]))) for p in found_P), key=lambda flip: -flip[2])


def safe_gap(cheap: Scores, full: Scores) -> float | None:
    """The smallest gap in `cheap` from which on no pair flipped; None where the widest gap did, or there is none.

    Raises:
        ValueError: lengths differ.
    """
    x_N, _ = _scorings(cheap, full)
    gap_NN = np.abs(x_N[:, None] - x_N)
    safe = gap_NN[gap_NN > max((gap for _, _, gap in flips(cheap, full)), default=0.0)]
    return float(safe.min()) if len(safe) else None


def paired(a: Scores, b: Scores, items: ItemError | None = None) -> Paired:
    """`a` less `b`, one value per seed: t-test, interval and effect.

    Args:
        items: the part of the error that more seeds do not make smaller, as all share one set of items. It widens the
            interval and the t-test (Satterthwaite's degrees of freedom).

    Raises:
        ValueError: lengths differ, or there are no values.
    """
    gap_N, items = _seed_gaps(a, b), items or ItemError(variance=0.0, seen=0.0, dof=math.inf)
    n, mean, sd = len(gap_N), float(gap_N.mean()), _sd(gap_N)
    if sd is None:
        return Paired(mean=mean, low=None, high=None, t_p=None, effect=None, sd=None, n=n)
    stderr, dof = math.hypot(sd / math.sqrt(n), math.sqrt(items.variance)), _dof(sd**2 / n, n, items)
    reach, t_p = stderr * float(stats.t.isf(0.025, dof)), 2 * float(stats.t.sf(abs(mean) / stderr, dof))
    low, high = mean - reach, mean + reach
    return Paired(mean=mean, low=low, high=high, t_p=t_p, effect=mean / sd, sd=sd, n=n)


def signed_rank_p(a: Scores, b: Scores) -> float | None:
    """The p-value of Wilcoxon's signed-rank test of `a` and `b`, one value per seed; None where there is no difference.

    Raises:
        ValueError: lengths differ, or there are no values.
    """
    gap_N = _seed_gaps(a, b)
    return float(stats.wilcoxon(gap_N).pvalue) if len(gap_N) > 1 and gap_N.any() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """What items that all seeds share add to the variance of a mean over seeds: `variance`, at least 0. `seen` is the
    variance over items that it was estimated from, with `dof` degrees of freedom."""

    variance: float
    seen: float
    dof: float


def item_error(gaps: Sequence[Items], goals: TaskWeights) -> ItemError | None:
    """The part that items have in the error of a mean over seeds and items, both of them drawn.

    Args:
        gaps: for every seed the values of the same items, by task. Items that were drawn together count as one draw.

    None for one seed, or for one item of a task. Source: crossed random effects, by the analysis of variance (Searle,
    Casella and McCulloch 1992, chapter 4); a negative component counts as 0.
    """
    s, variance, seen, fourth = len(gaps), 0.0, 0.0, 0.0
    if s < 2 or min(len(items[task]) for items in gaps for task in scales_of(goals)) < 2:
        return None
    for rows_SC in measured(gaps, goals).influence:
        if rows_SC.shape[1] < 2:
            return None
        mean_C = rows_SC.mean(axis=0)
        of_items = float((mean_C**2).sum())
        variance += of_items - float(((rows_SC - mean_C) ** 2).sum()) / ((s - 1) * s)
        seen, fourth = seen + of_items, fourth + of_items**2 / (rows_SC.shape[1] - 1)
    return ItemError(variance=max(0.0, variance), seen=seen, dof=seen**2 / fourth if fourth > 0 else math.inf)


def _dof(of_seeds: float, n: int, items: ItemError) -> float:
    """Satterthwaite's, never fewer than the seeds have alone."""
    if items.variance == 0.0:
        return n - 1
    return max(n - 1, (of_seeds + items.variance) ** 2 / (of_seeds**2 / (n - 1) + items.seen**2 / items.dof))


def two_sided_p(value: float, stderr: float) -> float:
    """How rare a normal value this far from 0 is; 1 for 0, and 0 for any other without an error."""
    if stderr == 0:
        return float(value == 0)
    return 2 * float(stats.norm.sf(abs(value) / stderr))


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted so that among all of them a false one below .05 comes in 5 % of cases at the most.

    Source: Holm 1979.
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


MOST_SEEDS = 1_000_000


def seeds_needed(sd: float, gap: float, item_variance: float = 0.0, power: float = 0.8) -> int | None:
    """How many seeds a two-sided paired t-test (5 %) needs to see a true mean `gap` with probability `power`.

    Args:
        sd: by how much the differences spread from seed to seed, above 0.
        item_variance: the part of the mean's variance that more seeds do not make smaller.

    None where no number does, since the items alone err by too much, or it is beyond a million.

    Raises:
        ValueError: `gap` or `sd` is not above 0.
    Source: Cohen 1988, noncentral t.
    """
    if gap <= 0 or sd <= 0:
        raise ValueError(f"a gap and a spread above 0 are needed, got {gap} and {sd}")

    def seen(n: int) -> bool:
        effect, bound = gap / math.sqrt(sd**2 / n + item_variance), stats.t.isf(0.025, n - 1)
        return bool(effect > FAR or stats.nct.sf(bound, n - 1, effect) >= power)

    low, high = 1, 2
    while not seen(high):
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def spread_interval(sd: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation that was seen on `n` normal values, 2 or more."""
    low, high = (sd * math.sqrt((n - 1) / float(stats.chi2.ppf(q, n - 1))) for q in (0.975, 0.025))
    return low, high


def _scorings(cheap: Scores, full: Scores) -> tuple[Array, Array]:
    if len(cheap) != len(full):
        raise ValueError(f"two scorings of the same pipelines are equally long, got {len(cheap)} and {len(full)}")
    return np.round(np.asarray(cheap, dtype=float), DIGITS), np.round(np.asarray(full, dtype=float), DIGITS)


def _seed_gaps(a: Scores, b: Scores) -> Array:
    if len(a) != len(b) or not len(a):
        raise ValueError(f"paired values are equally many, at least one, got {len(a)} and {len(b)}")
    return np.asarray(np.round(np.subtract(a, b), DIGITS))


def _sd(value_N: Array) -> float | None:
    """The sample standard deviation; None where there is none to see."""
    return float(value_N.std(ddof=1)) if len(value_N) > 1 and np.ptp(value_N) > 0 else None
