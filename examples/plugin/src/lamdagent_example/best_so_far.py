"""Remember nothing but the best models."""

from __future__ import annotations

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.state import State
from lamdagent.core.types import Trial


class BestSoFarConfig(Config):
    """The best models in one line each."""

    count: int = Field(1, ge=1, description="how many of the best models are named")


class BestSoFar:
    """The best models and their objectives, and after how many trials."""

    Config = BestSoFarConfig

    def __init__(self, count: int = 1) -> None:
        self._count = count

    def update(self, state: State, trial: Trial) -> str:
        ended = sum(t.outcome is not None for t in state.trials)
        best = [f"{model.name}: {objective.value:.3f}" for model, objective in state.ranked()[: self._count]]
        return "\n".join([f"best after {ended} trials:", *best])
