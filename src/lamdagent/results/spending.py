"""What searches spent by each of their trials, and where all of them have spent equally much.

A search that takes larger trials has better models after as many of them, so trials alone do not compare. What is equal
here is what was trained on: tokens, or rows where tokens are not known. Trials whose models were found already made count
in full, in tokens, rows and seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lamdagent.core.format import duration
from lamdagent.core.state import State
from lamdagent.core.training import Training

Axis = Literal["tokens", "rows", "seconds", "trials"]
NAMES: Mapping[Axis, str] = {
    "tokens": "training tokens",
    "rows": "training rows",
    "seconds": "seconds",
    "trials": "trials",
}
POINTS = 20
ENDED = ("exhausted", "target", "patience")
"""Why a search stops that could have spent more: with more it would have the same pick. Where rows, or tokens, are what
ended it, all were granted equally many of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A search that ended, and what each of its trials trained on."""

    state: State
    training: tuple[Training, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """One thing that searches spent. `spent` is it before the first trial and after each, by arm and seed; `equal` is what
    all have spent, those apart that ended by themselves."""

    spent: Mapping[str, Sequence[Sequence[float]]]
    grid: tuple[float, ...]

    @property
    def equal(self) -> float:
        return self.grid[-1]

    def moments(self, arm: str) -> list[list[int]]:
        """By seed, how many trials were done when no more was spent than each point of the grid."""
        import numpy as np

        return [[int(np.searchsorted(s, x, side="right")) - 1 for x in self.grid] for s in self.spent[arm]]


def spendings(arms: Mapping[str, Sequence[Run]]) -> dict[Axis, Spending]:
    """By axis what was spent; without what is not known of all searches, or of which one spent nothing.

    The first is the one to compare by.
    """
    seconds = _seconds(arms)
    each: dict[Axis, Callable[[Run], Sequence[float | None]]] = {
        "tokens": lambda run: [one.tokens for one in run.training],
        "rows": lambda run: [one.rows for one in run.training],
        "trials": lambda run: [1] * len(run.state.trials),
        "seconds": lambda run: [seconds.get(trial.choice.action.id, 0.0) for trial in run.state.trials],
    }
    found: dict[Axis, Spending] = {}
    for axis, of in each.items():
        spent = {arm: [_added(of(run)) for run in runs] for arm, runs in arms.items()}
        if (spending := _spending(axis, arms, spent)) is not None:
            found[axis] = spending
    return found


def amount(axis: Axis, value: float) -> str:
    """`36,000`; `3 min 5 s`."""
    return duration(value) if axis == "seconds" else f"{value:,.0f}"


def words(axis: Axis, value: float) -> str:
    """`36,000 training tokens`; `3 min 5 s`."""
    return amount(axis, value) if axis == "seconds" else f"{amount(axis, value)} {NAMES[axis]}"


def _spending(
    axis: Axis, arms: Mapping[str, Sequence[Run]], spent: Mapping[str, Sequence[Sequence[float] | None]]
) -> Spending | None:
    known = {arm: [one for one in each if one is not None] for arm, each in spent.items()}
    if any(len(known[arm]) < len(spent[arm]) for arm in spent):
        return None
    ends = [
        (one[-1], run.state.stopped is not None and run.state.stopped.reason in (*ENDED, f"train_{axis}"))
        for arm, runs in arms.items()
        for run, one in zip(runs, known[arm], strict=True)
    ]
    equal = min((end for end, by_itself in ends if not by_itself), default=max(end for end, _ in ends))
    if axis == "trials":
        return Spending(spent=known, grid=tuple(map(float, range(round(equal) + 1))))
    return Spending(spent=known, grid=tuple(equal * i / POINTS for i in range(POINTS + 1))) if equal > 0 else None


def _added(each: Sequence[float | None]) -> list[float] | None:
    sums = [0.0]
    for one in each:
        if one is None:
            return None
        sums.append(sums[-1] + one)
    return sums


def _seconds(arms: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """By action, the seconds of the search that took longest: others found the model, or its scores, already there."""
    longest: dict[str, float] = {}
    for trial in (trial for runs in arms.values() for run in runs for trial in run.state.trials):
        if trial.outcome is not None:
            action, cost = trial.choice.action.id, trial.outcome.cost
            longest[action] = max(longest.get(action, 0.0), cost.wall_s + cost.saved_s)
    return longest
