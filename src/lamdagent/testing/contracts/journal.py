"""The contract of `lamdagent.core.protocols.Journal`."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

from lamdagent.core.audit import Finding
from lamdagent.core.events import (
    Asked,
    AuditDone,
    Event,
    HoldoutOpened,
    LLMCalled,
    MemoryUpdated,
    ObjectAdded,
    Referenced,
    Scored,
    SearchStopped,
    StudyOpened,
    Tested,
    TimeSpent,
    Told,
)
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.protocols import Journal
from lamdagent.core.state import reduce_events
from lamdagent.core.training import Training
from lamdagent.core.types import Action, Choice, Cost, Failed, Guard, Made, Object, Score, TaskWeight
from lamdagent.testing import toy

_CHOICE = Choice(
    action=Action(type="step", version=1, inputs={"model": ("m",), "dataset": ("d", "e")}, seed=3),
    reason="a “reason”\nof two lines",
    by="hand",
)
_GOALS, _GUARDS = (TaskWeight(task="near", weight=0.5),), (Guard(task="near", max_drop=0.02),)
_SCORES = (
    Score(
        task="near", split="validation", value=0.1 + 0.2, n=50, stderr=1e-17, gain=-0.1, gain_stderr=0.01, task_id="t"
    ),
    Score(task="far", split="test", value=-1e300, n=1),
)
_COST = Cost(
    wall_s=1.25,
    phases_s={"train": 1.0, "write": 0.25},
    peak_bytes=2**40,
    training=Training(rows=300, tokens=2**40, flops=6e18),
    gpu_s=1.25,
    reused=True,
    saved_s=9.5,
)
_MADE = Object(id="m2", kind="model", name="model-0", made_by="m2", meta={"x": [0.5, -1.0], "root": "m", "deep": {}})

_DATA = Object(id="d2", kind="dataset", name="dataset-1", made_by="d2", meta={"rows": 7, "format": "text"})

_CALL = LLMCall(
    key="k", trial=0, purpose="choose", model="some:model", system="You search.", prompt="“What next?”\n{}",
    answer='{"type": "step"}', tokens_in=1200, tokens_out=7, usd=0.00031, wall_s=0.5,
)  # fmt: skip

EVERY_EVENT: tuple[Event, ...] = (
    StudyOpened(config={"study": "toy", "nested": [{"a": None, "b": True}]}, seed=7, goals=_GOALS, guards=_GUARDS),
    ObjectAdded(object=Object(id="d", kind="dataset", name="données", uri="./d.jsonl", meta={"rows": 3, "rate": 2e-5})),
    AuditDone(key="k", findings=(Finding(weight="warning", text="24 of 32", path=("datasets", "d")),)),
    Scored(object_id="m", scores=_SCORES, cost=_COST, warnings=("trl: 3 rows",)),
    Asked(number=0, choice=_CHOICE),
    Told(number=0, outcome=Made(object=_MADE, scores=_SCORES, cost=_COST, rescored={"m": _SCORES})),
    Told(number=2, outcome=Made(object=_DATA, scores=(), cost=_COST)),
    Told(
        number=1,
        outcome=Failed(cause="oom", message="out of memory", log_tail="line\nline", cost=_COST, warnings=("a: b",)),
    ),
    MemoryUpdated(number=0, memory="…\n\ttext"),
    LLMCalled(call=_CALL),
    LLMCalled(call=replace(_CALL, answer=None, error="no answer came", tokens_out=0, usd=None)),
    TimeSpent(wall_s=0.001),
    HoldoutOpened(models=("m", "m2")),
    Tested(object_id="m2", scores=_SCORES),
    Referenced(model=Object(id="r", kind="model", name="org/model", uri="hub:org/model@1"), scores=_SCORES, cost=_COST),
    SearchStopped(reason="llm_tokens", message="budget.llm_tokens: 9 of 9 are spent"),
)


class JournalContract:
    """Events go in as a whole and come out as they went in.

    `persistent`: opening the same folder again gives the same events.
    """

    persistent = True

    def journal(self, folder: Path) -> Journal:
        """The journal that keeps its events in a folder; where there is none yet, an empty one."""
        raise NotImplementedError

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[Journal]:
        journal = self.journal(folder)
        try:
            yield journal
        finally:
            toy.close(journal)

    def test_a_new_journal_is_empty(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as journal:
            assert list(journal.read()) == []

    def test_every_kind_of_event_comes_back_equal(self, tmp_path: Path) -> None:
        assert {type(event) for event in EVERY_EVENT} == set(get_args(Event)), "a kind of event is not tested here"
        with self.opened(tmp_path) as journal:
            for event in EVERY_EVENT:
                journal.append(event)
            assert list(journal.read()) == list(EVERY_EVENT)

    def test_events_keep_their_order_within_and_between_appends(self, tmp_path: Path) -> None:
        events = [TimeSpent(wall_s=float(i)) for i in range(60)]
        with self.opened(tmp_path) as journal:
            for start in range(0, 60, 7):
                journal.append(*events[start : start + 7])
            assert list(journal.read()) == events

    def test_an_append_that_fails_leaves_nothing_behind(self, tmp_path: Path) -> None:
        good, bad = TimeSpent(wall_s=1.0), StudyOpened(config={"not json": object()}, seed=0, goals=())
        with self.opened(tmp_path) as journal:
            journal.append(good)
            try:
                journal.append(good, bad, good)
            except Exception:
                assert list(journal.read()) == [good]
            else:
                assert len(list(journal.read())) == 4
            journal.append(good)
            assert list(journal.read())[-1] == good

    def test_appending_nothing_changes_nothing(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as journal:
            journal.append()
            assert list(journal.read()) == []

    def test_an_append_does_not_disturb_who_is_reading(self, tmp_path: Path) -> None:
        events = [TimeSpent(wall_s=float(i)) for i in range(5)]
        with self.opened(tmp_path) as journal:
            journal.append(*events)
            reading = journal.read()
            first = next(reading)
            journal.append(TimeSpent(wall_s=9.0))
            assert [first, *itertools.islice(reading, 4)] == events
            assert len(list(itertools.islice(reading, 9))) <= 1
            assert len(list(journal.read())) == 6

    def test_a_journal_opened_again_has_all_its_events(self, tmp_path: Path) -> None:
        if not self.persistent:
            return
        with self.opened(tmp_path) as journal:
            journal.append(*EVERY_EVENT[:4])
        with self.opened(tmp_path) as journal:
            journal.append(*EVERY_EVENT[4:])
        with self.opened(tmp_path) as journal:
            assert list(journal.read()) == list(EVERY_EVENT)

    def test_who_has_read_some_events_can_go_on_after_them(self, tmp_path: Path) -> None:
        events: list[Event] = [TimeSpent(wall_s=float(i)) for i in range(5)]
        with self.opened(tmp_path) as journal:
            journal.append(*events[:3])
            try:  # an append that fails takes no place
                journal.append(StudyOpened(config={"not json": object()}, seed=0, goals=()))
            except Exception:
                journal.append(*events[3:])
            else:
                events.insert(3, list(journal.read())[3])
                journal.append(*events[4:])
            for after in range(len(events) + 2):
                assert list(journal.read(after=after)) == events[after:]

    def test_a_search_folds_to_the_same_state_after_the_journal(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as journal:
            events: list[Event] = list(toy.first_events())
            journal.append(*events)
            assert reduce_events(journal.read()) == reduce_events(events)
