"""Random selection: the paper's baseline, and the fallback of every other policy."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.config import Settings
from lamdagent.core.space import Menu
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice
from lamdagent.policies.moves import seeded

TRIES = 20


class Config(Settings):
    """Draw an action type evenly, then its objects evenly."""


class Random:
    """Draws an action type evenly, then its objects evenly; seeded by the study's seed and the trial's number."""

    Config = Config
    name = "random"

    def select(self, state: State, menu: Menu, n: int) -> Sequence[Choice]:
        rng = seeded(state)
        drawn: dict[str, Action] = {}
        for _ in range(TRIES * n):
            action = menu.sample(rng) if len(drawn) < n else None
            if action is None:
                break
            drawn.setdefault(action.id, action)
        return [Choice(action=action, reason="drawn at random", by=self.name) for action in drawn.values()]
