"""Budgets: where a search stops, what is left, and why no trial begins any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lamdagent.core.events import SearchStopped
from lamdagent.core.state import State
from lamdagent.core.training import Training
from lamdagent.core.types import Action

TrainingBound = Literal["train_rows", "train_tokens"]

IDLE = 20
"""So many trials in a row that train on nothing end a search which only rows or tokens bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Where a search stops, counted over all its restarts. None is no bound.

    `train_rows` and `train_tokens` are of all trials, each as in `Training`; no trial begins that would pass them. At a
    `target` objective on validation, or after `patience` trials without a new best model, none begins either. `usd` and
    `llm_tokens` are what a language model's answers may cost, input and output together.
    """

    trials: int | None = None
    hours: float | None = None
    train_rows: int | None = None
    train_tokens: int | None = None
    gpu_hours: float | None = None
    target: float | None = None
    patience: int | None = None
    usd: float | None = None
    llm_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What is left of each budget; None is no bound. Running trials are counted as they are foreseen."""

    trials: int | None = None
    hours: float | None = None
    train_rows: int | None = None
    train_tokens: int | None = None
    gpu_hours: float | None = None

    def after(self, training: Training) -> Left:
        """What is left once this is trained, too; what is not known of it takes nothing."""
        return Left(
            trials=self.trials,
            hours=self.hours,
            train_rows=None if self.train_rows is None else self.train_rows - (training.rows or 0),
            train_tokens=None if self.train_tokens is None else self.train_tokens - (training.tokens or 0),
            gpu_hours=self.gpu_hours,
        )

    def passed_by(self, training: Training) -> tuple[TrainingBound, str] | None:
        """The bound that an action of this cost would pass, and that in words; None if it fits."""
        bounds: tuple[tuple[TrainingBound, int | None, int | None], ...] = (
            ("train_rows", self.train_rows, training.rows),
            ("train_tokens", self.train_tokens, training.tokens),
        )
        for bound, left, takes in bounds:
            unit = bound.removeprefix("train_")
            if left is not None and takes is None:
                return bound, f"how many {unit} it trains on is not known before, so budget.{bound} cannot be held"
            if left is not None and takes is not None and takes > left:
                return bound, f"it trains on {takes:,} {unit}, and {max(0, left):,} of budget.{bound} are left"
        return None


def trained(state: State, foreseen: Callable[[Action], Training]) -> tuple[Training, ...]:
    """What each trial trains on: those that ended, and those that run as they are foreseen.

    What is not known of one that ended, such as one whose worker died, counts as foreseen. A trial whose object was found
    already made counts in full.
    """
    each = []
    for trial in state.trials:
        known = Training() if trial.outcome is None else trial.outcome.cost.training
        unknown = known.rows is None or known.tokens is None or known.flops is None
        each.append(known.or_else(foreseen(trial.choice.action)) if unknown else known)
    return tuple(each)


def left_of(budget: Budget, state: State, foreseen: Callable[[Action], Training]) -> Left:
    """What a search has left; 0 or less where a bound is reached."""
    bounded = budget.train_rows is not None or budget.train_tokens is not None
    used = Training.total(trained(state, foreseen)) if bounded else Training()
    return Left(
        trials=None if budget.trials is None else budget.trials - len(state.trials),
        hours=None if budget.hours is None else budget.hours - state.wall_s / 3600,
        train_rows=None if budget.train_rows is None else budget.train_rows - (used.rows or 0),
        train_tokens=None if budget.train_tokens is None else budget.train_tokens - (used.tokens or 0),
        gpu_hours=None if budget.gpu_hours is None else budget.gpu_hours - state.gpu_s / 3600,
    )


def why_over(budget: Budget, state: State) -> SearchStopped | None:
    """Why no trial may begin, whatever it would do; None where one may."""
    if budget.hours is not None and state.wall_s >= budget.hours * 3600:
        return SearchStopped(reason="hours", message=f"budget.hours: all {budget.hours:g} are spent")
    if budget.gpu_hours is not None and state.gpu_s >= budget.gpu_hours * 3600:
        return SearchStopped(reason="gpu_hours", message=f"budget.gpu_hours: all {budget.gpu_hours:g} are spent")
    if budget.trials is not None and len(state.trials) >= budget.trials:
        return SearchStopped(reason="trials", message=f"budget.trials: all {budget.trials} have begun")
    return _idle(budget, state) or _good_enough(budget, state)


def _idle(budget: Budget, state: State) -> SearchStopped | None:
    """Merges train on nothing and never end: without a bound on trials, rows or tokens end a search by this."""
    bound: TrainingBound = "train_rows" if budget.train_rows is not None else "train_tokens"
    if budget.trials is not None or getattr(budget, bound) is None:
        return None
    last = state.trials[-IDLE:]
    if len(last) < IDLE or any(t.outcome is None or t.outcome.cost.training.rows != 0 for t in last):
        return None
    return SearchStopped(reason=bound, message=f"budget.{bound}: the last {IDLE} trials trained on nothing any more")


def _good_enough(budget: Budget, state: State) -> SearchStopped | None:
    if budget.target is None and budget.patience is None:
        return None
    best = next(iter(state.ranked()), None)
    if best is None:
        return None
    leader, objective = best
    if budget.target is not None and objective.value >= budget.target and not state.broken(leader.id):
        reached = f"budget.target: {leader.name} has {objective.value:.3f}, at least {budget.target:g}"
        return SearchStopped(reason="target", message=reached)
    since = -1 if (trial := state.trial_of(leader.id)) is None else trial.number
    waited = sum(trial.outcome is not None for trial in state.trials[since + 1 :])
    if budget.patience is not None and waited >= budget.patience:
        words = f"budget.patience: none of the last {waited} trials is better than {leader.name}"
        return SearchStopped(reason="patience", message=words)
    return None
