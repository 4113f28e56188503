"""The results so far as a table: the memory that needs no LLM."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.evidence import COMPUTED, evidence_table, labels, line_of, planned
from lamdagent.core.format import by_task, guard_breaks, recipe, scored, tally
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, Trial


class TableConfig(Config):
    """The best, the latest and the failed trials as lines of text, and what each thing that was done changed."""

    best: int = Field(10, ge=1, description="how many of the best models are listed")
    latest: int = Field(10, ge=1, description="how many of the latest trials are listed")
    evidence: bool = Field(True, description="a table of what each thing that was done changed of each task")


class Table:
    """Lists the best models and the latest trials, models under the neutral labels of the agent's prompts. The text is
    bounded, whatever the number of trials."""

    Config = TableConfig

    def __init__(self, *, best: int = 10, latest: int = 10, evidence: bool = True) -> None:
        self._best, self._latest, self._evidence = best, latest, evidence

    def update(self, state: State, trial: Trial) -> str:
        names = labels(state)
        latest = [f"  trial {t.number}: {line_of(state, t, names)}" for t in ended(state)[-self._latest :]]
        best = best_lines(state, names, self._best)
        lines = [f"{tally(state)}.", "Best models:", *best, "Latest trials:", *latest]
        table = COMPUTED + evidence_table(state) if self._evidence else ""
        return "\n".join(lines) + planned(trial) + table


def best_lines(state: State, names: Mapping[ObjectId, str], most: int) -> list[str]:
    """The best models, each with its objective, its score on each task, and its recipe."""
    return [
        f"  {names[obj.id]} {scored(objective)} ({by_task(state, obj.id)}): {recipe(state, obj.id, names)}"
        + (f"; {broken}" if (broken := guard_breaks(state, obj.id)) else "")
        for obj, objective in state.ranked()[:most]
    ]


def ended(state: State) -> list[Trial]:
    """The trials that have ended."""
    return [t for t in state.trials if t.outcome is not None]
