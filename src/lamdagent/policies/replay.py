"""Repeat the choices of another study, offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from lamdagent.events import State
from lamdagent.menu import Menu
from lamdagent.settings import Settings
from lamdagent.types import Choice, ObjectId


class Config(Settings):
    """Choose what another study chose, in its order. What cannot be done here is left out."""

    from_: str = Field(alias="from", description="the study to repeat: its file, or its run folder such as runs/tiny")

    def arguments(self) -> dict[str, Any]:
        return {"past": self.from_}


class Replay:
    """Repeats choices. Brought objects are the same by name, made ones by the trial that made them.

    Args:
        past: the state of the study to repeat.
    """

    Config = Config
    name = "replay"

    def __init__(self, *, past: State) -> None:
        self._past = past

    def select(self, state: State, menu: Menu, n: int) -> Sequence[Choice]:
        here = {obj.name: obj.id for obj in state.pool.values() if obj.made_by is None}
        made: dict[ObjectId, ObjectId] = {}
        done = {t.choice.reason: t.choice.action.id for t in state.trials}
        choices: list[Choice] = []
        for old in self._past.trials:
            reason = f"repeats trial {old.number}: {old.choice.reason}"
            if reason in done:
                made[old.choice.action.id] = done[reason]
                continue
            ids = {
                slot: [made.get(i) or here.get(self._past.pool[i].name, "missing") for i in group]
                for slot, group in old.choice.action.inputs.items()
            }
            if len(choices) == n or old.choice.action.type not in menu.types:
                continue
            action = menu.action(old.choice.action.type, ids)
            if menu.refusal(action) is None and action.id not in {c.action.id for c in choices}:
                choices.append(Choice(action=action, reason=reason, by=self.name))
        return choices
