"""Each contract fails an implementation that breaks it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.events import Event
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.protocols import Policy
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Object, Outcome, Trial
from lamdagent.policies.random import Random
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from lamdagent.testing.contracts import (
    ActionTypeContract,
    JournalContract,
    MemoryContract,
    ObserverContract,
    PolicyContract,
    RunnerContract,
)
from lamdagent.testing.contracts.policy import DataPolicyContract


def choices(actions: Any) -> list[Choice]:
    return [Choice(action=action, reason="", by="broken") for action in actions]


class Greedy:
    name = "chooses more than n"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return choices(itertools.islice(space, n + 1))


class Stubborn:
    name = "chooses what was tried"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return [state.trials[0].choice] if state.trials else choices(itertools.islice(space, n))


class Moody:
    name = "rolls dice of its own"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return choices(filter(None, [space.sample(random.Random())]))


class Lazy:
    name = "never chooses"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return []


class Meddling:
    name = "changes the state"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        state.pool.clear()  # type: ignore[attr-defined]
        return []


class Counting:
    name = "counts how often it was asked"

    def __init__(self) -> None:
        self.asked = 0

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        self.asked += 1
        return choices(itertools.islice(space, self.asked, self.asked + n))


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Greedy, "test_it_chooses_at_most_n_and_no_action_twice"),
        (Stubborn, "test_it_chooses_only_what_the_menu_admits"),
        (Moody, "test_the_same_state_gives_the_same_choices"),
        (Lazy, "test_it_chooses_something_where_there_is_something"),
        (Meddling, "test_it_leaves_the_state_as_it_is"),
        (Counting, "test_what_it_was_asked_before_changes_nothing"),
    ],
)
def test_a_broken_policy_fails_its_contract(broken: Callable[[], Policy], test: str) -> None:
    class Broken(PolicyContract):
        def policy(self) -> Policy:
            return broken()

    with pytest.raises(AssertionError):
        getattr(Broken(), test)()


def test_a_sound_policy_passes_where_broken_ones_fail() -> None:
    class Sound(PolicyContract):
        def policy(self) -> Random:
            return Random()

    for test in (name for name in dir(Sound) if name.startswith("test_")):
        getattr(Sound(), test)()


def test_a_policy_that_never_makes_data_fails_the_contract_of_those_that_do() -> None:
    class OnlyModels:
        name = "only models"

        def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
            return Random().select(state, ActionSpace(state, toy.ACTION_TYPES), n)

    class Broken(DataPolicyContract):
        def policy(self) -> OnlyModels:
            return OnlyModels()

    with pytest.raises(AssertionError, match="no dataset was made"):
        Broken().test_it_makes_a_dataset_and_trains_a_model_on_it()


def test_a_memory_that_grows_without_end_fails_its_contract() -> None:
    class Diary:
        def update(self, state: State, trial: Trial) -> str:
            return f"{state.memory}{trial.number}\n"

    class Broken(MemoryContract):
        def memory(self) -> Diary:
            return Diary()

    with pytest.raises(AssertionError, match="still growing"):
        Broken().test_its_text_stays_bounded_over_three_hundred_trials()


def test_a_memory_that_remembers_outside_the_state_fails_its_contract() -> None:
    class Hidden:
        def __init__(self) -> None:
            self.seen = 0

        def update(self, state: State, trial: Trial) -> str:
            self.seen += 1
            return str(self.seen)

    class Broken(MemoryContract):
        def memory(self) -> Hidden:
            return Hidden()

    with pytest.raises(AssertionError):
        Broken().test_a_memory_made_anew_goes_on_from_the_state()


def test_a_journal_that_writes_half_an_append_fails_its_contract(tmp_path: Path) -> None:
    class Half(MemoryJournal):
        def append(self, *events: Event) -> None:
            for event in events:
                if "object at" in repr(event):
                    raise TypeError("cannot be written")
                super().append(event)

    class Broken(JournalContract):
        def journal(self, folder: Path) -> Half:
            return Half()

    with pytest.raises(AssertionError):
        Broken().test_an_append_that_fails_leaves_nothing_behind(tmp_path)


def test_a_journal_that_forgets_fails_its_contract(tmp_path: Path) -> None:
    class Broken(JournalContract):
        def journal(self, folder: Path) -> MemoryJournal:
            return MemoryJournal()

    with pytest.raises(AssertionError):
        Broken().test_a_journal_opened_again_has_all_its_events(tmp_path)


def test_a_journal_that_turns_events_around_fails_its_contract(tmp_path: Path) -> None:
    class Reversed(MemoryJournal):
        def read(self, after: int = 0) -> Iterator[Event]:
            return reversed(list(super().read(after)))

    class Broken(JournalContract):
        def journal(self, folder: Path) -> Reversed:
            return Reversed()

    with pytest.raises(AssertionError):
        Broken().test_events_keep_their_order_within_and_between_appends(tmp_path)


def test_a_journal_that_gives_what_was_read_again_fails_its_contract(tmp_path: Path) -> None:
    class Repeating(MemoryJournal):
        def read(self, after: int = 0) -> Iterator[Event]:
            return super().read(max(0, after - 1))

    class Broken(JournalContract):
        def journal(self, folder: Path) -> Repeating:
            return Repeating()

    with pytest.raises(AssertionError):
        Broken().test_who_has_read_some_events_can_go_on_after_them(tmp_path)


class Silent:
    def started(self, job: Job, state: State) -> None: ...

    def progressed(self, key: int | str, progress: Progress) -> None: ...

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None: ...

    def closed(self, state: State) -> None: ...


class Offline(Silent):
    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        raise ConnectionError("no route to the tracker")


class Tidying(Silent):
    def started(self, job: Job, state: State) -> None:
        state.pool.clear()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("broken", "test", "error"),
    [
        (Offline, "test_it_hears_a_whole_search_with_failures", ConnectionError),
        (Tidying, "test_it_leaves_what_it_is_told_as_it_is", AssertionError),
    ],
)
def test_a_broken_observer_fails_its_contract(broken: type[Silent], test: str, error: type[Exception]) -> None:
    class Broken(ObserverContract):
        def observer(self) -> Silent:
            return broken()

    with pytest.raises(error):
        getattr(Broken(), test)()


@pytest.mark.parametrize("times", [0, 2])
def test_a_runner_that_loses_or_repeats_a_job_fails_its_contract(times: int, tmp_path: Path) -> None:
    class Forgetful(Inline):
        def wait(self, timeout_s: float | None = None) -> list[tuple[int | str, Outcome]]:
            return [pair for pair in super().wait(timeout_s) for _ in range(times if pair[0] == 2 else 1)]

    class Broken(RunnerContract):
        within_s = 0.2

        def runner(self, folder: Path, *, capacity: int = 1) -> Forgetful:
            return Forgetful(toy.toolkit(), capacity=capacity)

    with pytest.raises(AssertionError):
        Broken().test_every_job_comes_back_exactly_once(tmp_path)


class Wavering(toy.ToyStep):
    """Refuses every second time: a combination, or the model by itself."""

    def __init__(self, *, alone: bool) -> None:
        moods = itertools.cycle([None, "not this time"])
        self._together = itertools.repeat(None) if alone else moods
        if alone:
            model, dataset, setting = toy.ToyStep.slots
            self.slots = (replace(model, accepts=lambda obj: next(moods)), dataset, setting)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return next(self._together)


@pytest.mark.parametrize("alone", [False, True], ids=["together", "alone"])
def test_an_action_type_that_answers_by_mood_fails_its_contract(alone: bool) -> None:
    class Broken(ActionTypeContract):
        def action_type(self) -> Wavering:
            return Wavering(alone=alone)

        def admitted(self) -> list[Mapping[str, Sequence[Object]]]:
            base, east, slow = toy.point("base", (0.0, 0.0)), toy.vector("east", (1.0, 0.0)), toy.rate("slow", 0.5)
            return [{"model": [base], "dataset": [east], "hyperparameters": [slow]}]

    with pytest.raises(AssertionError):
        Broken().test_asking_is_pure()
