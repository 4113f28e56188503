"""Plain lines: for logs, pipes and terminals without cursor control."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from lamdagent.core.format import duration
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.state import State
from lamdagent.core.text import printable
from lamdagent.core.types import Failed, Outcome
from lamdagent.ui.terminal.progress import SearchProgress

EVERY_S = 10.0
CONTINUED = "\n" + " " * len(
    "12:00:00   "
)  # what follows in a text of several lines cannot be taken for a line of ours


class Plain:
    """One line where something begins or ends, and one now and then while it runs."""

    def __init__(self, progress_text: SearchProgress, out: TextIO | None = None) -> None:
        self._text, self._out = progress_text, out or sys.stdout
        self._said: dict[int | str, tuple[float, str]] = {}

    def started(self, job: Job, state: State) -> None:
        self._text.started(job.key)
        self._said[job.key] = (time.monotonic(), "")
        self._say(self._text.title(job.key, state))

    def progressed(self, key: int | str, progress: Progress) -> None:
        at, phase = self._said.get(key, (0.0, ""))
        if time.monotonic() - at < EVERY_S and (progress.phase == phase or time.monotonic() - at < 1.0):
            return
        self._said[key] = (time.monotonic(), progress.phase)
        self._say(f"  {self._text.step(progress)}")

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        took = duration(outcome.cost.wall_s)
        self._say(f"  {self._text.verdict(key, outcome, state)} in {took}; {self._text.standing(state)}")
        if isinstance(outcome, Failed):
            self._say(f"  {outcome.message}")
        for line in self._text.warnings(outcome):
            self._say(f"  {line}")

    def closed(self, state: State) -> None:
        self._say(self._text.closing(state))

    def _say(self, text: str) -> None:
        text = printable(text).replace("\n", CONTINUED)
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._out, flush=True)
