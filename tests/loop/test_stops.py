"""When a search stops, and why."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.budget import Budget
from lamdagent.core.errors import BudgetSpent
from lamdagent.core.events import ObjectAdded, SearchStopped, TimeSpent
from lamdagent.core.search import run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Choice, Failed, Made
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from tests.loop.by_hand import EAST, Chooses, choice, opened


def test_a_budget_of_trials_counts_over_restarts() -> None:
    journal = MemoryJournal()
    for trials, expected in ((3, 3), (3, 3), (5, 5), (2, 5)):
        state = run(opened(journal, budget=Budget(trials=trials)), Inline(toy.toolkit()))
        assert len(state.trials) == expected


def test_a_budget_of_trials_is_not_exceeded_by_slots() -> None:
    state = run(opened(budget=Budget(trials=5)), Inline(toy.toolkit(), capacity=4))
    assert len(state.trials) == 5
    assert state.running == ()


def test_a_budget_of_hours_counts_what_earlier_runs_worked() -> None:
    journal = MemoryJournal()
    toy.open_toy(journal)
    journal.append(TimeSpent(wall_s=1800.0), TimeSpent(wall_s=1799.0))
    search = opened(journal, budget=Budget(hours=1.0))
    assert search.trials_left > 0
    search.record_time(2.0)
    assert search.trials_left == 0
    assert search.ask() == ()
    assert opened(journal, budget=Budget(hours=1.0)).trials_left == 0
    assert opened(journal, budget=Budget(hours=1.1)).trials_left > 0


def test_a_policy_that_may_not_spend_more_stops_the_search_and_says_why() -> None:
    def choose(state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        if state.trials:
            raise BudgetSpent("usd", "budget.usd: 0.9 of 1 are spent")
        return [choice(space, **EAST)]

    journal = MemoryJournal()
    search = opened(journal, policy=Chooses(choose))
    state = run(search, Inline(toy.toolkit()))
    assert state.stopped == SearchStopped(reason="usd", message="budget.usd: 0.9 of 1 are spent")
    assert [type(trial.outcome) for trial in state.trials] == [Made]
    assert len(run(opened(journal), Inline(toy.toolkit())).trials) == 6


def test_trials_that_run_when_the_hours_are_up_are_still_told() -> None:
    journal = MemoryJournal()
    (trial,) = opened(journal).ask()
    journal.append(TimeSpent(wall_s=3600.0))
    state = run(opened(journal, budget=Budget(hours=1.0)), Inline(toy.toolkit()))
    assert len(state.trials) == 1
    assert state.trials[trial.number].outcome is not None
    assert state.stopped == SearchStopped(reason="hours", message="budget.hours: all 1 are spent")


def test_a_run_journals_the_time_it_worked() -> None:
    state = run(opened(), Inline(toy.toolkit()))
    assert 0 < state.wall_s < 60


def test_a_search_without_bounds_ends_where_the_menu_does() -> None:
    kinds = {"model": toy.point("base", (0.0, 0.0)), "dataset": toy.vector("east", (1.0, 0.0))}
    journal = MemoryJournal(*(ObjectAdded(object=obj) for obj in (*kinds.values(), toy.rate("wild", 4.0))))
    search = opened(journal, budget=Budget())
    state = run(search, Inline(toy.toolkit()))
    assert [type(trial.outcome) for trial in state.trials] == [Failed]
    assert search.ask(3) == ()


def test_the_time_limit_is_the_only_bound_without_trials() -> None:
    assert opened(budget=Budget()).trials_left > 1_000_000


def test_why_a_search_stopped_is_journalled_once_and_forgotten_when_it_goes_on() -> None:
    journal = MemoryJournal()
    for trials, times in ((2, 1), (2, 1), (3, 2)):
        state = run(opened(journal, budget=Budget(trials=trials)), Inline(toy.toolkit()))
        assert state.stopped == SearchStopped(reason="trials", message=f"budget.trials: all {trials} have begun")
        assert sum(isinstance(event, SearchStopped) for event in journal.read()) == times
    opened(journal, budget=Budget(trials=4)).ask()
    assert reduce_events(journal.read()).stopped is None


def test_a_search_with_nothing_more_to_try_says_so() -> None:
    state = run(opened(policy=Chooses(lambda state, space, n: [])), Inline(toy.toolkit()))
    assert state.stopped == SearchStopped(reason="exhausted", message="policy 'by hand' finds nothing more to try")
