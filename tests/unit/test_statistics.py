"""Synthetic scores with a known truth: intervals cover, equals stay equal, luck is taken out, racing finds the best.

Simulations are seeded, so they give the same figures every time; bounds leave room for what a simulation of that length
may be off by, and fail without the correction that they are about.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lamdagent.core.state import State
from lamdagent.core.types import Object, Score, TaskWeight
from lamdagent.evaluation.bootstrap import Items, measured
from lamdagent.evaluation.statistics import (
    contenders,
    corrected_winner,
    difference,
    objective_error,
    stability,
    verdict,
)
from lamdagent.evaluation.winner import least_variance, winner_interval

Array = NDArray[np.float64]

GOALS = [TaskWeight(task="task")]
TWO = [TaskWeight(task="math", weight=2.0), TaskWeight(task="code", max_score=10.0)]


def answers(rng: np.random.Generator, chances: Sequence[float] | Array, n: int, common: float = 0.5) -> Array:
    """Right or wrong, models by items: right with these chances, hard items hard for all."""
    chance = np.asarray(chances)
    hidden = np.sqrt(common) * rng.normal(size=n) + np.sqrt(1 - common) * rng.normal(size=(len(chance), n))
    right: Array = (hidden < stats.norm.ppf(chance)[:, None]).astype(float)
    return right


def field(rng: np.random.Generator, chances: Sequence[float] | Array, n: int) -> dict[int, Items]:
    return {m: {"task": row} for m, row in enumerate(answers(rng, chances, n))}


# -------------------------------------------------------------------------------------------------- one model, or two


def test_the_closed_form_error_of_a_state_is_that_of_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    goals = (TaskWeight(task="a", weight=3.0), TaskWeight(task="b", max_score=100.0), TaskWeight(task="c", weight=0.5))
    items = {"a": answers(rng, [0.7], 60)[0], "b": rng.normal(40, 20, size=25), "c": answers(rng, [0.1], 200)[0]}
    scores = tuple(
        Score(task=t, split="validation", value=x.mean(), n=len(x), stderr=x.std(ddof=1) / len(x) ** 0.5)
        for t, x in items.items()
    )
    model = Object(id="m", kind="model", name="m")
    closed = State(goals=goals, pool={"m": model}, scores={"m": scores}).objective("m")
    assert closed is not None
    assert objective_error(items, goals, seed=0) == pytest.approx(closed.stderr, rel=0.04)


def test_the_errors_of_models_go_together_as_their_items_do() -> None:
    x = answers(np.random.default_rng(0), [0.3, 0.5, 0.7], 80, common=0.8)
    found = measured([{"task": row} for row in x], GOALS)
    assert found.values_M == pytest.approx(x.mean(axis=1))
    assert found.covariance_MM == pytest.approx(np.cov(x) / 80)
    assert np.cov(found.errors(0, 20_000).T) == pytest.approx(np.cov(x) / 80, rel=0.05)


@pytest.mark.parametrize("n", [20, 60])
def test_intervals_of_a_difference_hold_the_truth_and_its_p_is_small_by_chance_only(n: int) -> None:
    held, found = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        models = [{"math": a, "code": 10 * b} for a, b in zip(*(answers(rng, [0.7, 0.5], n) for _ in TWO), strict=True)]
        drawn = difference(models[0], models[1], TWO, seed=seed, resamples=200)
        held += drawn.low <= 0.2 <= drawn.high
        rng = np.random.default_rng(seed + 1000)
        equal = field(rng, [0.6, 0.6], n)
        found += difference(equal[0], equal[1], GOALS, seed=seed, resamples=200).p < 0.05
    assert 0.92 <= held / 300 <= 0.99
    assert 0.01 <= found / 300 <= 0.08


def test_the_value_of_a_difference_is_that_of_the_objectives() -> None:
    a = {"math": np.array([1, 1, 0, 1]), "code": np.array([10.0, 5.0])}
    b = {"math": np.array([0, 1, 0, 1]), "code": np.array([0.0, 5.0])}
    assert difference(a, b, TWO, seed=0).value == pytest.approx((2 * 0.25 + 0.5) / 3)
    assert difference(b, a, TWO, seed=0).value == pytest.approx(-(2 * 0.25 + 0.5) / 3)


def test_only_items_that_both_have_are_compared() -> None:
    rng = np.random.default_rng(3)
    a, b = answers(rng, [0.8, 0.4], 100)
    short = difference({"task": a[:30]}, {"task": b}, GOALS, seed=1)
    assert short == difference({"task": a[:30]}, {"task": b[:30]}, GOALS, seed=1)
    assert short.value == pytest.approx((a[:30] - b[:30]).mean())


@pytest.mark.parametrize(("gap", "p"), [(0.0, 1.0), (0.1, 1 / 2001)])
def test_items_that_all_differ_by_the_same_have_no_error_but_an_interval(gap: float, p: float) -> None:
    x = np.random.default_rng(0).random(20)
    drawn = difference({"task": x + gap}, {"task": x}, GOALS, seed=0)
    assert drawn.stderr == 0.0
    assert drawn.value == pytest.approx(gap)
    assert drawn.low < gap < drawn.high
    assert (drawn.low < 0) == (gap == 0.0)
    assert drawn.p == pytest.approx(p)


def test_a_goal_without_items_is_refused() -> None:
    some, none = {"math": np.ones(20)}, {"math": np.ones(20), "code": np.ones(1)}
    for act in (
        lambda: objective_error(some, TWO, seed=0),
        lambda: difference(some, none, TWO, seed=0),
        lambda: contenders({"a": none}, TWO, seed=0),
        lambda: corrected_winner({"a": some}, TWO, seed=0),
        lambda: verdict(some, some, TWO, looks=1),
    ):
        with pytest.raises(ValueError, match=r"at least 2 items of .*code"):
            act()
    with pytest.raises(ValueError, match="no models"):
        contenders({}, TWO, seed=0)


# -------------------------------------------------------------------------------------------------------- many models


def test_equal_models_are_all_contenders_but_in_5_of_100_cases() -> None:
    told = sum(len(contenders(field(np.random.default_rng(s), [0.6] * 20, 50), GOALS, seed=s)) < 20 for s in range(200))
    assert told / 200 <= 0.08


def test_the_best_stay_contenders_where_others_leave() -> None:
    lost, left = 0, []
    for seed in range(100):
        found = contenders(field(np.random.default_rng(seed), [0.7] * 5 + [0.4] * 10, 100), GOALS, seed=seed)
        lost += not found >= {0, 1, 2, 3, 4}
        left.append(len(found))
    assert lost / 100 <= 0.1
    assert np.mean(left) < 6


def test_a_twin_of_the_leader_is_a_contender_and_one_worse_on_every_item_is_not() -> None:
    x = answers(np.random.default_rng(0), [0.6], 50)[0]
    models = {"leader": {"task": x}, "twin": {"task": x.copy()}, "below": {"task": x - 0.1}}
    assert contenders(models, GOALS, seed=0) == {"leader", "twin"}


def test_a_model_with_the_first_items_only_is_compared_on_those() -> None:
    x = np.r_[np.ones(20), answers(np.random.default_rng(0), [0.6], 180)[0]]
    models = {"all": {"task": x}, "easy part": {"task": x[:25]}, "poor on it": {"task": np.zeros(25)}}
    assert contenders(models, GOALS, seed=0) == {"all", "easy part"}
    assert corrected_winner(models, GOALS, seed=0).raw == pytest.approx(x.mean())


def test_a_thousand_models_are_compared_in_seconds() -> None:
    rng = np.random.default_rng(0)
    goals = [TaskWeight(task=str(k)) for k in range(4)]
    rows = [answers(rng, 0.5 + 0.05 * rng.normal(size=1000), 200) for _ in goals]
    models = {m: {str(k): row[m] for k, row in enumerate(rows)} for m in range(1000)}
    started = time.process_time()
    assert 0 < len(contenders(models, goals, seed=0)) < 1000
    assert time.process_time() - started < 5


@pytest.mark.parametrize("m", [5, 60])
@pytest.mark.parametrize("spread", [0.0, 0.04, 0.16])
def test_the_corrected_winner_is_nearer_to_the_truth_than_the_raw_one(m: int, spread: float) -> None:
    off = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        chances = np.clip(0.5 + spread * rng.normal(size=m), 0.05, 0.95)
        models = field(rng, chances, 100)
        winner = max(models, key=lambda i: models[i]["task"].mean())
        corrected = corrected_winner(models, GOALS, seed=seed)
        assert corrected.raw == pytest.approx(models[winner]["task"].mean())
        off.append(
            (
                corrected.raw - chances[winner],
                corrected.corrected - chances[winner],
                corrected.low <= chances[winner] <= corrected.high,
            )
        )
    raw, fair, held = np.array(off).T
    assert abs(fair.mean()) < 0.5 * raw.mean() + 0.007
    assert np.abs(fair).mean() < np.abs(raw).mean() * (1.1 if spread == 0.16 else 1.0)
    assert held.mean() >= 0.9


def test_a_lone_star_among_equals_is_not_drawn_down_to_them() -> None:
    off, held = [], 0
    for seed in range(100):
        chances = np.r_[0.6, np.full(39, 0.5)]
        models = field(np.random.default_rng(seed), chances, 200)
        winner = max(models, key=lambda i: models[i]["task"].mean())
        found = corrected_winner(models, GOALS, seed=seed)
        off.append(found.corrected - chances[winner])
        held += found.low <= chances[winner] <= found.high
    assert abs(np.mean(off)) < 0.025
    assert held >= 90


def test_the_interval_of_the_best_of_few_items_near_1_is_no_surer_than_these_can_be() -> None:
    held = 0
    for seed in range(100):
        models = field(np.random.default_rng(seed), np.full(40, 0.97), 20)
        best = best_of(models)
        least = least_variance(models[best], GOALS)
        low, high = winner_interval(measured(list(models.values()), GOALS), best, seed, least)
        held += low <= 0.97 <= high
    assert held >= 94


@pytest.mark.parametrize("star", [0.5, 0.6])
def test_the_interval_of_the_best_covers_equals_and_a_lone_star_as_often_as_it_says(star: float) -> None:
    held = 0
    for seed in range(100):
        chances = np.r_[star, np.full(39, 0.5)]
        models = field(np.random.default_rng(seed), chances, 100)
        best = best_of(models)
        low, high = winner_interval(measured(list(models.values()), GOALS), best, seed)
        held += low <= chances[best] <= high
    assert held >= 94


def best_of(models: dict[int, Items]) -> int:
    return max(models, key=lambda i: models[i]["task"].mean())


def test_the_score_of_a_leader_that_was_asked_fewer_items_is_its_own() -> None:
    rng = np.random.default_rng(0)
    x = answers(rng, [0.5], 200)[0]
    models = {"all": {"task": x}, "few": {"task": np.maximum(x[:50], answers(rng, [0.3], 50)[0])}}
    found = corrected_winner(models, GOALS, seed=0, of="few")
    assert found.raw == pytest.approx(models["few"]["task"].mean())
    as_measured = x.mean() + (models["few"]["task"] - x[:50]).mean()
    assert found.corrected == pytest.approx(as_measured - found.luck)


def test_a_single_model_was_not_picked() -> None:
    items = {"task": answers(np.random.default_rng(0), [0.6], 100)[0]}
    alone = corrected_winner({"only": items}, GOALS, seed=0)
    assert alone.corrected == pytest.approx(alone.raw) == pytest.approx(items["task"].mean())
    assert alone.stderr == pytest.approx(objective_error(items, GOALS, seed=0))


def test_more_items_rank_better() -> None:
    models = field(np.random.default_rng(5), [0.6, 0.5, 0.45, 0.2], 300)
    small, large = stability(models, GOALS, [10, 2000], 4, seed=0)
    assert (small.size, large.size) == (10, 2000)
    assert small.tau < large.tau and small.tau_low < large.tau_low and small.best_first < large.best_first
    assert small.best_first_low <= small.best_first <= small.best_first_high


def test_a_best_that_stands_far_ahead_is_first_as_often_as_the_normal_law_says() -> None:
    models = field(np.random.default_rng(5), [0.9, 0.3, 0.3, 0.3], 2000)
    (row,) = stability(models, GOALS, [20], 2, seed=0)
    gap = models[0]["task"] - max((models[m]["task"] for m in (1, 2, 3)), key=np.mean)
    assert row.best_first == pytest.approx(stats.norm.cdf(gap.mean() / gap.std() * row.size**0.5), abs=0.03)


def test_no_size_is_enough_for_equal_models() -> None:
    claims, first = 0, []
    for seed in range(30):
        models = field(np.random.default_rng(seed), [0.5] * 10, 200)
        rows = stability(models, GOALS, [200, 1000], 10, seed=seed)
        claims += any(row.best_first_low >= 0.9 for row in rows)
        first.append(rows[0].best_first_low)
    assert claims == 0
    assert np.mean(first) < 0.2


def test_stability_refuses_what_has_no_ranking() -> None:
    twins = {m: {"task": np.tile([0.0, 1.0], 10)} for m in range(3)}
    with pytest.raises(ValueError, match="at least 2 models"):
        stability(twins, GOALS, [10], 1, seed=0)
    with pytest.raises(ValueError, match="sizes of at least 1"):
        stability(twins, GOALS, [10, 0], 3, seed=0)
    with pytest.raises(ValueError, match="equal on all items"):
        stability(twins, GOALS, [10], 3, seed=0)


# ------------------------------------------------------------------------------------------------------------ racing

LOOKS = range(50, 501, 50)


def told_apart(x: Array, y: Array, looks: int) -> bool:
    return any(verdict({"task": x[:n]}, {"task": y[:n]}, GOALS, looks=looks) != "open" for n in LOOKS)


def test_many_looks_do_not_tell_equal_models_apart() -> None:
    pairs = [answers(np.random.default_rng(s), [0.6, 0.6], LOOKS[-1]) for s in range(300)]
    assert np.mean([told_apart(x, y, len(LOOKS)) for x, y in pairs]) <= 0.05
    assert np.mean([told_apart(x, y, 1) for x, y in pairs]) > 0.1, "looking again must be what the bound is for"


def test_a_verdict_has_two_sides_and_needs_evidence() -> None:
    far, near = ({"task": row} for row in answers(np.random.default_rng(0), [0.3, 0.7], 100))
    assert verdict(far, near, GOALS, looks=10) == "behind"
    assert verdict(near, far, GOALS, looks=10) == "ahead"
    assert verdict(near, near, GOALS, looks=10) == "open"
    assert verdict({"task": np.zeros(3)}, {"task": np.ones(3)}, GOALS, looks=10) == "open"
    assert verdict({"task": np.zeros(20)}, {"task": np.ones(20)}, GOALS, looks=10) == "behind"
    with pytest.raises(ValueError, match="at least 1"):
        verdict(far, near, GOALS, looks=0)


def test_a_challenger_far_behind_is_dismissed_at_the_first_look() -> None:
    for seed in range(100):
        a, b = answers(np.random.default_rng(seed), [0.3, 0.7], LOOKS[0])
        dismissed = verdict({"task": a}, {"task": b}, GOALS, looks=len(LOOKS)) == "behind"
        assert dismissed or (b - a).mean() < 0.3


def raced(items: Array) -> tuple[int, int]:
    """Who leads at the end, and how many items were asked."""
    leader, asked = 0, LOOKS[-1]
    for m in range(1, len(items)):
        for n in LOOKS:
            if verdict({"task": items[m, :n]}, {"task": items[leader, :n]}, GOALS, looks=len(LOOKS)) == "behind":
                break
        else:
            leader = m if items[m].mean() > items[leader].mean() else leader
        asked += n
    return leader, asked


def test_racing_picks_the_best_as_often_as_scoring_everything_at_half_the_cost() -> None:
    raced_best, full_best, asked, races, models = 0, 0, 0, 60, 20
    for seed in range(races):
        rng = np.random.default_rng(seed)
        chances = np.clip(0.5 + 0.15 * rng.normal(size=models), 0.05, 0.95)
        items = answers(rng, chances, LOOKS[-1])
        leader, cost = raced(items)
        raced_best += leader == chances.argmax()
        full_best += items.mean(axis=1).argmax() == chances.argmax()
        asked += cost
    assert raced_best >= full_best - 0.02 * races
    assert asked < 0.5 * races * models * LOOKS[-1]
