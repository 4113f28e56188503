"""A live view in a terminal: one bar for the search, one for each job that runs, the best so far below."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lamdagent.core import jobs
from lamdagent.core.budget import Budget
from lamdagent.core.state import State
from lamdagent.core.text import one_line
from lamdagent.core.types import Failed, Outcome
from lamdagent.ui.render.terminal import as_text
from lamdagent.ui.terminal.progress import SearchProgress


class Live:
    """Bars that move, with a line above them for each job that ended."""

    def __init__(self, progress_text: SearchProgress, budget: Budget, console: Console | None = None) -> None:
        self._text, self._budget = progress_text, budget
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[step]}", markup=False),
            TimeElapsedColumn(),
            console=console,
        )
        self._search = self._bars.add_task("search", total=budget.trials, step="")
        self._jobs: dict[int | str, TaskID] = {}

    def started(self, job: jobs.Job, state: State) -> None:
        self._bars.start()  # not before: an error in the study file leaves the terminal as it was
        self._text.started(job.key)
        self._jobs[job.key] = self._bars.add_task(one_line(self._text.title(job.key, state)), total=None, step="")

    def progressed(self, key: int | str, progress: jobs.Progress) -> None:
        if key in self._jobs:
            self._bars.update(
                self._jobs[key], completed=progress.done, total=progress.total, step=one_line(self._text.step(progress))
            )

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        if (bar := self._jobs.pop(key, None)) is not None:
            self._bars.remove_task(bar)
        colour = "green" if not isinstance(outcome, Failed) else "yellow" if outcome.stopped else "red"
        title = self._text.title(key, state)
        verdict = f"{self._text.verdict(key, outcome, state)}  "
        self._bars.console.print(as_text(verdict), style=colour, end="")
        self._bars.console.print(as_text(title), style="dim")
        if isinstance(outcome, Failed):
            self._bars.console.print(as_text(f"  {outcome.message}"))
        for line in self._text.warnings(outcome):
            self._bars.console.print(as_text(f"  {line}"), style="yellow")
        ended = sum(t.outcome is not None for t in state.trials)
        self._bars.update(self._search, completed=ended, step=one_line(self._text.standing(state)))

    def closed(self, state: State) -> None:
        self._bars.stop()
        self._bars.console.print(as_text(self._text.closing(state)))
