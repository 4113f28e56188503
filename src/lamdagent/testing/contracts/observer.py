"""The contract of `lamdagent.core.protocols.Observer`."""

from __future__ import annotations

import pickle
from collections.abc import Callable

from lamdagent.core.events import SearchStopped
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.protocols import Observer
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Failed, Outcome
from lamdagent.testing import toy


class Recorded:
    """Keeps what it was told, to tell another observer with nothing between that catches what it raises."""

    def __init__(self) -> None:
        self.told: list[Callable[[Observer], None]] = []
        self.states: list[State] = []

    def started(self, job: Job, state: State) -> None:
        self.states.append(state)
        self.told.append(lambda observer: observer.started(job, state))

    def progressed(self, key: int | str, progress: Progress) -> None:
        self.told.append(lambda observer: observer.progressed(key, progress))

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        self.told.append(lambda observer: observer.ended(key, outcome, state))

    def closed(self, state: State) -> None:
        self.told.append(lambda observer: observer.closed(state))


class ObserverContract:
    """Takes whatever comes, raises nothing, and changes nothing."""

    def observer(self) -> Observer:
        raise NotImplementedError

    def test_it_hears_a_whole_search_with_failures(self) -> None:
        for makes_data in (False, True):
            observer, recorded = self.observer(), _a_search(makes_data=makes_data)
            for tell in recorded.told:
                tell(observer)

    def test_it_leaves_what_it_is_told_as_it_is(self) -> None:
        observer, recorded = self.observer(), _a_search()
        before = pickle.dumps(recorded.states)
        for tell in recorded.told:
            tell(observer)
        assert recorded.states == pickle.loads(before), "it changed a state that it was shown"

    def test_progress_of_an_unknown_job_is_no_error(self) -> None:
        observer = self.observer()
        for progress in (Progress(phase="load"), Progress(phase="train", done=1, total=9, facts={"loss": 0.5})):
            observer.progressed(99, progress)
            observer.progressed("stranger", progress)
        observer.closed(State())

    def test_text_that_looks_like_markup_is_only_text(self) -> None:
        observer, state = self.observer(), toy.grown(1)
        observer.started(Job(key=0, action=state.trials[0].choice.action, objects=()), state)
        observer.ended(0, Failed(cause="error", message="[/red] [bold {x} %s"), state)
        observer.closed(reduce_events([SearchStopped(reason="error", message="[/red] {x} %s")], state))

    def test_a_search_stopped_before_anything_started_can_be_closed(self) -> None:
        self.observer().closed(State())


def _a_search(*, makes_data: bool = False) -> Recorded:
    from lamdagent.policies.random import Random

    recorded = Recorded()
    runner = toy.inline(capacity=2, watch=recorded.progressed)
    state = toy.search(Random(), trials=25, runner=runner, observers=[recorded], makes_data=makes_data)
    assert makes_data or any(isinstance(trial.outcome, Failed) for trial in state.trials)
    return recorded
