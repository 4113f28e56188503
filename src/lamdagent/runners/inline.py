"""Run jobs in this process, one after the other: for tests, debuggers and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lamdagent.core.types import Job, Outcome, Progress
from lamdagent.runners.job import Toolkit, work


class Inline:
    """Does one job at each `wait`."""

    def __init__(
        self,
        toolkit: Toolkit,
        *,
        slots: int = 1,
        watch: Callable[[int | str, Progress], None] = lambda key, progress: None,
    ) -> None:
        self.slots, self._toolkit, self._watch = slots, toolkit, watch
        self._jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
        if not self._jobs:
            return []
        job = self._jobs[0]
        outcome = work(job, self._toolkit, lambda progress: self._watch(job.key, progress))
        del self._jobs[0]
        return [(job.key, outcome)]

    def close(self) -> None:
        """Nothing to stop."""
