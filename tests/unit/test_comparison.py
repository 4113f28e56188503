"""Comparing ways of searching on the toy world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamdagent.core.errors import UserError
from lamdagent.core.events import SearchStopped
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.training import Training
from lamdagent.core.types import Action, Choice, Object, Score, TaskWeight, Trial
from lamdagent.evaluation.held_out import held_out_picks
from lamdagent.policies.random import Random
from lamdagent.results.compare import compare
from lamdagent.results.comparison import median
from lamdagent.results.history import best_so_far
from lamdagent.results.result import pictures
from lamdagent.results.searches import Judged, Searched, held_out, picked, runs_of
from lamdagent.results.spending import spendings
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


class Kept:
    """Artifacts that keep the items of every score, or of none."""

    def __init__(self, *, kept: bool = True) -> None:
        self.kept = kept

    def values(self, object_id: str, score: Score) -> list[float] | None:
        luck = np.random.default_rng([score.n, *object_id.encode()]).normal(0, 0.05, score.n)
        return [*(score.value + luck - luck.mean())] if self.kept else None


def searched(state: State, *, kept: bool = True, tested: float | None = None) -> Searched:
    artifacts: Any = Kept(kept=kept)
    test = None if tested is None else {goal.task: np.full(50, tested) for goal in state.goals}
    return Searched(
        state=state,
        training=ActionSpace(state, toy.ACTION_TYPES).trained,
        held_out=held_out(state, artifacts),
        tested=None if test is None else Judged(item_set=frozenset({"test"}), items=test),
    )


def arms(trials: int = 40, *, kept: bool = True) -> dict[str, list[Searched]]:
    return {
        "never": [searched(toy.search(Never(), trials=trials, seed=seed), kept=kept) for seed in SEEDS],
        "random": [searched(toy.grown(trials, seed=seed), kept=kept) for seed in SEEDS],
    }


def test_best_so_far_starts_at_the_base_never_falls_and_is_as_long_as_the_budget() -> None:
    state = toy.search(Random(), trials=12)
    curve = best_so_far(state, 20)
    assert len(curve) == 21
    assert curve[0] == min(c for c in curve if c is not None)
    assert curve == sorted(curve)  # type: ignore[type-var]
    assert curve[-1] == state.ranked()[0][1].value


def test_what_is_better_on_every_seed_is_said_to_be_better() -> None:
    data = compare("toy", arms())
    assert data.by == "tokens"
    gain = data.arms["random"].by["tokens"].gain
    assert gain is not None and gain.low is not None and gain.t_p is not None
    assert gain.n == len(SEEDS)
    assert gain.mean > 0
    assert gain.low > 0
    assert gain.t_p < 0.05
    assert {r for r in data.arms["random"].by["trials"].reached if r is not None} <= set(range(41))


def test_an_arm_against_itself_shows_nothing() -> None:
    searches = arms()["random"]
    data = compare("toy", {"a": searches, "b": searches}, detect=0.02)
    gain = data.arms["b"].by[data.by].gain
    assert gain is not None
    assert (gain.mean, gain.t_p, gain.holm_p, gain.seeds_needed) == (0.0, None, None, None)
    assert data.shared == data.made // 2


def test_a_search_that_has_not_scored_its_base_model_is_not_compared_as_if_that_were_0() -> None:
    unscored = [Searched(state=replace(s.state, scores={}, trials=()), training=()) for s in arms()["random"]]
    with pytest.raises(UserError, match="no scored base model yet"):
        compare("toy", {"a": unscored, "b": unscored})


def test_the_sealed_test_is_compared_where_it_was_opened() -> None:
    tested = {"never": [0.1, 0.2, 0.1, 0.2, 0.1], "random": [0.4, 0.5, 0.4, 0.5, 0.45]}
    found = {
        arm: [replace(s, tested=searched(s.state, tested=v).tested) for s, v in zip(each, tested[arm], strict=True)]
        for arm, each in arms().items()
    }
    arm = compare("toy", found).arms["random"]
    assert arm.test is not None and arm.test_gain is not None
    assert arm.test.mean == pytest.approx(0.45)
    assert arm.test_gain.mean == pytest.approx(0.31)


def test_a_comparison_reads_as_a_table_and_a_picture(tmp_path: Path) -> None:
    data = compare("toy", arms(), detect=0.02)
    text = markdown(data)
    tokens = f"{data.equal['tokens']:,.0f} training tokens"
    assert f"5 seeds; against never, where each search has spent {tokens}" in text
    assert "40 trials" in text and "at half of it" in text and "training tokens to never's maximum (median)" in text
    gain = data.arms["random"].by["tokens"].gain
    assert gain is not None
    assert f"{gain.mean:+.3f} (" in text and "p (Holm)" in text and "seeds for 0.02 (80 % power)" in text
    assert "Wilcoxon's p is 0.062 at the least with 5 seeds" in text
    assert "intervals and p cover seeds and items, all seeds sharing one set of items" in text
    names = [picture.name for picture in pictures(data.sections())]
    assert names == ["curves", "curves-rows", "curves-trials", "curves-seconds"]
    save(pictures(data.sections())[0], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_without_items_the_validation_maximum_is_shown_and_nothing_is_claimed() -> None:
    data = compare("toy", arms(kept=False))
    here = [arm.by[axis] for arm in data.arms.values() for axis in data.equal]
    assert all(one.picked is None and one.gain is None and one.area_gain is None for one in here)
    assert "it is no comparison" in markdown(data) and "p (Holm)" not in markdown(data)


# ------------------------------------------------------------------------------------------ the smallest cases by hand

ONE = [TaskWeight(task="t")]


def world(seed: int, models: Sequence[Sequence[float]], training: Training = Training(), stopped: str = "") -> Searched:
    """A search whose trial k made the model that these items gave, the first of them being the base model."""
    ids = [f"m{k}" for k in range(len(models))]
    trials = tuple(
        Trial(
            number=k,
            choice=Choice(
                action=Action(type="step", version=1, inputs={"model": (ids[k],)}, seed=seed), reason="", by=""
            ),
            outcome=None,
        )
        for k in range(len(models) - 1)
    )
    made = [trial.choice.action.id for trial in trials]
    pool = {
        i: Object(id=i, kind="model", name=i, made_by=None if i == "m0" else i, meta={"root": "m0"})
        for i in ["m0", *made]
    }
    scores = {
        i: (Score(task="t", split="validation", value=float(np.mean(x)), n=len(x), stderr=0.1, task_id="t"),)
        for i, x in zip(["m0", *made], models, strict=True)
    }
    why: Any = SearchStopped(reason=stopped) if stopped else None  # type: ignore[arg-type]
    state = State(seed=seed, goals=tuple(ONE), pool=pool, scores=scores, trials=trials, stopped=why,
                  tried={i: k for k, i in enumerate(made)})  # fmt: skip

    class Here:
        def values(self, object_id: str, score: Score) -> list[float]:
            return list(dict(zip(["m0", *made], models, strict=True))[object_id])

    artifacts: Any = Here()
    return Searched(state=state, training=(training,) * len(trials), held_out=held_out(state, artifacts))


def equal_models(count: int, seed: int, n: int = 100) -> Searched:
    items: Any = np.random.default_rng([count, seed]).integers(0, 2, size=(1 + count, n)).astype(float)
    return world(seed, items, stopped="exhausted")


def test_more_equal_models_are_a_higher_maximum_but_no_better_pick() -> None:
    few_of, many_of = ([equal_models(count, s) for s in range(12)] for count in (3, 30))
    data = compare("w", {"few": few_of, "many": many_of})
    assert data.by == "trials", "what these trials trained on is not known"
    few, many = (data.arms[arm].by["trials"] for arm in ("few", "many"))
    assert many.maximum.mean - few.maximum.mean > 0.03
    assert many.gain is not None and many.gain.low is not None and many.gain.high is not None
    assert many.gain.low < 0 < many.gain.high


def test_the_pick_is_scored_on_items_that_did_not_pick_it() -> None:
    lucky = [1.0] * 5 + [0.0] * 5  # by any 8 of 10 items the lucky one ties or leads only if its 1s are among them
    steady = [0.5] * 10
    found = held_out_picks([{"t": np.array(lucky)}, {"t": np.array(steady)}], ONE, [2])
    assert found is not None
    # Fold k holds items k and k + 5: without them both score .5, and the earlier of equals is picked.
    assert found["t"].tolist() == [lucky]
    better = held_out_picks([{"t": np.array(lucky)}, {"t": np.array([0.6] * 10)}], ONE, [1, 2])
    assert better is not None and better["t"].tolist() == [lucky, [0.6] * 10]
    assert held_out_picks([{"t": np.ones(3)}], ONE, [1]) is None


# ------------------------------------------------------------------------------------------ where equally much was spent

TOKENS = 1000


def better_with_tokens(seed: int, trials: int, tokens_each: int) -> Searched:
    """A search whose models get better by tokens alone, whatever trials these are cut into."""
    rng = np.random.default_rng(seed)
    models = [(np.arange(200) < 20 + 100 * k * tokens_each / 16_000).astype(float) + rng.normal(0, 0.01, 200)
              for k in range(trials + 1)]  # fmt: skip
    return world(seed, models, Training(rows=tokens_each // 10, tokens=tokens_each, flops=6.0 * tokens_each))  # type: ignore[arg-type]


def test_a_policy_that_takes_eight_times_larger_trials_does_not_win_by_that() -> None:
    small = [better_with_tokens(s, 16, TOKENS) for s in range(6)]
    large = [better_with_tokens(s, 16, 8 * TOKENS) for s in range(6)]
    data = compare("w", {"small": small, "large": large})
    assert (data.by, data.equal["tokens"], data.equal["trials"]) == ("tokens", 16 * TOKENS, 16)
    at_tokens, at_trials = data.arms["large"].by["tokens"].gain, data.arms["large"].by["trials"].gain
    assert at_tokens is not None and at_trials is not None
    assert abs(at_tokens.mean) < 0.01
    assert at_trials.mean > 0.3, "after as many trials it looks better by far"
    assert {x for x in data.arms["large"].by["tokens"].reached if x is not None} <= {16_000.0}
    assert (data.arms["large"].train_tokens, data.arms["small"].train_tokens) == (128_000, 16_000)


def test_trials_that_do_not_fit_in_what_all_spent_are_not_counted() -> None:
    spending = spendings(runs_of({"a": [better_with_tokens(0, 3, 400)], "b": [better_with_tokens(0, 2, 500)]}))
    assert spending["tokens"].equal == 1000
    assert [at[-1] for at in spending["tokens"].moments("a") + spending["tokens"].moments("b")] == [2, 2]


def test_a_search_that_ended_by_itself_keeps_its_pick_and_does_not_end_the_others() -> None:
    short = world(0, [[0.1] * 20, [0.9] * 20], Training(rows=10, tokens=100, flops=1.0), stopped="exhausted")
    spending = spendings(runs_of({"short": [short], "long": [better_with_tokens(0, 5, 100)]}))
    assert spending["tokens"].equal == 500
    assert spending["tokens"].moments("short")[0][-1] == 1


def test_searches_that_the_same_rows_bound_were_granted_equally_many_though_the_last_did_not_fit() -> None:
    fits, less = (world(0, [[0.1] * 20] * (1 + n), Training(rows=rows, tokens=1), stopped="train_rows")
                  for n, rows in ((5, 20), (3, 30)))  # fmt: skip
    spending = spendings(runs_of({"fits": [fits], "less": [less]}))
    assert spending["rows"].equal == 100
    assert [spending["rows"].moments(arm)[0][-1] for arm in ("fits", "less")] == [5, 3]
    assert spending["tokens"].equal == 3


def test_where_tokens_are_not_known_rows_are_equal_and_trials_where_these_are_not_either() -> None:
    by_rows = world(0, [[0.1] * 20] * 3, Training(rows=10))
    assert next(iter(spendings(runs_of({"a": [by_rows], "b": [by_rows]})))) == "rows"
    unknown = world(0, [[0.1] * 20] * 3)
    assert next(iter(spendings(runs_of({"a": [by_rows], "b": [unknown]})))) == "trials"


def test_a_model_found_already_made_takes_as_many_seconds_as_it_took_where_it_was_made() -> None:
    first = toy.grown(6)
    slow = [
        t.outcome and replace(t.outcome, cost=replace(t.outcome.cost, wall_s=10.0, saved_s=0.0)) for t in first.trials
    ]
    fast = [
        t.outcome and replace(t.outcome, cost=replace(t.outcome.cost, wall_s=0.1, reused=True)) for t in first.trials
    ]
    made, found = (
        replace(first, trials=tuple(replace(t, outcome=o) for t, o in zip(first.trials, outcomes, strict=True)))
        for outcomes in (slow, fast)
    )
    spending = spendings(runs_of({"made": [searched(made)], "found": [searched(found)]}))
    assert spending["seconds"].spent["found"] == spending["seconds"].spent["made"]
    assert spending["seconds"].equal == pytest.approx(60.0)


def test_the_pick_of_a_moment_is_of_the_trials_before_it() -> None:
    state = toy.grown(12, seed=1)
    assert picked(state, len(state.trials)) == state.ranked()[0][0].id
    assert picked(state, 0) == next(obj.id for obj, _ in state.ranked() if obj.made_by is None)


def test_gaps_that_cancel_are_compared_without_an_error() -> None:
    states = toy.grown(5)
    first = [searched(replace(states, seed=s), tested=0.5) for s in range(3)]
    other = [searched(replace(states, seed=s), tested=v) for s, v in enumerate([0.6, 0.7, 0.2])]
    gain = compare("toy", {"a": first, "b": other}, detect=0.02).arms["b"].test_gain
    assert gain is not None and gain.mean == pytest.approx(0.0)
    assert gain.t_p == pytest.approx(1.0) and gain.seeds_needed is not None
    assert "1376 (375 to 54255)" in markdown(compare("toy", {"a": first, "b": other}, detect=0.02))


@pytest.mark.parametrize(
    ("reached", "shown"),
    [((1, 2, 3, None, None), "3"), ((4, 6), "5"), ((1, None), "-"), ((2, None, None), "-"), ((1, 2), "1.5")],
)
def test_seeds_that_never_got_there_count_as_later_than_all(reached: tuple[int | None, ...], shown: str) -> None:
    assert median(reached) == shown
