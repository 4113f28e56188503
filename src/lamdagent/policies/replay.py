"""Do what a plan says: the steps of an exported pipeline, or all that another study did. Offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from lamdagent.core.config import Config, Parts
from lamdagent.core.plan import Plan, follow
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice


class ReplayConfig(Config):
    """Do the steps of a plan, in its order: those of an exported pipeline, or all that another study did. What is
    provided is found by its name. What cannot be done here is left out."""

    from_: str = Field(
        alias="from",
        description="a pipeline.yaml, or the folder it was exported to; or a study to repeat: its file, or its run "
        "folder such as runs/tiny",
    )

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {"plan": parts.plan(self.from_)}


class Replay:
    """Chooses the steps of a plan as soon as their inputs are made."""

    Config = ReplayConfig
    name = "replay"

    def __init__(self, *, plan: Plan) -> None:
        self._plan = plan

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        ready = follow(self._plan, state, space).ready[: max(0, n)]
        return [Choice(action=action, reason=f"makes {step.make} of the plan", by=self.name) for step, action in ready]
