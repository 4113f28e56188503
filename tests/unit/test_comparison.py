"""Comparing ways of searching on the toy world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lamdagent.core.errors import UserError
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice
from lamdagent.policies.random import Random
from lamdagent.results.compare import compare
from lamdagent.results.history import best_so_far
from lamdagent.results.result import pictures
from lamdagent.testing import toy
from lamdagent.ui.plots import save
from lamdagent.ui.render.markdown import markdown

SEEDS = range(5)


class Never:
    """Chooses one useless action, so that nothing is ever gained."""

    name = "never"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        if state.trials:
            return []
        return [Choice(action=next(iter(space)), reason="", by=self.name)]


def arms(trials: int = 40) -> dict[str, list[State]]:
    return {
        "never": [toy.search(Never(), trials=trials, seed=seed) for seed in SEEDS],
        "random": [toy.grown(trials, seed=seed) for seed in SEEDS],
    }


def test_best_so_far_starts_at_the_base_never_falls_and_is_as_long_as_the_budget() -> None:
    state = toy.search(Random(), trials=12)
    curve = best_so_far(state, 20)
    assert len(curve) == 21
    assert curve[0] == min(c for c in curve if c is not None)
    assert curve == sorted(curve)  # type: ignore[type-var]
    assert curve[-1] == state.ranked()[0][1].value


def test_what_is_better_on_every_seed_is_said_to_be_better() -> None:
    data = compare("toy", arms(), 40)
    gain = data.arms["random"].gain
    assert gain is not None and gain.low is not None and gain.t_p is not None
    assert gain.n == len(SEEDS)
    assert gain.mean > 0
    assert gain.low > 0
    assert gain.t_p < 0.05
    assert {r for r in data.arms["random"].reached if r is not None} <= set(range(41))


def test_an_arm_against_itself_shows_nothing() -> None:
    states = arms()["random"]
    data = compare("toy", {"a": states, "b": states}, 40)
    gain = data.arms["b"].gain
    assert gain is not None
    assert (gain.mean, gain.t_p, gain.seeds_needed) == (0.0, None, None)
    assert data.shared == data.made // 2


def test_a_search_that_has_not_scored_its_base_model_is_not_compared_as_if_that_were_0() -> None:
    unscored = [replace(state, scores={}, trials=()) for state in arms()["random"]]
    with pytest.raises(UserError, match="no scored base model yet"):
        compare("toy", {"a": unscored, "b": unscored}, 40)


def test_the_sealed_test_is_compared_where_it_was_opened() -> None:
    tested = {"never": [0.1, 0.2, 0.1, 0.2, 0.1], "random": [0.4, 0.5, 0.4, 0.5, 0.4]}
    data = compare("toy", arms(), 40, tested)
    assert data.arms["random"].test.mean == pytest.approx(0.44)
    assert data.arms["random"].test_gain.mean == pytest.approx(0.3)


def test_a_comparison_reads_as_a_table_and_a_picture(tmp_path: Path) -> None:
    data = compare("toy", arms(), 40)
    text = markdown(data)
    assert "5 seeds of 40 trials; against never" in text
    gain = data.arms["random"].gain
    assert gain is not None and gain.t_p is not None
    assert "paired t p" in text and f"{gain.t_p:.3g}" in text and f"{gain.mean:+.3f} (" in text
    save(pictures(data.sections())[0], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
