"""What scores on a sample of items can tell: errors, differences, who leads, by how much, and when to stop asking.

Items are compared one by one between models (`sampling`), normal deviates are taken to Student's t, and the same seed
gives the same answer. Meant for 20 items a task or more.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from lamdagent.sampling import RESAMPLES, TIED, Array, Goals, Items, counts, lead, measured, scales_of, shared

# Names end in axes: B draws, M models, T top models, N items, pipelines or seeds, P pairs.
Scores = Sequence[float]
Verdict = Literal["ahead", "behind", "open"]
Id = TypeVar("Id", bound=Hashable)

DIGITS = 12
METHOD = "bootstrap around shrunken scores"
FAR = 30.0
"""A noncentrality at which a test's power is 1; scipy's noncentral t fails far beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One model's objective less another's, its interval, and the two-sided p-value of no difference."""

    value: float
    stderr: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The leader's objective as measured, and less the luck of having been picked, with the error that remains."""

    raw: float
    corrected: float
    stderr: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Kendall's tau-b of two scorings of `n` pipelines, in [-1, 1], with its 95 % interval."""

    tau: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How well `size` items a task rank: median tau-b, its 95 % interval, and how often the best model is first."""

    size: int
    tau: float
    tau_low: float
    tau_high: float
    best_first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The mean of `n` paired differences, its 95 % interval, tests of no difference, and Cohen's d_z as `effect`.

    What the differences do not allow to compute is None.
    """

    mean: float
    low: float | None
    high: float | None
    t_p: float | None
    wilcoxon_p: float | None
    effect: float | None
    n: int


def objective_error(items: Items, goals: Goals, *, seed: int, resamples: int = RESAMPLES) -> float:
    """The standard error of a model's objective, items drawn anew within each task.

    Raises:
        ValueError: a goal has fewer than 2 items.
    """
    return float(measured([items], goals).errors(seed, resamples).std())


def difference(
    a: Items, b: Items, goals: Goals, *, seed: int, level: float = 0.95, resamples: int = RESAMPLES
) -> Difference:
    """The objective of `a` less that of `b` over the items that both have, paired, with a symmetric interval.

    Where every item differs by the same, the error is 0 and p is 1 for no difference, else the least that `resamples`
    draws, or a sign test, can show. In simulation 95 % intervals cover at 93 to 98 %, and at 91 % at worst: 20 items
    a task, scores of 0.95 and 0.8.

    Raises:
        ValueError: they share fewer than 2 items of a goal.
    """
    field = lead(a, b, goals)
    value, stderr, dof = float(field.values_M[0]), field.stderr, float(field.dof_M[0])
    if stderr == 0.0:
        p = 1.0 if abs(value) < TIED else max(1 / (1 + resamples), 0.5**dof)
        return Difference(value=value, stderr=0.0, low=value, high=value, p=p)
    drawn_B = np.abs(field.errors(seed, resamples)[:, 0]) / stderr
    reach = stderr * float(stats.t.isf(stats.norm.sf(np.quantile(drawn_B, level)), dof))
    p = (1 + int((drawn_B >= _as_normal(abs(value) / stderr, dof)).sum())) / (1 + resamples)
    return Difference(value=value, stderr=stderr, low=value - reach, high=value + reach, p=p)


def verdict(a: Items, b: Items, goals: Goals, *, looks: int, level: float = 0.95) -> Verdict:
    """Whether challenger `a` is separated from leader `b` on the items that both have so far. Cheap: a closed form.

    `looks` is how often, at the most, the two are compared while items are added. Over all looks together, equal models
    are told apart with probability 1 - `level` at the most, wherever the looks lie (Bonferroni): in simulation 2.5 %
    for 10 looks, 4 % for 3. Pocock's bounds, which need to know where the looks lie, saved 1 to 7 % of the items; those
    of O'Brien and Fleming and a confidence sequence (Waudby-Smith et al. 2021) took 2 to 46 % more: they dismiss late.

    Raises:
        ValueError: `looks` is below 1, or they share fewer than 2 items of a goal.
    """
    if looks < 1:
        raise ValueError(f"looks must be at least 1, got {looks}")
    field = lead(a, b, goals)
    value = float(field.values_M[0])
    seen = _as_normal(_ratio(abs(value), field.stderr), field.dof_M[0])
    if seen <= stats.norm.isf((1 - level) / looks / 2):
        return "open"
    return "ahead" if value > 0 else "behind"


def contenders(models: Mapping[Id, Items], goals: Goals, *, seed: int, level: float = 0.95) -> frozenset[Id]:
    """The models that cannot be told from the leader, and the leader.

    With probability `level` all that are truly best are among them, although the leader was picked for its score: a
    model leaves if it trails by more than the luckiest of equal models leads any other, with probability `level`; then
    the same among those left, until none leaves. A model with fewer items is compared on those. In simulation a best
    model was lost in 0 to 6 % of fields of 2 to 100 (20 to 400 items); the rarer, the more alike or the nearer to
    perfect the models.

    Raises:
        ValueError: no models, or a goal for which a model has fewer than 2 items.
    Source: model confidence set, Hansen, Lunde and Nason 2011, over the pairs with the leader as in Hsu 1984's multiple
    comparisons with the best; step down as in Romano and Wolf 2005.
    """
    ids, field = list(models), measured(list(models.values()), goals)
    error_BM, stderr_MM, leader = field.errors(seed), field.pair_stderr_MM, int(field.values_M.argmax())
    gap_M = field.values_M[leader] - field.values_M
    lead_M = _as_normal(_ratio(gap_M, stderr_MM[leader]), np.minimum(field.dof_M, field.dof_M[leader]))
    left = np.arange(len(ids))
    while True:
        widest_B = _widest_leads(error_BM[:, left], stderr_MM[np.ix_(left, left)])
        stays = lead_M[left] <= np.quantile(widest_B, level, method="higher")
        if stays.all():
            return frozenset(ids[m] for m in left)
        left = left[stays]


def corrected_winner(models: Mapping[Id, Items], goals: Goals, *, seed: int) -> Corrected:
    """The leader's objective, less what being picked as the best of these models adds to it on average.

    A bootstrap plays the search again: true scores plus drawn errors, pick the best, look at its error. As true scores
    it takes the measured ones, drawn together until they spread by what errors do not explain. Errors that all models
    share (easy or hard items) move nobody ahead and correct nothing. `stderr` is that of the picked model's error.

    In simulation (200 binary items; 5, 30 or 100 models; errors correlated 0 or 0.4; true scores equal, spread like the
    errors, 4 times as wide, with 30 % failures, or with 10 % stars) the mean absolute error, in standard errors without
    the shared part, is 1.36 raw and 0.83 here, the mean absolute bias 1.16 and 0.09. A bootstrap around the measured
    scores (as in Tibshirani and Tibshirani 2009) leaves 0.87 and 0.27; normal-normal shrinkage (Efron 2011) 0.84 and
    0.33: it is the best (0.72 and 0.11) on normal true scores, but misled by failures and stars (bias to 1.14).

    Raises:
        ValueError: no models, or a goal for which a model has fewer than 2 items.
    """
    field = measured(list(models.values()), goals)
    values_M, error_BM = field.values_M, field.errors(seed)
    spread = float(values_M.var(ddof=1)) if len(values_M) > 1 else 0.0
    true_share = max(0.0, 1.0 - field.own_variance / spread) if spread > 0 else 0.0
    true_M = math.sqrt(true_share) * values_M
    luck_B = error_BM[np.arange(len(error_BM)), (true_M + error_BM).argmax(axis=1)]
    raw = float(values_M.max())
    return Corrected(raw=raw, corrected=raw - float(luck_B.mean()), stderr=float(luck_B.std()), method=METHOD)


def stability(
    models: Mapping[Id, Items], goals: Goals, sizes: Sequence[int], top: int, *, seed: int, resamples: int = 1000
) -> list[Stability]:
    """How well validation sets of these sizes would rank the `top` models.

    The items that all of them have are the population: `size` are drawn per task, with replacement, and the ranking on
    them is held against the ranking on all. So the stored items are taken for the truth, errors and all. Where several
    are first, each counts in part; a draw in which all tie has a tau of 0.

    Raises:
        ValueError: fewer than 2 models, a size below 1, or the top models are all equal on all items.
    """
    every, field = list(models.values()), measured(list(models.values()), goals)
    best = [every[m] for m in np.argsort(-field.values_M, kind="stable")[:top]]
    if len(best) < 2 or min(sizes, default=1) < 1:
        raise ValueError(f"needs at least 2 models and sizes of at least 1, got {len(best)} and {list(sizes)}")
    population = [scale * np.stack(shared(best, task)) for task, scale in scales_of(goals).items()]
    whole_T = np.round(sum(value_TN.mean(axis=1) for value_TN in population), DIGITS)
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        drawn = (counts(rng, resamples, value_TN.shape[1], size) @ value_TN.T for value_TN in population)
        drawn_BT = np.round(sum(drawn) / size, DIGITS)
        first_BT = drawn_BT == drawn_BT.max(axis=1, keepdims=True)
        low, tau, high = (float(q) for q in np.quantile(_taus(drawn_BT, whole_T), [0.025, 0.5, 0.975]))
        best_first = float((first_BT[:, whole_T.argmax()] / first_BT.sum(axis=1)).mean())
        rows.append(Stability(size=size, tau=tau, tau_low=low, tau_high=high, best_first=best_first))
    return rows


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


def item_agreement(cheap: Sequence[Items], full: Sequence[Items], goals: Goals, *, seed: int) -> Agreement:
    """Kendall's tau-b between two scorings of the same pipelines, with a bootstrap 95 % interval over items.

    Items are drawn anew within each task, the same ones for all models, of those that all have. Pairs that the items
    hardly tell apart change places in many draws, so the interval reaches further down than up; it always holds tau.

    Args:
        cheap, full: the items of one model per pipeline, same order; at least 2.

    Raises:
        ValueError: lengths differ, fewer than 2 pipelines, or a scoring in which all are equal.
    """
    n, every = len(cheap), [*cheap, *full]
    if n < 2 or len(full) != n:
        raise ValueError(f"tau needs at least 2 pipelines, scored twice, got {n} and {len(full)}")
    rng, i_P, j_P, value_BM = np.random.default_rng(seed), *np.triu_indices(n, 1), np.zeros((1 + RESAMPLES, 2 * n))
    for task, scale in scales_of(goals).items():
        value_MN = scale * np.stack(shared(every, task))
        size = value_MN.shape[1]
        count_BN = np.vstack([np.ones(size), counts(rng, RESAMPLES, size, size)])
        value_BM += count_BN @ value_MN.T / size
    value_BM = np.round(value_BM, DIGITS)
    x_BP, y_BP = np.sign(value_BM[:, i_P] - value_BM[:, j_P]), np.sign(value_BM[:, n + i_P] - value_BM[:, n + j_P])
    pairs_B = np.sqrt((x_BP**2).sum(axis=1) * (y_BP**2).sum(axis=1))
    if pairs_B[0] == 0:
        raise ValueError("tau needs pipelines that are not all equal")
    tau_B = (x_BP * y_BP).sum(axis=1) / np.maximum(pairs_B, 1)  # a draw in which all tie has a tau of 0
    low, high = np.quantile(tau_B[1:], [0.025, 0.975])
    return Agreement(tau=float(tau_B[0]), low=float(min(low, tau_B[0])), high=float(max(high, tau_B[0])), n=n)


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


def paired(a: Scores, b: Scores) -> Paired:
    """`a` less `b`, one value per seed: paired t-test and interval, Wilcoxon signed-rank test, effect.

    Raises:
        ValueError: lengths differ, or there are no values.
    """
    gap_N = _seed_gaps(a, b)
    n, mean, sd = len(gap_N), float(gap_N.mean()), _sd(gap_N)
    wilcoxon_p = float(stats.wilcoxon(gap_N).pvalue) if n > 1 and gap_N.any() else None
    if sd is None:
        return Paired(mean=mean, low=None, high=None, t_p=None, wilcoxon_p=wilcoxon_p, effect=None, n=n)
    stderr, effect = sd / math.sqrt(n), mean / sd
    reach, t_p = stderr * float(stats.t.isf(0.025, n - 1)), 2 * float(stats.t.sf(abs(mean) / stderr, n - 1))
    low, high = mean - reach, mean + reach
    return Paired(mean=mean, low=low, high=high, t_p=t_p, wilcoxon_p=wilcoxon_p, effect=effect, n=n)


def seeds_needed(a: Scores, b: Scores, gap: float, power: float = 0.8, level: float = 0.95) -> int | None:
    """How many seeds a two-sided paired t-test needs to see a true mean `gap` with probability `power`.

    None where the values do not show how much seeds differ: fewer than 2, or all differences equal.

    Raises:
        ValueError: lengths differ, there are no values, or `gap` is 0.
    Source: Cohen 1988, noncentral t.
    """
    if gap == 0:
        raise ValueError("no number of seeds shows a gap of 0")
    sd = _sd(_seed_gaps(a, b))
    if sd is None:
        return None
    effect, tail = abs(gap) / sd, (1 - level) / 2
    # Student's t needs a few seeds more than the normal law, never fewer.
    n = max(2, math.ceil((float(stats.norm.isf(tail) + stats.norm.ppf(power)) / effect) ** 2))
    while stats.nct.sf(stats.t.isf(tail, n - 1), n - 1, min(effect * math.sqrt(n), FAR)) < power:
        n += 1
    return n


def _as_normal(t: Any, dof: Any) -> Any:
    """The normal deviate that is as rare as this t; no rarer than that all of dof + 1 items point one way."""
    return stats.norm.isf(np.maximum(stats.t.sf(t, dof), 0.5 ** (dof + 1)))


def _ratio(gap: Any, stderr: Any) -> Any:
    """Gaps in standard errors; without an error any gap is infinite, and no gap is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(gap) < TIED, 0.0, np.divide(gap, stderr))


def _widest_leads(error_BM: Array, stderr_MM: Array) -> Array:
    """In every draw, by how many standard errors the luckiest model leads any other at the most."""
    lead_BM = error_BM.max(axis=1, keepdims=True) - error_BM
    stderr_BM = stderr_MM[error_BM.argmax(axis=1)]
    return np.asarray(np.divide(lead_BM, stderr_BM, out=np.zeros_like(lead_BM), where=stderr_BM > 0).max(axis=1))


def _taus(drawn_BT: Array, whole_T: Array) -> Array:
    """Kendall's tau-b of every row with one ranking."""
    i_P, j_P = np.triu_indices(len(whole_T), 1)
    whole_P, drawn_BP = np.sign(whole_T[i_P] - whole_T[j_P]), np.sign(drawn_BT[:, i_P] - drawn_BT[:, j_P])
    if not whole_P.any():
        raise ValueError("the top models are all equal on all items: there is no ranking")
    pairs_B = np.abs(drawn_BP).sum(axis=1) * np.abs(whole_P).sum()
    return np.asarray(drawn_BP @ whole_P / np.sqrt(np.maximum(pairs_B, 1)))


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
