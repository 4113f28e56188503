"""The seams of the loop: what a plugin must do, one protocol each.

A plugin family never imports another one; `build.py` puts them together. Every implementation passes the contract
suite of its protocol in `lamdagent.testing.contracts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from lamdagent.core.action_type import Context
from lamdagent.core.events import Event
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Job, LLMCall, Object, Outcome, Progress, Split, Trial


class Policy(Protocol):
    """Selects what to do next. It sees values only, never the store or a runner."""

    name: str

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        """At most `n` different feasible choices; fewer or none where no more are left. A function of `state`."""


class Shortlist(Protocol):
    """A policy that can also say what is worth a look, for another one to choose from."""

    def shortlist(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        """At most `n` different feasible choices; their reasons say what is predicted of them."""


class Memory(Protocol):
    """The text that is carried from trial to trial."""

    def update(self, state: State, trial: Trial) -> str:
        """The whole new text, after `trial` has ended and is in `state`."""


class Chat(Protocol):
    """A language model that policies and memories may ask. What it says is journalled before it is used."""

    def bind(self, state: Callable[[], State], record: Callable[[LLMCall], None]) -> None:
        """Where to look up what was answered before, and where to put what is answered now."""


class Task(Protocol):
    """What a model is scored on. An id of `ids` covers everything that could change a score on its side."""

    name: str
    ids: Mapping[Split, str]

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        """What each of the first `n` items of a side gives (None: each), in an order that is the same for all models.

        What was asked before is kept in the model's folder and not asked again. The search asks for validation only.
        """


class Runner(Protocol):
    """Runs jobs, up to `slots` at a time."""

    slots: int

    def submit(self, job: Job) -> None:
        """Take a job. Submitting one that an earlier process finished is safe and cheap: its files are found."""

    def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
        """Block until a job ends or the time is up; (key, outcome) of each that ended.

        Raises:
            UserError: nothing more can be run here (such as a full disk); the jobs stay open.
        """


class Journal(Protocol):
    """An append-only list of events that survives a kill at any moment."""

    def append(self, *events: Event) -> None:
        """Write all of `events`, or none of them."""

    def read(self) -> Iterator[Event]:
        """All events, in the order they were written."""


class Display(Protocol):
    """Shows a search to whoever watches."""

    def began(self, job: Job, state: State) -> None: ...

    def progressed(self, key: int | str, progress: Progress) -> None: ...

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None: ...

    def close(self, state: State) -> None: ...
