"""Budgets of training: what no trial may pass, counted over restarts and in full where a model was found already made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lamdagent.core.budget import IDLE, Budget
from lamdagent.core.events import ObjectAdded
from lamdagent.core.search import Search, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.training import Training
from lamdagent.core.types import Choice, Cost, Failed, Made, Object
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.results.ledger import ledger_of
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from tests.loop.by_hand import EAST, Chooses, choice, opened
from tests.loop.test_killed import Killed, Mortal, counting_bench

STEP = {"step": toy.ToyStep()}


def rows_of(state: State) -> int:
    return sum(t.outcome.cost.training.rows or 0 for t in state.trials if t.outcome is not None)


def long_setting(name: str, epochs: int) -> Object:
    return replace(
        made := toy.rate(name, 0.25),
        id=f"{name}-{epochs}",
        meta={**made.meta, "values": {"rate": 0.25, "epochs": epochs}},
    )


def go(journal: MemoryJournal | Mortal, budget: Budget, toolkit: object = None, slots: int = 1) -> State:
    toy.open_toy(journal, seed=5)
    search = Search(journal=journal, action_types=STEP, policy=Random(), memory=Table(), budget=budget)
    return run(search, Inline(toolkit or toy.toolkit(), capacity=slots))  # type: ignore[arg-type]


@pytest.mark.parametrize("slots", [1, 3])
def test_no_trial_begins_that_would_pass_the_rows_and_the_run_ends_with_that_reason(slots: int) -> None:
    journal = MemoryJournal()
    state = go(journal, Budget(train_rows=5), slots=slots)
    assert len(state.trials) == 5 == rows_of(state)
    assert state.stopped is not None
    assert state.stopped.reason == "train_rows"
    assert state.stopped.message == "budget.train_rows: 0 of 5 rows are left, too few for what is left to try"
    assert len(go(journal, Budget(train_rows=5)).trials) == 5, "the budget counts what earlier runs trained"
    assert len(go(journal, Budget(train_rows=7)).trials) == 7


def test_a_budget_of_tokens_is_held_as_that_of_rows() -> None:
    state = go(MemoryJournal(), Budget(train_tokens=3 * toy.TOKENS_PER_ROW + 9))
    assert len(state.trials) == 3
    assert state.stopped is not None
    assert state.stopped.reason == "train_tokens"


def test_an_action_that_does_not_fit_is_not_feasible_and_the_space_says_why() -> None:
    events = (*toy.first_events(), ObjectAdded(object=long_setting("long", 8)))
    state = reduce_events(events)
    space = ActionSpace(state, toy.ACTION_TYPES, Budget(train_rows=7))
    long = {
        "model": [state.of_kind("model")[0].id],
        "dataset": [state.of_kind("dataset")[0].id],
        "hyperparameters": ["long-8"],
    }
    action = space.action("step", long)
    assert space.cost(action) == Training(rows=8, tokens=80, flops=6.0 * toy.PARAMETERS * 80)
    assert space.left.train_rows == 7
    assert space.why_invalid(action) == "it trains on 8 rows, and 7 of budget.train_rows are left"
    assert action not in list(space)
    assert ActionSpace(state, toy.ACTION_TYPES, Budget(train_rows=8)).why_invalid(action) is None


def test_an_action_of_unknown_cost_cannot_be_held_to_a_budget() -> None:
    state = toy.grown(0)
    space = ActionSpace(state, {"nap": toy.ToyNap()}, Budget(train_tokens=10**9))
    action = space.action("nap", {"dataset": [state.of_kind("dataset")[0].id]})
    words = "how many tokens it trains on is not known before, so budget.train_tokens cannot be held"
    assert space.why_invalid(action) == words
    assert ActionSpace(state, {"nap": toy.ToyNap()}).why_invalid(action) is None


def test_what_trains_on_nothing_fits_in_any_budget() -> None:
    journal = MemoryJournal()
    toy.open_toy(journal)
    search = Search(
        journal=journal,
        action_types=toy.ACTION_TYPES,
        policy=Random(),
        memory=Table(),
        budget=Budget(train_rows=3, trials=20),
    )
    state = run(search, Inline(toy.toolkit()))
    assert rows_of(state) == 3
    merges = [t for t in state.trials if t.choice.action.type == "mean"]
    assert merges
    assert {t.outcome.cost.training for t in merges if isinstance(t.outcome, Made)} == {
        Training(rows=0, tokens=0, flops=0.0)
    }


def test_a_search_that_only_rows_bound_ends_when_nothing_trains_any_more() -> None:
    journal = MemoryJournal()
    state = run(opened(journal, budget=Budget(train_rows=6)), Inline(toy.toolkit()))
    assert rows_of(state) == 6
    assert all(t.choice.action.type == "mean" for t in state.trials[-IDLE:])
    assert state.stopped is not None
    assert state.stopped.reason == "train_rows"
    assert state.stopped.message == "budget.train_rows: the last 20 trials trained on nothing any more"


def test_running_trials_count_as_foreseen_and_choices_that_fit_only_one_by_one_do_not_all_begin() -> None:
    def choose(state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return [Choice(action=a, reason="next", by="all") for a, _ in zip(space, range(n), strict=False)]

    search = opened(policy=Chooses(choose), budget=Budget(train_rows=4))
    assert len(search.ask(3)) == 3
    assert search.space.left.train_rows == 1
    assert len(search.ask(3)) == 1
    assert search.ask(3) == ()
    assert search.stopped is not None
    assert search.stopped.reason == "train_rows"


def test_a_trial_whose_worker_died_counts_as_it_was_foreseen() -> None:
    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **EAST)]), budget=Budget(train_rows=2))
    (trial,) = search.ask()
    search.tell(trial.number, Failed(cause="crash", message="killed", cost=Cost(wall_s=1.0)))
    assert search.space.left.train_rows == 1
    assert ledger_of(search.state).unknown == 1
    assert ledger_of(search.state).train_rows is None, "nothing is known of any trial"


def test_a_model_found_already_made_counts_in_full_and_is_marked() -> None:
    toolkit = toy.toolkit()
    first = go(MemoryJournal(), Budget(train_rows=5), toolkit)
    again = go(MemoryJournal(), Budget(train_rows=5), toolkit)
    assert [t.choice.action for t in again.trials] == [t.choice.action for t in first.trials]
    made = [(a.outcome.cost, b.outcome.cost) for a, b in zip(first.trials, again.trials, strict=True)
            if isinstance(a.outcome, Made) and isinstance(b.outcome, Made)]  # fmt: skip
    assert made
    assert all(a.training == b.training and a.training.rows == 1 for a, b in made)
    assert not any(a.reused for a, _ in made)
    assert all(b.reused for _, b in made)
    assert rows_of(again) == 5
    assert ledger_of(again).reused == len(made)
    assert ledger_of(again).train_flops == 5 * 6 * toy.PARAMETERS * toy.TOKENS_PER_ROW


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_a_search_killed_at_any_append_trains_on_no_more_than_its_budget(written: bool) -> None:
    whole, at = go(MemoryJournal(), Budget(train_rows=6)), 0
    while True:
        journal, toolkit = MemoryJournal(), counting_bench(toy.Unwritten())
        try:
            ended = go(Mortal(journal, at=at, written=written), Budget(train_rows=6), toolkit)
        except Killed:
            ended = go(journal, Budget(train_rows=6), toolkit)
        else:
            break
        assert toy.without_costs(ended) == toy.without_costs(whole), f"killed at append {at}"
        assert rows_of(ended) == 6
        at += 1
    assert at > 18


def test_a_search_stops_at_its_target() -> None:
    state = go(MemoryJournal(), Budget(target=0.4, trials=50))
    assert state.stopped is not None
    assert state.stopped.reason == "target"
    best, value = state.ranked()[0]
    assert value.value >= 0.4
    assert state.trial_of(best.id) == state.trials[-1]
    assert state.stopped.message == f"budget.target: {best.name} has {value.value:.3f}, at least 0.4"


def test_a_search_stops_where_patience_ends_and_counts_it_over_restarts() -> None:
    journal = MemoryJournal()
    state = go(journal, Budget(patience=4, trials=100))
    assert state.stopped is not None
    assert state.stopped.reason == "patience"
    leader = state.trial_of(state.ranked()[0][0].id)
    assert len(state.trials) == (0 if leader is None else leader.number + 1) + 4
    assert go(journal, Budget(patience=4, trials=100)).trials == state.trials
    assert len(go(journal, Budget(patience=5, trials=100)).trials) > len(state.trials)


def test_hours_on_a_gpu_count_what_jobs_held_it() -> None:
    search = opened(budget=Budget(gpu_hours=1.0))
    (trial,) = search.ask()
    search.tell(trial.number, Failed(cause="oom", message="too large", cost=Cost(wall_s=1800.0, gpu_s=1800.0)))
    assert search.space.left.gpu_hours == 0.5
    (trial,) = search.ask()
    search.tell(trial.number, Failed(cause="timeout", message="too long", cost=Cost(wall_s=1800.0)))
    assert search.ask() == ()
    assert search.stopped is not None
    assert search.stopped.reason == "gpu_hours"
