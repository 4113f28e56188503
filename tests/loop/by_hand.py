"""A search on the toy world, led by hand: what the tests of the loop share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lamdagent.core.budget import Budget
from lamdagent.core.jobs import Job
from lamdagent.core.search import Search
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Outcome
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.runners.job import Toolkit, work
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy


def opened(journal: MemoryJournal | None = None, **parts: Any) -> Search:
    journal = journal or MemoryJournal()
    toy.open_toy(journal)
    given: dict[str, Any] = {
        "action_types": toy.ACTION_TYPES,
        "policy": Random(),
        "memory": Table(),
        "budget": Budget(trials=6),
    }
    return Search(journal=journal, **{**given, **parts})


def done(job: Job, toolkit: Toolkit | None = None) -> Outcome:
    return work(job, toolkit or toy.toolkit(), lambda progress: None)


class Chooses:
    """A policy that hands out whatever it was made with."""

    name = "by hand"

    def __init__(self, choose: Callable[[State, ActionSpace, int], Sequence[Choice]]) -> None:
        self.select = choose


def choice(space: ActionSpace, type: str = "step", **names: str) -> Choice:
    """An action by the names of its objects."""
    ids = {obj.name: obj.id for slot in space.options(type).values() for obj in slot}
    inputs = {slot: [ids[name] for name in text.split("+")] for slot, text in names.items()}
    return Choice(action=space.action(type, inputs), reason="told to", by="by hand")


EAST = {"model": "base", "dataset": "east", "hyperparameters": "slow"}
NORTH = {**EAST, "dataset": "north"}
WILD = {**EAST, "hyperparameters": "wild"}
