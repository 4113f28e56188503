"""Two scorings of the same pipelines, and two ways of searching on the same seeds, with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lamdagent.core.types import TaskWeight
from lamdagent.results.statistics import (
    agreement,
    flips,
    holm,
    item_error,
    paired,
    safe_gap,
    seeds_needed,
    signed_rank_p,
    spread_interval,
)

GOALS = [TaskWeight(task="task")]


# ---------------------------------------------------------------------------------------------------- two scorings


def test_agreement_is_kendalls_tau_b_and_its_interval_covers() -> None:
    held = 0
    for seed in range(200):
        x, noise = np.random.default_rng(seed).normal(size=(2, 20))
        y = np.sin(np.pi * 0.25) * x + np.cos(np.pi * 0.25) * noise  # a true tau of 0.5
        found = agreement(list(x), list(y), seed=seed)
        held += found.low <= 0.5 <= found.high
        assert found.low <= found.tau <= found.high
    assert 0.9 <= held / 200 <= 0.99
    cheap, full = [0.1, 0.2, 0.2, 0.5, 0.4], [0.3, 0.3, 0.1, 0.9, 0.9]
    assert agreement(cheap, full, seed=0).tau == pytest.approx(stats.kendalltau(cheap, full).statistic)
    assert agreement(cheap, full, seed=0).n == 5


@pytest.mark.parametrize(("cheap", "full"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 1, 1], [1, 2, 3])])
def test_agreement_needs_a_ranking_of_three_pipelines(cheap: list[float], full: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least 3|equally long"):
        agreement(cheap, full, seed=0)


def test_flips_and_the_gap_from_which_on_there_are_none() -> None:
    cheap, full = [0.1, 0.2, 0.4, 0.8], [0.2, 0.1, 0.4, 0.3]
    pairs: list[object] = [(2, 3, pytest.approx(0.4)), (0, 1, pytest.approx(0.1))]
    assert flips(cheap, full) == pairs
    assert safe_gap(cheap, full) == pytest.approx(0.6)
    assert safe_gap(cheap, cheap) == pytest.approx(0.1)
    assert safe_gap(cheap, cheap[::-1]) is None
    assert safe_gap([0.5], [0.5]) is None
    assert flips([0.1, 0.1, 0.3], [0.2, 0.1, 0.2]) == []
    with pytest.raises(ValueError, match="equally long"):
        flips(cheap, full[:3])


# ------------------------------------------------------------------------------------------------------------- seeds


def test_paired_is_the_t_test_and_the_signed_rank_test() -> None:
    a, b = [0.71, 0.64, 0.80, 0.69, 0.77], [0.66, 0.65, 0.71, 0.62, 0.70]
    found, test = paired(a, b), stats.ttest_rel(a, b)
    interval = test.confidence_interval()
    assert (found.t_p, found.low, found.high) == pytest.approx((test.pvalue, interval.low, interval.high))
    assert signed_rank_p(a, b) == pytest.approx(2 * 2 / 2**5)
    assert found.effect == pytest.approx(test.statistic / 5**0.5)
    assert found.mean == pytest.approx(0.054)
    assert found.n == 5


def test_what_cannot_be_computed_from_the_seeds_is_none() -> None:
    one, same, twice = paired([0.5], [0.4]), paired([0.5] * 4, [0.5] * 4), paired([0.3, 0.4, 0.5], [0.2, 0.3, 0.4])
    assert one.mean == pytest.approx(0.1) and same.mean == 0.0 and twice.mean == pytest.approx(0.1)
    for found in (one, same, twice):
        assert (found.low, found.high, found.t_p, found.effect) == (None, None, None, None)
    assert signed_rank_p([0.5], [0.4]) is None and signed_rank_p([0.5] * 4, [0.5] * 4) is None
    assert signed_rank_p([0.3, 0.4, 0.5], [0.2, 0.3, 0.4]) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="equally many"):
        paired([0.5, 0.6], [0.5])
    with pytest.raises(ValueError, match="above 0"):
        seeds_needed(0.1, 0.0)


@pytest.mark.parametrize(("gap", "power"), [(1.0, 0.8), (0.5, 0.8), (0.7, 0.95)])
def test_so_many_seeds_as_said_see_the_gap_and_one_less_does_not(gap: float, power: float) -> None:
    n = seeds_needed(1.0, gap, power=power)
    assert n is not None
    rng = np.random.default_rng(0)
    seen, seen_with_one_less = (
        (stats.ttest_1samp(rng.normal(gap, 1.0, size=(20_000, seeds)), 0.0, axis=1).pvalue < 0.05).mean()
        for seeds in (n, n - 1)
    )
    assert seen > power - 0.005
    assert seen_with_one_less < power + 0.005


def test_an_overwhelming_gap_needs_two_or_three_seeds() -> None:
    assert seeds_needed(0.0006, 50.0) == 2


def test_a_gap_that_the_items_hide_is_shown_by_no_number_of_seeds() -> None:
    assert seeds_needed(0.04, 0.02) == 34
    assert (seeds_needed(0.04, 0.02, item_variance=0.005**2) or 0) > 34
    assert seeds_needed(0.04, 0.02, item_variance=0.01**2) is None


def test_the_spread_of_few_seeds_is_known_poorly() -> None:
    assert spread_interval(1.0, 5) == pytest.approx((0.599, 2.874), abs=1e-3)


def test_holm_adjusts_by_rank_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    smallest = np.random.default_rng(0).random((2000, 8)).tolist()
    assert np.mean([min(holm(row)) < 0.05 for row in smallest]) == pytest.approx(0.05, abs=0.015)


def test_items_that_all_seeds_share_count_in_the_error() -> None:
    seen = {"seeds alone": 0, "seeds and items": 0}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        gap_SN = rng.normal(size=(5, 1)) / 10 + rng.normal(size=100) + rng.normal(size=(5, 100))  # true mean 0
        gaps, zeros = list(gap_SN.mean(axis=1)), [0.0] * 5
        both = paired(gaps, zeros, item_error([{"task": row} for row in gap_SN], GOALS)).t_p
        alone = paired(gaps, zeros).t_p
        assert alone is not None and both is not None
        seen["seeds alone"] += alone < 0.05
        seen["seeds and items"] += both < 0.05
    assert seen["seeds alone"] / 400 > 0.2
    assert 0.02 <= seen["seeds and items"] / 400 <= 0.08
    assert item_error([{"task": np.ones(10)}], GOALS) is None
