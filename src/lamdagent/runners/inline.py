"""Run jobs in this process, one after the other: for tests, debuggers and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from lamdagent.core.config import Config, Parts
from lamdagent.core.jobs import AUDIT, Job, Prepared, PrepareRequest, Progress
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.types import Failed, Outcome
from lamdagent.runners.job import Toolkit, work
from lamdagent.runners.prepare import prepare


class InlineConfig(Config):
    """Jobs run in this process, one after the other: for debuggers and notebooks. A crash ends the search too."""

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {"toolkit": parts.toolkit, "watch": parts.watch, "answered": parts.answered}


class Inline:
    """Does one job at each `wait`. It cannot stop the job that is running: such a one goes on to its own end."""

    Config = InlineConfig

    def __init__(
        self,
        toolkit: Toolkit,
        *,
        capacity: int = 1,
        watch: Callable[[int | str, Progress], None] = lambda key, progress: None,
        answered: Callable[[LLMCall], None] = lambda call: None,
    ) -> None:
        self.capacity, self._toolkit, self._watch, self._answered = capacity, toolkit, watch, answered
        self._queue: list[Job] = []
        self._running: Job | None = None
        self._cancelled: list[tuple[int | str, Outcome]] = []

    def prepare(self, request: PrepareRequest) -> Prepared:
        return prepare(request, self._toolkit, partial(self._watch, AUDIT))

    def submit(self, job: Job) -> None:
        self._queue.append(job)

    def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
        if self._cancelled or not self._queue:
            ended, self._cancelled = self._cancelled, []
            return ended
        job = self._running = self._queue[0]
        try:
            watch = partial(self._watch, job.key)
            outcome = work(job, self._toolkit, watch, answered=self._answered)
        finally:
            self._running = None
        self._queue.remove(job)  # not before: where the user must mend something, the job stays open
        return [(job.key, outcome)]

    def cancel(self, key: int | str) -> None:
        for job in [job for job in self._queue if job.key == key and job is not self._running]:
            self._queue.remove(job)
            self._cancelled.append((key, Failed(cause="cancelled", message="cancelled before it began")))

    def close(self) -> None:
        self._queue.clear()
        self._cancelled.clear()
