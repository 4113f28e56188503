"""A search killed at any append of its journal goes on where it stopped, and ends where it would have ended."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.events import Asked, Event, MemoryUpdated, Scored, Told
from lamdagent.core.protocols import Journal
from lamdagent.core.search import Search, run
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Failed, Made, ObjectId
from lamdagent.memories.reflection import Reflection
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.runners.inline import Inline
from lamdagent.runners.job import Toolkit
from lamdagent.study.journal import MemoryJournal, SqliteJournal
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat

TRIALS = 8


class Killed(BaseException):
    """Stands for a kill -9."""


class Mortal:
    """A journal whose process is killed before or after it has written append number `at`."""

    def __init__(self, journal: Journal, *, at: int, written: bool) -> None:
        self._journal, self._left, self._written = journal, at, written

    def append(self, *events: Event) -> None:
        if self._left == 0:
            if self._written:
                self._journal.append(*events)
            raise Killed
        self._left -= 1
        self._journal.append(*events)

    def read(self, after: int = 0) -> Iterator[Event]:
        return self._journal.read(after)


class Counted(toy.Unwritten):
    """Counts how often each object was made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[ObjectId] = Counter()

    @contextlib.contextmanager
    def write(self, object_id: ObjectId, record: dict[str, Any]) -> Iterator[Path]:
        with super().write(object_id, record) as folder:
            yield folder
        self.made[object_id] += 1


def counting_bench(artifacts: Any) -> Toolkit:
    plain = toy.toolkit()
    return Toolkit(
        action_types=plain.action_types,
        evaluation=plain.evaluation,
        artifacts=artifacts,
        models=None,
        locate=plain.locate,
    )


def go(journal: Journal, toolkit: Toolkit, slots: int = 1, *, makes_data: bool = False) -> State:
    toy.open_toy(journal, seed=5, models=2, makes_data=makes_data)
    # Where datasets are made, the memory that reads most of the state is tried: it speaks of every object.
    chat = fake_chat(FakeClient()) if makes_data else None
    search = Search(
        journal=journal,
        action_types=toy.DATA_ACTION_TYPES if makes_data else toy.ACTION_TYPES,
        policy=Random(),
        memory=Reflection(chat=chat) if chat else Table(),
        budget=Budget(trials=TRIALS),
        chat=chat,
    )
    return run(search, Inline(toolkit, capacity=slots))


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("makes_data", [False, True], ids=["models", "models and data"])
def test_a_search_killed_at_any_append_ends_in_the_same_state(makes_data: bool, written: bool, slots: int) -> None:
    whole, at = go(MemoryJournal(), toy.toolkit(), slots, makes_data=makes_data), 0
    if makes_data:
        assert any(trial.choice.action.type == "blend" for trial in whole.trials)
    else:
        assert any(isinstance(trial.outcome, Failed) for trial in whole.trials)
    while True:
        journal, artifacts = MemoryJournal(), Counted()
        toolkit = counting_bench(artifacts)
        try:
            ended = go(Mortal(journal, at=at, written=written), toolkit, slots, makes_data=makes_data)
        except Killed:
            ended = go(journal, toolkit, slots, makes_data=makes_data)
        else:
            break
        assert toy.without_costs(ended) == toy.without_costs(whole), f"killed at append {at}"
        assert ended == reduce_events(journal.read())
        assert set(artifacts.made.values()) == {1}, "an object was made twice"
        once = Counter(
            (type(e).__name__, e.number) for e in journal.read() if isinstance(e, Asked | Told | MemoryUpdated)
        )
        assert set(once.values()) == {1}, "a trial was begun, ended or remembered twice"
        assert len(once) == 3 * TRIALS
        at += 1
    assert at > 3 * TRIALS


def test_a_search_killed_again_and_again_still_ends_in_the_same_state() -> None:
    whole, journal, toolkit, deaths = go(MemoryJournal(), toy.toolkit()), MemoryJournal(), toy.toolkit(), 0
    while True:
        try:
            ended = go(Mortal(journal, at=1, written=bool(deaths % 2)), toolkit)
            break
        except Killed:
            deaths += 1
    assert deaths > TRIALS
    assert toy.without_costs(ended) == toy.without_costs(whole)


def test_a_killed_search_goes_on_from_the_journal_on_disk(tmp_path: Path) -> None:
    whole, toolkit = go(MemoryJournal(), toy.toolkit()), toy.toolkit()
    file = tmp_path / "journal.sqlite"
    for at in (2, 9, 10):
        with contextlib.closing(SqliteJournal(file, writer=True)) as journal, pytest.raises(Killed):
            go(Mortal(journal, at=at, written=False), toolkit)
    with contextlib.closing(SqliteJournal(file, writer=True)) as journal:
        ended = go(journal, toolkit)
        assert ended == reduce_events(journal.read())
    assert toy.without_costs(ended) == toy.without_costs(whole)


def test_a_job_done_before_the_kill_is_found_and_not_done_again() -> None:
    journal, artifacts = MemoryJournal(), Counted()
    toolkit = counting_bench(artifacts)
    first_told = next(at for at in range(99) if _dies_at(at, Told))
    with pytest.raises(Killed):
        go(Mortal(journal, at=first_told, written=False), toolkit)
    (made,) = artifacts.made
    ended = go(journal, toolkit)
    assert artifacts.made[made] == 1
    assert ended.trials[0].choice.action.id == made


def test_brought_models_that_were_scored_are_not_scored_again() -> None:
    journal, toolkit = MemoryJournal(), toy.toolkit()
    with pytest.raises(Killed):
        go(Mortal(journal, at=2, written=True), toolkit)
    go(journal, toolkit)
    scored = [event.object_id for event in journal.read() if isinstance(event, Scored)]
    assert len(scored) == len(set(scored)) == 2


def test_a_finished_search_opened_again_does_nothing() -> None:
    journal = MemoryJournal()
    ended = go(journal, toy.toolkit())
    events = len(list(journal.read()))
    assert go(journal, toy.toolkit()) == ended
    assert len(list(journal.read())) == events


def test_lost_artifacts_do_not_stop_a_search_from_going_on() -> None:
    whole, journal = go(MemoryJournal(), toy.toolkit()), MemoryJournal()
    with pytest.raises(Killed):
        go(Mortal(journal, at=12, written=True), toy.toolkit())
    assert toy.without_costs(go(journal, toy.toolkit())) == toy.without_costs(whole)


def test_a_search_of_made_models_only_has_scores_for_all_of_them() -> None:
    ended = go(MemoryJournal(), toy.toolkit())
    for trial in ended.trials:
        assert (trial.choice.action.id in ended.scores) == isinstance(trial.outcome, Made)


def _dies_at(at: int, kind: type[Event]) -> bool:
    """Whether append number `at` is the one of a kind of event."""
    appended: list[Event] = []

    class Noted(MemoryJournal):
        def append(self, *events: Event) -> None:
            appended.append(events[0])
            super().append(*events)

    go(Noted(), toy.toolkit())
    return isinstance(appended[at], kind)
