"""Run jobs in this process, and let everyone else on the machine go first."""

from __future__ import annotations

import os
from typing import Any

from pydantic import Field

from lamdagent.core.config import Parts
from lamdagent.core.jobs import Prepared, PrepareRequest
from lamdagent.runners.inline import Inline, InlineConfig


class GentleConfig(InlineConfig):
    """Jobs run in this process, one after the other, at a low priority."""

    niceness: int = Field(10, ge=0, le=19, description="how much the system puts others first")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {**super().arguments(parts), "niceness": self.niceness}


class Gentle(Inline):
    """The runner `inline`, at a low priority."""

    Config = GentleConfig

    def __init__(self, *args: Any, niceness: int = 10, **options: Any) -> None:
        super().__init__(*args, **options)
        self._niceness = niceness

    def prepare(self, request: PrepareRequest) -> Prepared:
        os.nice(self._niceness)
        return super().prepare(request)
