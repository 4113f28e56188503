"""How a search went: every scored trial, and the best so far."""

from __future__ import annotations

from dataclasses import dataclass

from lamdagent.core.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPoint:
    """A trial whose model was scored."""

    trial: int
    """Its number."""
    value: float
    """Its validation objective."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items."""
    high: float | None
    """Upper end."""
    best: float | None
    """The best objective among base models and trials so far; models that break a guard do not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The scored trials of a search in their order."""

    points: tuple[HistoryPoint, ...]
    """One for each."""


def history_of(state: State) -> History:
    """The objective of every scored trial with its error, and the best so far."""
    best = best_so_far(state, len(state.trials))
    scored = [(trial.number, state.objective(trial.choice.action.id)) for trial in state.trials]
    return History(
        points=tuple(
            HistoryPoint(trial=n, value=v.value, stderr=v.stderr, low=v.low, high=v.high, best=best[n + 1])
            for n, v in scored
            if v is not None
        )
    )


def best_so_far(state: State, trials: int) -> list[float | None]:
    """The best objective among base models and trials, before the first trial and after each; None where none is known.

    Models that break a guard do not count.
    """
    base = [state.objective(o.id) for o in state.of_kind("model") if o.made_by is None]
    best = max((v.value for v in base if v is not None), default=None)
    curve = [best]
    for trial in state.trials[:trials]:
        found = state.objective(trial.choice.action.id)
        if found is not None and not state.broken(trial.choice.action.id):
            best = found.value if best is None else max(best, found.value)
        curve.append(best)
    return curve + [best] * (trials + 1 - len(curve))
