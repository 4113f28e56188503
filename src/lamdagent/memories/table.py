"""The results so far as a table: the memory that needs no LLM."""

from __future__ import annotations

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.evidence import labels
from lamdagent.core.format import action_of, guard_breaks, recipe, result, scored, tally
from lamdagent.core.state import State
from lamdagent.core.types import Trial


class TableConfig(Config):
    """The best, the latest and the failed trials as lines of text."""

    best: int = Field(10, ge=1, description="how many of the best models are listed")
    latest: int = Field(10, ge=1, description="how many of the latest trials are listed")


class Table:
    """Lists the best models and the latest trials, models under the neutral labels of the agent's prompts. The text is
    bounded, whatever the number of trials."""

    Config = TableConfig

    def __init__(self, *, best: int = 10, latest: int = 10) -> None:
        self._best, self._latest = best, latest

    def update(self, state: State, trial: Trial) -> str:
        ended = [t for t in state.trials if t.outcome is not None]
        names, ranked = labels(state), state.ranked()[: self._best]
        best = [
            f"  {names[obj.id]} {scored(objective)}: {recipe(state, obj.id, names)}"
            + (f"; {broken}" if (broken := guard_breaks(state, obj.id)) else "")
            for obj, objective in ranked
        ]
        latest = [
            f"  trial {t.number}: {action_of(state, t, names)} gave {result(state, t)}" for t in ended[-self._latest :]
        ]
        return "\n".join([f"{tally(state)}.", "Best models:", *best, "Latest trials:", *latest])
