"""What every terminal display says, whatever it looks like: titles, verdicts, the best so far and the time left."""

from __future__ import annotations

import time

from lamdagent.core.budget import Budget
from lamdagent.core.format import action_of, contents, duration, fault, scored, tally
from lamdagent.core.jobs import Progress
from lamdagent.core.state import State
from lamdagent.core.text import one_line
from lamdagent.core.types import Failed, Outcome


class SearchProgress:
    """Words for a search within a budget. The time left follows from the trials that ended since it was made."""

    def __init__(self, budget: Budget, slots: int = 1) -> None:
        self._budget, self._slots = budget, slots
        self._seconds: list[float] = []
        self._began: dict[int | str, float] = {}

    def started(self, key: int | str) -> None:
        """Start a job's clock."""
        self._began[key] = time.monotonic()

    def title(self, key: int | str, state: State) -> str:
        """`trial 3 (4 of 20): sft(model=base, …)`, and where a fallback chose it, that and why."""
        if isinstance(key, str):
            return f"scoring {key}"
        of = f" ({key + 1} of {self._budget.trials})" if self._budget.trials else ""
        trial = state.trials[key]
        by = f", chosen by {trial.choice.by}: {trial.choice.reason}" if trial.choice.fell_back else ""
        return f"trial {key}{of}: {action_of(state, trial)}{by}"

    def step(self, progress: Progress) -> str:
        """`train 40/75 loss 0.43`."""
        of = f" {progress.done}/{progress.total}" if progress.total else ""
        facts = "".join(f" {name} {value:.3g}" for name, value in progress.facts.items())
        return f"{progress.phase}{of}{facts}"

    def verdict(self, key: int | str, outcome: Outcome, state: State) -> str:
        """What came of a job, in a few words; stops its clock."""
        if isinstance(key, int) and key in self._began:
            self._seconds.append(time.monotonic() - self._began.pop(key))
        name = f"trial {key}" if isinstance(key, int) else key
        if isinstance(outcome, Failed):
            return f"{name} {fault(outcome)}"
        made = outcome.object
        if made.kind != "dataset":
            return f"{name}: {scored(state.objective(made.id))}"
        marked = [(made.dataset.get("dropped"), "left out"), (made.dataset.get("overlapping"), "kept")]
        held = "".join(f"; {n} with evaluation items {what}" for n, what in marked if n)
        return f"{name}: {contents(made)}{held}"

    def warnings(self, outcome: Outcome) -> list[str]:
        """What was warned of while a job ran and not before in this study, a line each."""
        return [f"warning of {one_line(text)}" for text in outcome.warnings]

    def standing(self, state: State) -> str:
        """`best model-2 0.705 ± 0.028; about 3 min 5 s left`."""
        left = self.seconds_left(state)
        return best_of(state) + (f"; about {duration(left)} left" if left else "")

    def seconds_left(self, state: State) -> float | None:
        """Seconds until the budget is used up; None before the first trial of this run has ended."""
        ended = sum(t.outcome is not None for t in state.trials)
        bounds = []
        if self._budget.trials is not None and self._seconds:
            mean = sum(self._seconds) / len(self._seconds)
            bounds.append((self._budget.trials - ended) * mean / self._slots)
        if self._budget.hours is not None:
            bounds.append(self._budget.hours * 3600 - state.wall_s)
        return max(0.0, min(bounds)) if bounds else None

    def closing(self, state: State) -> str:
        """The last line of a run."""
        why = f"; stopped: {state.stopped.message or state.stopped.reason}" if state.stopped else ""
        return f"{tally(state)}; {duration(state.wall_s)} in all; {best_of(state)}{why}"


def best_of(state: State) -> str:
    """`best model-2 0.705 ± 0.028`."""
    ranked = state.ranked()
    return f"best {ranked[0][0].name} {scored(ranked[0][1])}" if ranked else "nothing scored yet"
