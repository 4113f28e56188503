"""Random selection: the paper's baseline, and the fallback of every other policy."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.config import Config
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice
from lamdagent.policies.moves import seeded

TRIES = 20


class RandomConfig(Config):
    """Draw an action type evenly, then its objects evenly."""


class Random:
    """Draws an action type evenly, then its objects evenly; seeded by the study's seed and the trial's number."""

    Config = RandomConfig
    name = "random"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        rng = seeded(state)
        drawn: dict[str, Action] = {}
        for _ in range(TRIES * n):
            action = space.sample(rng) if len(drawn) < n else None
            if action is None:
                break
            drawn.setdefault(action.id, action)
        return [Choice(action=action, reason="drawn at random", by=self.name) for action in drawn.values()]
