"""Do whatever can be done, in its order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lamdagent.core.config import Config
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice


class InOrderConfig(Config):
    """Try every action in the order of the action space. It has no options."""


class InOrder:
    """Selects the first actions that were not tried: exhaustive where the space is small."""

    Config = InOrderConfig
    name = "in_order"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return [Choice(action=action, reason="the next one", by=self.name) for action in itertools.islice(space, n)]
