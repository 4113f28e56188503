"""What scores on a sample of items can tell: errors, differences, who leads, by how much, and when to stop asking.

Items are compared one by one between models (`sampling`), normal deviates are taken to Student's t, and the same seed
gives the same answer. Meant for 20 items a task or more.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from scipy import stats

from lamdagent.core.items import draw_of
from lamdagent.evaluation.bootstrap import (
    RESAMPLES,
    TIED,
    Array,
    Items,
    TaskWeights,
    lead,
    measured,
    scales_of,
    shared,
)
from lamdagent.evaluation.estimates import Corrected, Difference, Stability
from lamdagent.evaluation.posterior import posterior_of
from lamdagent.evaluation.winner import least_variance, winner_interval

# Names end in axes: B draws, M models, T top models, N items, pipelines or seeds, P pairs.
Scores = Sequence[float]


Verdict = Literal["ahead", "behind", "open"]


Id = TypeVar("Id", bound=Hashable)


DIGITS = 12


TRUTHS, SCORINGS = 400, 200


METHOD = "posterior mean, two-groups model"


def objective_error(items: Items, goals: TaskWeights, *, seed: int, resamples: int = RESAMPLES) -> float:
    """The standard error of a model's objective, items drawn anew within each task.

    Raises:
        ValueError: a goal has fewer than 2 items.
    """
    return float(measured([items], goals).errors(seed, resamples).std())


def difference(
    a: Items, b: Items, goals: TaskWeights, *, seed: int, level: float = 0.95, resamples: int = RESAMPLES
) -> Difference:
    """The objective of `a` less that of `b` over the items that both have, paired, with a symmetric interval.

    Both count one pair of items more, half of which is up and half down, by as much as any pair differs (Agresti and Min
    2005): so items that all differ alike, or not at all, are not certain of a difference. In simulation 95 % intervals
    cover at 93 to 100 %, the more where few items differ (`benchmarks/intervals.py`).

    Raises:
        ValueError: they share fewer than 2 items of a goal.
    """
    field = lead(a, b, goals)
    value, stderr, dof = float(field.values_M[0]), field.stderr, float(field.dof_M[0])
    wide = math.hypot(stderr, _one_pair_more(a, b, goals))
    seen = abs(value) / wide if abs(value) > TIED else 0.0
    if stderr == 0.0:
        reach, least = wide * float(stats.t.isf((1 - level) / 2, dof)), max(1 / (1 + resamples), 0.5**dof)
        p = max(2 * float(stats.t.sf(seen, dof)), least) if seen else 1.0
        return Difference(value=value, stderr=0.0, low=value - reach, high=value + reach, p=p)
    drawn_B = np.abs(field.errors(seed, resamples)[:, 0]) / stderr
    reach = wide * float(stats.t.isf(stats.norm.sf(np.quantile(drawn_B, level)), dof))
    p = (1 + int((drawn_B >= _as_normal(seen, dof)).sum())) / (1 + resamples)
    return Difference(value=value, stderr=stderr, low=value - reach, high=value + reach, p=p)


def verdict(a: Items, b: Items, goals: TaskWeights, *, looks: int, level: float = 0.95) -> Verdict:
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


def contenders(models: Mapping[Id, Items], goals: TaskWeights, *, seed: int, level: float = 0.95) -> frozenset[Id]:
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


def corrected_winner(models: Mapping[Id, Items], goals: TaskWeights, *, seed: int, of: Id | None = None) -> Corrected:
    """The leader's objective, or that of the model `of`, without what being picked from these models adds to it.

    It is the posterior mean of its true score (`posterior`). Errors that all models share (easy or hard items) move
    nobody ahead and correct nothing. The leader's 95 % interval holds whatever true scores are like (`winner`), that of
    another model is the posterior's. `benchmarks/claims.py` holds them against simulated truths: a quarter of the luck of
    equal models stays in the mean, and about two thirds of a standard error are taken too much from a lone star.

    Raises:
        ValueError: no models, or a goal for which a model has fewer than 2 items.
    """
    field = measured(list(models.values()), goals)
    ids, leader = list(models), int(field.values_M.argmax())
    place = leader if of is None else ids.index(of)
    raw = float(measured([models[ids[place]]], goals).values_M[0])
    if len(models) == 1:
        error = float(field.errors(seed).std())
        reach = float(stats.t.isf(0.025, field.dof_M[0])) * error
        low, high = _within_bounds(raw - reach, raw + reach, models[ids[0]], goals)
        return Corrected(raw=raw, luck=0.0, corrected=raw, stderr=error, low=low, high=high, method=METHOD)
    mean, stderr, low, high = posterior_of(field).of(place)
    if field.values_M[place] >= field.values_M[leader]:
        low, high = winner_interval(field, place, seed, least_variance(models[ids[place]], goals))
    luck = float(field.values_M[place]) - mean
    low, high = _within_bounds(low, high, models[ids[place]], goals)
    return Corrected(raw=raw, luck=luck, corrected=mean, stderr=stderr, low=low, high=high, method=METHOD)


def stability(
    models: Mapping[Id, Items], goals: TaskWeights, sizes: Sequence[int], top: int, *, seed: int
) -> list[Stability]:
    """How well validation sets of these sizes would rank the `top` models, as far as the items can tell.

    Nothing is known of true scores but their posterior given all models (`posterior`). Each draw of it is scored again
    and again on `size` items a task, with the errors that items have here, and held against the draw. So that equal
    models are in some order on the stored items is not taken for their true one; of truly equal models one counts as
    the best.

    Raises:
        ValueError: fewer than 2 models, a size below 1, or the top models are equal on all items.
    """
    every, field = list(models.values()), measured(list(models.values()), goals)
    order_T = np.argsort(-field.values_M, kind="stable")[:top]
    if len(order_T) < 2 or min(sizes, default=1) < 1:
        raise ValueError(f"needs at least 2 models and sizes of at least 1, got {len(order_T)} and {list(sizes)}")
    best = measured([every[m] for m in order_T], goals)
    if not best.pair_stderr_MM.any():
        raise ValueError("the top models are equal on all items: there is no ranking")
    rng = np.random.default_rng(seed)
    truth_BT = posterior_of(field).draws(rng, TRUTHS)[:, order_T]
    tie_BT = 1e-9 * rng.random(truth_BT.shape)  # of truly equal models one counts as the best
    per_item = [rows @ rows.T * n for rows, n in zip(best.influence, best.sizes, strict=True)]
    one_item_TT = np.asarray(sum(per_item))
    scales, axes = np.linalg.eigh(one_item_TT)
    spread_TT = axes * np.sqrt(np.maximum(scales, 0.0))
    error_ST = rng.normal(size=(SCORINGS, len(order_T))) @ spread_TT.T + 1e-8 * rng.random((SCORINGS, len(order_T)))
    return [_stability(truth_BT, truth_BT + tie_BT, error_ST, size) for size in sizes]


def _within_bounds(low: float, high: float, items: Items, goals: TaskWeights) -> tuple[float, float]:
    """An objective's interval, within [0, 1] where all items are within their task's range."""
    best, scales = {goal.task: goal.max_score for goal in goals}, scales_of(goals)
    bounded = all(min(items[task]) >= 0 and max(items[task]) <= best[task] for task in scales)
    return (max(0.0, low), min(1.0, high)) if bounded else (low, high)


def _stability(truth_BT: Array, order_BT: Array, error_ST: Array, size: int) -> Stability:
    """How draws of the truth, whose order is that of `order_BT`, are ranked with the errors of an item, of so many items."""
    best_first, tau = [], []
    i_P, j_P = np.triu_indices(truth_BT.shape[1], 1)
    for truth_T, order_T in zip(truth_BT, order_BT, strict=True):
        scored_ST = truth_T + error_ST / math.sqrt(size)
        best_first.append(float((scored_ST.argmax(axis=1) == order_T.argmax()).mean()))
        tau.append(np.sign(scored_ST[:, i_P] - scored_ST[:, j_P]) @ np.sign(order_T[i_P] - order_T[j_P]) / len(i_P))
    tau_low, middle, tau_high = (float(q) for q in np.quantile(np.concatenate(tau), [0.025, 0.5, 0.975]))
    low, high = (float(q) for q in np.quantile(best_first, [0.025, 0.975]))
    return Stability(
        size=size, tau=middle, tau_low=tau_low, tau_high=tau_high,
        best_first=float(np.mean(best_first)), best_first_low=low, best_first_high=high,
    )  # fmt: skip


def _one_pair_more(a: Items, b: Items, goals: TaskWeights) -> float:
    """The standard error that a pair of items adds which is half up and half down by as much as any pair differs."""
    variance, total = 0.0, sum(goal.weight for goal in goals)
    for goal in goals:
        if goal.weight:
            gap_N, drawn = np.subtract(*shared([a, b], goal.task)), draw_of(a[goal.task]) or draw_of(b[goal.task])
            most, pairs = float(np.abs(gap_N).max()), len(gap_N if drawn is None else set(drawn.clusters[: len(gap_N)]))
            unit = most if most > TIED else goal.max_score
            variance += (goal.weight / goal.max_score / total * unit / (pairs + 2)) ** 2
    return math.sqrt(variance)


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
