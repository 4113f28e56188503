"""What observers hear, and what a failure around a search comes to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import JournalError, UserError
from lamdagent.core.events import Event, SearchStopped
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.observers import Observers
from lamdagent.core.search import run
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Outcome
from lamdagent.policies.random import Random
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from tests.loop.by_hand import opened


class Noting:
    """An observer that keeps what it heard, and raises where it is told to."""

    def __init__(self, *, fails_at: str | None = None, with_: type[Exception] = RuntimeError) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._fails_at, self._error = fails_at, with_

    def started(self, job: Job, state: State) -> None:
        self._note("started", job.key)

    def progressed(self, key: int | str, progress: Progress) -> None:
        self._note("progressed", key)

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        assert not isinstance(key, int) or state.trials[key].outcome == outcome
        self._note("ended", key)

    def closed(self, state: State) -> None:
        self._note("closed", state.stopped and state.stopped.reason)

    def _note(self, what: str, of: Any) -> None:
        self.heard.append((what, of))
        if what == self._fails_at:
            raise self._error("[/red] the tracker is down")


def test_every_observer_hears_of_each_job_once_in_the_state_it_left_and_at_last_why_it_ended() -> None:
    observers = [Noting(), Noting()]
    run(opened(budget=Budget(trials=4)), Inline(toy.toolkit(), capacity=2), Observers(observers))
    for observer in observers:
        assert observer.heard.pop() == ("closed", "trials")
        keys = ["base", 0, 1, 2, 3]
        assert sorted(observer.heard, key=str) == sorted(itertools.product(("started", "ended"), keys), key=str)


@pytest.mark.parametrize("error", [RuntimeError, UserError], ids=["any", "user"])
@pytest.mark.parametrize("at", ["started", "progressed", "ended", "closed"])
def test_an_observer_that_raises_is_warned_of_once_and_left_out_and_the_search_goes_on(
    at: str, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    whole, broken, sound = toy.search(Random(), trials=4), Noting(fails_at=at, with_=error), Noting()
    observers = Observers([broken, sound])
    runner = toy.inline(watch=observers.progressed)
    state = toy.search(Random(), trials=4, runner=runner, observers=[observers])
    assert toy.without_costs(state) == toy.without_costs(whole)
    assert [what for what, _ in broken.heard].count(at) == 1
    assert broken.heard[-1][0] == at
    assert sound.heard[-1] == ("closed", "trials")
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "observer Noting failed" in warning.getMessage()
    assert "[/red] the tracker is down" in warning.getMessage()


def stopped_by(error: type[BaseException], message: str = "") -> State:
    class Breaks(Inline):
        def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
            raise error(message)

    journal, observer = MemoryJournal(), Noting()
    with pytest.raises(error):
        run(opened(journal), Breaks(toy.toolkit()), Observers([observer]))
    state = reduce_events(journal.read())
    assert observer.heard[-1] == ("closed", state.stopped and state.stopped.reason)
    return state


def test_an_interrupt_and_an_error_are_journalled_as_why_the_search_stopped() -> None:
    interrupted, failed = stopped_by(KeyboardInterrupt).stopped, stopped_by(UserError, "the disk is full").stopped
    assert interrupted is not None
    assert interrupted.reason == "interrupted"
    assert failed == SearchStopped(reason="error", message="the disk is full")


def test_an_error_of_the_journal_itself_is_the_one_that_is_seen() -> None:
    class Full(MemoryJournal):
        full = False

        def append(self, *events: Event) -> None:
            if self.full:
                raise JournalError(f"cannot be written: {type(events[0]).__name__}")
            super().append(*events)

    journal = Full()
    search = opened(journal)
    journal.full = True
    with pytest.raises(JournalError, match="cannot be written: Scored"):
        run(search, Inline(toy.toolkit()))
