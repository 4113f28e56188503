"""Show nothing."""

from __future__ import annotations

from lamdagent.core.state import State
from lamdagent.core.types import Job, Outcome, Progress


class Quiet:
    """A display for scripts that read the returned state."""

    def began(self, job: Job, state: State) -> None: ...

    def progressed(self, key: int | str, progress: Progress) -> None: ...

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None: ...

    def close(self, state: State) -> None: ...
