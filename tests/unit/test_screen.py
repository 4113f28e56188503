"""The policies `screen` and `by-hand`, in a world in which sets and amounts decide."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.events import Asked
from lamdagent.core.protocols import Policy
from lamdagent.core.settings import Free
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.policies.by_hand import ByHand
from lamdagent.policies.screen.looks import Effect, best_of_each_task, harmful
from lamdagent.policies.screen.policy import Screen
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import mixtures, toy

MAKERS: tuple[Callable[[], Policy], ...] = (Screen, ByHand)


def best(state: State) -> float:
    return state.ranked()[0][1].value


def datasets_of(state: State, object_id: str) -> set[str]:
    trial = state.trial_of(object_id)
    assert trial is not None
    return {obj.name for i in trial.choice.action.object_ids if (obj := state.pool[i]).kind == "dataset"}


def rows_trained_on(state: State) -> int:
    return sum(t.outcome.cost.training.rows or 0 for t in state.trials if t.outcome is not None)


def test_screen_finds_the_datasets_that_contradict_the_others_and_says_why() -> None:
    state = mixtures.search(Screen(), mixtures.CONFLICT, budget=Budget(train_rows=36_000))
    leader, objective = state.ranked()[0]
    assert objective.value > 0.9
    assert not any(name.endswith("_wrong") for name in datasets_of(state, leader.id))
    (reason, *_) = [t.choice.reason for t in state.trials if t.choice.reason.startswith("a long run")]
    assert "of 9 datasets: reverse, sort, call, facts" in reason
    assert "reverse_wrong gains nothing" in reason and ", costs `reverse` -" in reason


@pytest.mark.parametrize("rows", [8_000, 18_000, 36_000])
@pytest.mark.parametrize("world", [mixtures.CLEAN, mixtures.CONFLICT])
def test_screen_is_never_below_by_hand_beyond_noise(world: tuple[object, ...], rows: int) -> None:
    budget = Budget(train_rows=rows)
    for seed in range(3):
        found, hand = (mixtures.search(make(), world, budget=budget, seed=seed) for make in MAKERS)  # type: ignore[arg-type]
        assert best(found) > best(hand) - 2 * (hand.ranked()[0][1].stderr or 0.0)


def test_one_trial_is_all_datasets_mixed_for_as_long_as_the_budget_lasts() -> None:
    state = mixtures.search(Screen(), budget=Budget(trials=1, train_rows=14_400))
    (trial,) = state.trials
    assert datasets_of(state, trial.choice.action.id) == {d.name for d in mixtures.CLEAN}
    assert 0.95 * 14_400 < rows_trained_on(state) <= 14_400


@pytest.mark.parametrize("capacity", [1, 3])
def test_no_budget_of_rows_is_passed_and_nearly_all_of_it_is_used(capacity: int) -> None:
    for make, rows in itertools.product(MAKERS, (9_000, 36_000)):
        state = mixtures.search(make(), mixtures.CONFLICT, budget=Budget(train_rows=rows), capacity=capacity)
        assert rows_trained_on(state) <= rows
        assert make is ByHand or rows_trained_on(state) > 0.9 * rows


def test_a_larger_budget_goes_on_from_where_a_smaller_one_ended() -> None:
    journal = MemoryJournal(*mixtures.first_events(mixtures.CONFLICT))
    small = mixtures.search(Screen(), budget=Budget(train_rows=20_000), journal=journal)
    large = mixtures.search(Screen(), budget=Budget(train_rows=36_000), journal=journal)
    assert large.trials[: len(small.trials)] == small.trials
    assert best(large) >= best(small)
    assert rows_trained_on(large) > 0.9 * 36_000


def test_at_every_trial_the_choice_follows_from_the_journal_alone() -> None:
    journal, budget = MemoryJournal(*mixtures.first_events(mixtures.CONFLICT)), Budget(train_rows=36_000)
    mixtures.search(Screen(), budget=budget, journal=journal)
    events = list(journal.read())
    asked = [i for i, event in enumerate(events) if isinstance(event, Asked)]
    assert len(asked) > 15
    for i in asked:
        state: State = pickle.loads(pickle.dumps(reduce_events(events[:i])))
        (choice,) = Screen().select(state, ActionSpace(state, mixtures.ACTION_TYPES, budget), 1)
        event = events[i]
        assert isinstance(event, Asked) and choice == event.choice


def test_a_learning_rate_that_destroys_is_left_for_a_lower_one() -> None:
    rates = {"gentle": 2e-4, "harsh": 8e-3, "harsher": 9e-3}
    state = mixtures.search(Screen(), mixtures.CONFLICT, budget=Budget(train_rows=36_000), rates=rates)
    reasons = [trial.choice.reason for trial in state.trials[:2]]
    assert reasons[1] == "the same at another learning rate: the last destroyed it"
    assert best(state) > 0.85


def test_without_sets_or_free_amounts_it_chooses_as_the_surrogate() -> None:
    state = toy.grown(6)
    (mine,), (other,) = (p.select(state, toy.space(state), 1) for p in (Screen(), Surrogate()))
    assert (mine.action, mine.by) == (other.action, "surrogate")


def test_by_hand_goes_down_its_list_and_ends() -> None:
    state = mixtures.search(ByHand(), budget=Budget(trials=100))
    reasons = [trial.choice.reason for trial in state.trials]
    assert reasons[:3] == ["by hand: all 6 datasets mixed"] * 3
    assert reasons[3] == "by hand: all mixed for 2 epochs"
    alone = [reason for reason in reasons if reason.endswith(" alone")]
    assert len(alone) == len(mixtures.CLEAN)
    merged = [reason for reason in reasons if "a merge of" in reason]
    assert [reason.count(",") + 1 for reason in merged] == [2, 3], "six at once are more than a merge takes"
    assert "on all mixed" in reasons[-1]
    assert state.stopped is not None and state.stopped.reason == "exhausted"


def test_by_hand_takes_longer_epochs_where_a_study_leaves_none_free_too() -> None:
    state = mixtures.search(ByHand(), budget=Budget(trials=100), free=Free())
    assert "by hand: all mixed for 2 epochs" in [trial.choice.reason for trial in state.trials]


def test_where_rows_are_few_and_the_budget_large_epochs_are_doubled_from_beyond_the_checks() -> None:
    few = [replace(d, meta={**d.meta, "rows": d.dataset["rows"] // 10}) for d in mixtures.CONFLICT]
    state = mixtures.search(Screen(), few, budget=Budget(train_rows=36_000))
    long = [t.choice.action for t in state.trials if t.choice.reason.startswith("a long run")]
    assert len(long) >= 1
    epochs = [state.pool[a.inputs["hyperparameters"][0]].setting["values"]["num_train_epochs"] for a in long]
    assert all(later >= 1.4 * sooner for sooner, later in itertools.pairwise(epochs))
    assert best(state) > 0.7


def test_with_trials_alone_epochs_are_doubled_until_a_doubling_gains_less_than_its_error() -> None:
    state = mixtures.search(Screen(), budget=Budget(trials=20))
    long = [t.choice.action for t in state.trials if t.choice.reason.startswith("a long run")]
    epochs = [state.pool[a.inputs["hyperparameters"][0]].setting["values"]["num_train_epochs"] for a in long]
    assert epochs[:2] == [1.0, 2.0] and best(state) > 0.95


@pytest.mark.parametrize(("trials", "rows"), [(1, 700), (2, 1_000), (3, 5_000)])
def test_even_a_small_budget_begins_with_all_datasets_mixed(trials: int, rows: int) -> None:
    state = mixtures.search(Screen(), budget=Budget(trials=trials, train_rows=rows))
    assert datasets_of(state, state.trials[0].choice.action.id) == {d.name for d in mixtures.CLEAN}
    assert rows_trained_on(state) > 0.9 * rows * (0.3 if trials > 1 else 1)


def test_the_dataset_that_gains_most_on_a_task_is_kept_though_its_gain_is_not_clear() -> None:
    weak, strong = Effect("facts", 0.02, 0.05), Effect("sort", 0.2, 0.03)
    effects = {
        "a": [weak, Effect("sort", -0.1, 0.03)],
        "b": [Effect("facts", -0.02, 0.05), strong],
        "c": [Effect("call", -0.1, 0.03)],
    }
    assert best_of_each_task(effects) == {"a", "b"}
    assert harmful(effects["a"]) and harmful(effects["c"]) and not harmful(effects["b"])


def test_a_budget_of_tokens_is_spent_as_the_same_one_of_rows() -> None:
    in_tokens = mixtures.search(Screen(), mixtures.CONFLICT, budget=Budget(train_tokens=360_000))  # ten a row
    in_rows = mixtures.search(Screen(), mixtures.CONFLICT, budget=Budget(train_rows=36_000))
    long = [
        [t.choice.reason for t in s.trials if t.choice.reason.startswith("a long run")] for s in (in_tokens, in_rows)
    ]
    assert long[0] == long[1] and len(long[0]) == 2
    assert best(in_tokens) > 0.9
