"""The results so far as a table: the memory that needs no LLM."""

from __future__ import annotations

from pydantic import Field

from lamdagent.events import State
from lamdagent.settings import Settings
from lamdagent.types import Failed, Trial


class Config(Settings):
    """The best, the latest and the failed trials as lines of text."""

    best: int = Field(10, ge=1, description="how many of the best models are listed")
    latest: int = Field(10, ge=1, description="how many of the latest trials are listed")


class Table:
    """Lists the best models and the latest trials. The text is bounded, whatever the number of trials."""

    Config = Config

    def __init__(self, *, best: int = 10, latest: int = 10) -> None:
        self._best, self._latest = best, latest

    def update(self, state: State, trial: Trial) -> str:
        ended = [t for t in state.trials if t.outcome is not None]
        failed = sum(isinstance(t.outcome, Failed) for t in ended)
        best = [f"  {_shown(state, obj.id)} {obj.name}: {_how(state, obj.id)}" for obj, _ in state.ranked()[: self._best]]
        latest = [f"  {_result(state, t)} trial {t.number}: {describe(state, t)}" for t in ended[-self._latest :]]
        return "\n".join(
            [f"{len(ended)} trials ended, {failed} of them failed.", "Best models:", *best, "Latest trials:", *latest]
        )


def describe(state: State, trial: Trial) -> str:
    """A trial's action in one line: `sft(model=base, dataset=math, hyperparameters=gentle)`."""
    action = trial.choice.action
    slots = (f"{slot}={'+'.join(state.pool[i].name for i in ids)}" for slot, ids in action.inputs.items())
    return f"{action.type}({', '.join(slots)})"


def _how(state: State, object_id: str) -> str:
    trial = state.trial_of(object_id)
    return "brought by the user" if trial is None else describe(state, trial)


def _shown(state: State, object_id: str) -> str:
    objective = state.objective(object_id)
    return "unscored" if objective is None else f"{objective.value:.3f}"


def _result(state: State, trial: Trial) -> str:
    outcome = trial.outcome
    return f"failed ({outcome.cause})" if isinstance(outcome, Failed) else _shown(state, trial.choice.action.id)
