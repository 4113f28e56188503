"""Intervals that know that a score has a least and a best value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lamdagent.core.format import change, with_both, with_error
from lamdagent.core.intervals import gain_interval, score_interval, t_quantile
from lamdagent.core.state import State, objective_of
from lamdagent.core.types import Guard, Object, Score, TaskWeight
from lamdagent.evaluation.statistics import difference
from lamdagent.results.scores import task_scores


def score(value: float, n: int, stderr: float | None, task: str = "t", **more: object) -> Score:
    return Score(task=task, split="validation", value=value, n=n, stderr=stderr, **more)  # type: ignore[arg-type]


def of_items(*values: float) -> Score:
    return score(float(np.mean(values)), len(values), float(np.std(values, ddof=1)) / math.sqrt(len(values)))


@pytest.mark.parametrize(
    ("value", "n", "low", "high"), [(1.0, 200, 0.981, 1.0), (0.0, 20, 0.0, 0.161), (0.0, 1, 0.0, 0.793)]
)
def test_items_that_are_all_alike_leave_as_much_open_as_wilson_says(
    value: float, n: int, low: float, high: float
) -> None:
    found = score_interval(score(value, n, 0.0 if n > 1 else None))
    assert found == pytest.approx((low, high), abs=5e-4)


def test_right_and_wrong_items_have_the_interval_of_wilson() -> None:
    exact = stats.binomtest(180, 200).proportion_ci(method="wilson")
    assert score_interval(of_items(*[1.0] * 180, *[0.0] * 20)) == pytest.approx((exact.low, exact.high), abs=3e-4)


def test_an_interval_is_on_the_scale_of_its_task_and_stays_there() -> None:
    low, high = score_interval(score(0.98, 20, 0.02)) or (0, 0)
    assert score_interval(score(98.0, 20, 2.0), best=100.0) == pytest.approx((100 * low, 100 * high))
    assert 0 < low < 0.98 < high <= 1.0


def test_items_beyond_the_scale_have_the_interval_of_student_and_a_single_one_has_none() -> None:
    reach = float(stats.t.isf(0.025, 19)) * 2.0
    assert score_interval(score(34.0, 20, 2.0)) == pytest.approx((34 - reach, 34 + reach))
    assert score_interval(score(34.0, 1, None)) is None


def test_quantiles_are_those_of_student() -> None:
    for dof in (1, 2, 3, 5, 19, 200):
        assert t_quantile(0.975, dof) == pytest.approx(stats.t.ppf(0.975, dof), rel=2e-3)


def test_an_objective_of_scores_that_are_all_perfect_has_an_interval() -> None:
    goals = [TaskWeight(task="a"), TaskWeight(task="b", max_score=10.0)]
    found = objective_of(goals, [score(1.0, 200, 0.0, "a"), score(10.0, 200, 0.0, "b")])
    assert found is not None and found.high == 1.0
    assert found.low == pytest.approx(1 - math.sqrt(2) * 0.0188 / 2, abs=1e-3)  # each reaches .0188 below


def test_a_difference_of_items_that_agree_is_not_certain() -> None:
    goals, ones = [TaskWeight(task="t")], np.ones(20)
    found = difference({"t": ones}, {"t": ones}, goals, seed=0)
    assert found.low < -0.05 and found.high > 0.05 and found.p == 1.0
    gained = gain_interval(score(1.0, 20, 0.0, gain=0.0, gain_stderr=0.0))
    assert gained is not None and gained[0] < -0.05 and gained[1] > 0.05


def test_a_guard_is_not_broken_by_two_items_that_happen_to_be_lost_alike() -> None:
    def broken(n: int) -> bool:
        lost = score(0.0, n, 0.0, gain=-1.0, gain_stderr=0.0)
        model = Object(id="m", kind="model", name="m", meta={"root": "base"})
        guards = (Guard(task="t", max_drop=0.02),)
        return bool(State(guards=guards, pool={"m": model}, scores={"m": (lost,)}).broken("m"))

    assert not broken(2)
    assert broken(20)


def test_what_is_shown_of_a_perfect_score_is_its_interval() -> None:
    shown = task_scores([score(1.0, 200, 0.0, gain=0.0, gain_stderr=0.0)], [TaskWeight(task="t")])["t"]
    assert with_error(shown.value, shown.stderr, shown.low, shown.high) == "1.000 (0.981 to 1.000)"
    assert shown.words == "1.000 (0.981 to 1.000) on 200 items, +0.000 (-0.010 to +0.010) against the base model"
    assert with_both(0.5, 0.1, 0.3, 0.7) == "0.500 ± 0.100 (0.300 to 0.700)"
    assert change(0.1, 0.02, 0.06, 0.14) == "+0.100 ± 0.020"
