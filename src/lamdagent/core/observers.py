"""Tell many observers, so that none of them can stop a search."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from lamdagent.core.jobs import Job, Progress
from lamdagent.core.protocols import Observer
from lamdagent.core.state import State
from lamdagent.core.types import Outcome

LOG = logging.getLogger(__name__)


class Observers:
    """Observers as one. What one raises is logged, and it hears nothing more; the others do."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def started(self, job: Job, state: State) -> None:
        self._each(lambda observer: observer.started(job, state))

    def progressed(self, key: int | str, progress: Progress) -> None:
        self._each(lambda observer: observer.progressed(key, progress))

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        self._each(lambda observer: observer.ended(key, outcome, state))

    def closed(self, state: State) -> None:
        self._each(lambda observer: observer.closed(state))

    def _each(self, tell: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            try:
                tell(observer)
            except Exception as error:  # whatever a tracker's library raises: a search is worth more than its picture
                self._observers = tuple(o for o in self._observers if o is not observer)
                name = type(observer).__name__
                LOG.warning(
                    "observer %s failed (%s: %s); it is left out from now on, and the search goes on",
                    name, type(error).__name__, error,
                )  # fmt: skip
                LOG.debug("observer %s failed", name, exc_info=error)
