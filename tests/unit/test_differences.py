"""The paired difference where tasks are small, only watched, or have holes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lamdagent.core.state import State, objective_of
from lamdagent.core.types import Guard, Object, Score, TaskWeight
from lamdagent.evaluation.statistics import difference

LARGE = np.random.default_rng(0).random(1000)
AHEAD, BEHIND = (LARGE < 0.9).astype(float), (LARGE < 0.3).astype(float)


def p_with(weight: float) -> float:
    goals = [TaskWeight(task="large"), TaskWeight(task="tiny", weight=weight)]
    a, b = (
        {"large": AHEAD, "tiny": np.array([1.0, 0.0, 1.0, 0.0])},
        {"large": BEHIND, "tiny": np.array([0.0, 0.0, 1.0, 1.0])},
    )
    return difference(a, b, goals, seed=0).p


def test_a_task_of_four_items_does_not_silence_one_of_a_thousand() -> None:
    alone = difference({"large": AHEAD}, {"large": BEHIND}, [TaskWeight(task="large")], seed=0).p
    assert p_with(0.0) == alone < 0.001
    assert p_with(0.05) < 0.01


def test_a_small_task_costs_as_much_certainty_as_it_brings_noise() -> None:
    assert p_with(0.05) <= p_with(0.3) < p_with(1.0)


@pytest.mark.parametrize("hole", [math.nan, math.inf, None])
def test_an_item_without_a_value_is_refused_with_its_task(hole: float | None) -> None:
    items, whole = {"large": np.array([1.0, hole, 0.0], dtype=float)}, {"large": np.array([1.0, 0.0, 0.0])}
    with pytest.raises(ValueError, match=r"large.*no finite value"):
        difference(items, whole, [TaskWeight(task="large")], seed=0)


def test_a_task_that_is_only_watched_neither_counts_nor_is_missed() -> None:
    goals = [TaskWeight(task="large"), TaskWeight(task="watched", weight=0.0)]
    score = Score(task="large", split="validation", value=0.5, n=10, stderr=0.1)
    watched = Score(task="watched", split="validation", value=0.0, n=1, stderr=None)
    found = objective_of(goals, [score, watched])
    assert found is not None and found.value == 0.5 and found.stderr == pytest.approx(0.1)
    assert objective_of(goals, [score]) == found


def test_a_guard_on_one_item_is_not_broken_since_nothing_says_by_how_much() -> None:
    model = Object(id="m", kind="model", name="m", meta={"root": "base"})
    lost = Score(task="t", split="validation", value=0.0, n=1, gain=-1.0, gain_stderr=None)
    state = State(guards=(Guard(task="t", max_drop=0.1),), pool={"m": model}, scores={"m": (lost,)})
    assert not state.broken("m")
