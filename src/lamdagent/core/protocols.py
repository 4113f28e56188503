"""The seams of the loop: what a plug-in must do, one protocol each.

A plug-in family never imports another one; `study/parts.py` puts them together. Every implementation passes the contract
suite of its protocol in `lamdagent.testing.contracts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from lamdagent.core.action_type import Context, Loaded
from lamdagent.core.events import Event
from lamdagent.core.jobs import Job, Prepared, PrepareRequest, Progress
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.space import ActionSpace
from lamdagent.core.spent import Spent
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Example, Object, ObjectId, Outcome, Score, Split, Trial


class Policy(Protocol):
    """Selects what to do next. It sees values only, never the store or a runner."""

    name: str

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        """At most `n` different feasible choices; fewer or none where no more are left. A function of `state`."""


class Shortlist(Protocol):
    """A policy that can also say what is worth a look, for another one to choose from."""

    def shortlist(self, state: State, space: ActionSpace, n: int) -> list[Choice] | str:
        """At most `n` different feasible choices, whose reasons say what is predicted of them; or why there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What a policy says of what can be done, for another one to decide: choices worth a look, and by object the best
    objective that is predicted of what holds it, with its standard deviation."""

    candidates: Sequence[Choice] = ()
    best_with: Mapping[ObjectId, tuple[float, float]] = field(default_factory=dict)


class Adviser(Protocol):
    """A policy that can also advise another one."""

    def advice(self, state: State, space: ActionSpace, n: int) -> Advice:
        """At most `n` different feasible candidates, whose reasons say what is predicted of them, and predictions."""


class Memory(Protocol):
    """The text that is carried from trial to trial."""

    def update(self, state: State, trial: Trial) -> str:
        """The whole new text, after `trial` has ended and is in `state`."""


class CallLog(Protocol):
    """Where a chat looks up what was answered before, and puts what is answered now: a search's journal, or a job's."""

    def answered(self, key: str) -> LLMCall | None:
        """The answer to a question that was asked before; None where it is to be asked."""

    def record(self, call: LLMCall) -> None:
        """Keep a call so that no kill loses it. The answer is used only after this returns."""

    @property
    def spent(self) -> Spent:
        """What the study's answers took so far, for its budget."""


class Chat(Protocol):
    """A language model that policies, memories, and in jobs actions and tasks may ask."""

    def bind(self, log: CallLog) -> None:
        """Ask for whoever keeps this log."""

    def bound(self, log: CallLog) -> Self:
        """The same language model, asking for whoever keeps this log; this chat stays as it is."""


class CallStore(Protocol):
    """Keeps what jobs were answered where a killed worker or driver cannot lose it."""

    def write(self, call: LLMCall) -> None:
        """Keep an answer. Keeping it once more changes nothing."""

    def of(self, jobs: Iterable[int | str] | None = None) -> Sequence[LLMCall]:
        """What is kept of these jobs (None: of all), whichever process wrote it."""


class Task(Protocol):
    """What a model is scored on. Nothing is read, loaded or fetched before it is asked for."""

    name: str

    @property
    def ids(self) -> Mapping[Split, str]:
        """For each side, the hash of everything that could change a score on it."""

    @property
    def has_test(self) -> bool:
        """Whether there is a sealed test side."""

    def check(self) -> None:
        """Look for mistakes, in the driver: without torch, and as far as nothing must be fetched.

        Raises:
            ConfigError: what the study file says of it cannot be.
            DataError: its items cannot be used.
        """

    def to_fetch(self) -> str | None:
        """What a run would fetch for it, in words; None where all of it is on this machine."""

    def about(self) -> str:
        """How many items it asks, in words, as far as nothing must be fetched."""

    def sizes(self) -> Mapping[Split, int]:
        """How many items each side has, in a worker. Loads the items."""

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        """Every item of a side in its order, as texts: its place, prompt, and right answer (empty where none is)."""

    def examples(self, n: int, loaded: Loaded) -> Sequence[Example]:
        """The first validation items, at most `n`, as scoring would put them to a `loaded` model: what it is examined
        with."""

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        """What each of the first `n` items of a side gives (None: each), in an order that is the same for all models.

        Where several were drawn together, such as questions on one passage, `core.items.ItemValues` say so.

        What was asked before is kept in the model's folder and not asked again. The search asks for validation only.
        """


class Runner(Protocol):
    """Runs jobs. All calls come from one thread, that of the search."""

    @property
    def capacity(self) -> int:
        """How many jobs it runs at once; the search keeps so many submitted."""

    def prepare(self, request: PrepareRequest) -> Prepared:
        """Do, where jobs run, what must be done once before the first job; see `lamdagent.runners.prepare`.

        Raises:
            UserError: the study cannot begin before the user mends something.
        """

    def submit(self, job: Job) -> None:
        """Take a job. Submitting one that an earlier process finished is safe and cheap: its files are found."""

    def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
        """Block until a job ends or the time is up; (key, outcome) of each that ended.

        Raises:
            UserError: nothing more can be run here (such as a full disk); the jobs stay open.
        """

    def cancel(self, key: int | str) -> None:
        """Take a job out of the queue, or stop it in the middle. The next `wait` returns it as `Failed` by `cancelled`.

        No error where there is no such job (any more).
        """

    def close(self) -> None:
        """Stop everything at once. Jobs at hand stay undone. No error where it is closed already."""


class ArtifactStore(Protocol):
    """Keeps what objects are made of: one folder each, named by its id, written once and whole."""

    @property
    def root(self) -> Path:
        """A folder of this machine on the disk that artifacts are written to."""

    def open(self, object_id: ObjectId) -> Path:
        """An object's folder on this machine, to read. It need not exist: only `record` says what is there.

        Scores are added to it while a job runs.
        """

    def record(self, object_id: ObjectId) -> dict[str, Any] | None:
        """What was written of an object; None where there is no such artifact or its record is damaged."""

    def write(self, object_id: ObjectId, record: dict[str, Any]) -> AbstractContextManager[Path]:
        """A folder to write to, which becomes the object's when the block ends without an error.

        `record` is written last; the block may still fill it in. Where another process was faster, its work stays.

        Raises:
            UserError: the disk is full.
        """

    def remove(self, object_id: ObjectId, *, scores: bool = True) -> None:
        """Forget an object's files; no error where there are none. The actions that made it can make it again.

        Args:
            scores: false keeps what each item gave, which what is made again has, too.
        """

    def values(self, object_id: ObjectId, score: Score) -> list[float] | None:
        """What each item gave that a score is the mean of; None where the items are not kept (any more).

        `core.items.ItemValues` where it is known how items were drawn.
        """

    def sweep(self) -> None:
        """Remove what killed processes of this host left half written, and nothing that any host still writes."""

    def damaged(self, object_id: ObjectId) -> list[str]:
        """The files of an artifact that are missing or not what was written, in words."""


class Journal(Protocol):
    """An append-only list of events that survives a kill at any moment."""

    def append(self, *events: Event) -> None:
        """Write all of `events`, or none of them."""

    def read(self, after: int = 0) -> Iterator[Event]:
        """The events in the order they were written, without the first `after`.

        Who has read `n` goes on with `read(after=n)`: nothing is ever inserted or taken out.
        """


class Observer(Protocol):
    """Hears of a search as it goes, in the driver: a terminal, a tracker, a page. It changes no result.

    The search waits while it is told: return at once. What it raises is logged once; it is then left out, and the search
    goes on.
    """

    def started(self, job: Job, state: State) -> None:
        """A job was handed to the runner. Called first for the first job: open files and connections here."""

    def progressed(self, key: int | str, progress: Progress) -> None:
        """A job is further; `key` is the trial's number, or the name of a provided model. Comes at every step."""

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        """A job ended; `state` knows of it."""

    def closed(self, state: State) -> None:
        """The run is over, however it ended: `state.stopped` says why. Also where nothing was started."""
