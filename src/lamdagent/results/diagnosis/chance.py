"""What an evenly drawing policy would have chosen from the action spaces that a search had before it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Asked, Event
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Trial

# Names end in axes: B simulated searches, N choices, K categories.
DRAWS = 40
"""Even draws a choice and action type; the error of an expected count is then a sixth of that count's own spread."""
MOST_DRAWS = 8000
"""Draws of a whole search, so that one of a thousand trials takes seconds."""
SEARCHES = 1000
Shares = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A trial, and for every action type that was feasible in its place some evenly drawn actions."""

    trial: Trial
    drawn: Mapping[str, Sequence[Action]]

    @property
    def alike(self) -> Sequence[Action]:
        """The draws of the type that was chosen."""
        return self.drawn[self.trial.choice.action.type]


def turns_of(events: Iterable[Event], types: Mapping[str, ActionType]) -> list[Turn] | None:
    """Every choice beside even draws from the same action space; None where a chosen type is not known."""
    events, state, turns = tuple(events), State(), []
    asked = [event.choice.action.type for event in events if isinstance(event, Asked)]
    if not set(asked) <= set(types):
        return None
    draws = max(8, min(DRAWS, MOST_DRAWS // max(1, len(asked) * len(types))))
    for event in events:
        if isinstance(event, Asked):
            rng = random.Random(f"diagnosis:{state.seed}:{event.number}")
            drawn = {name: _draws(ActionSpace(state, {name: type}), rng, draws) for name, type in types.items()}
            trial = Trial(number=event.number, choice=event.choice)
            turns.append(Turn(trial=trial, drawn={name: actions for name, actions in drawn.items() if actions}))
        state = reduce_events([event], state)
    return [turn for turn in turns if turn.trial.choice.action.type in turn.drawn]


def _draws(space: ActionSpace, rng: random.Random, n: int) -> list[Action]:
    first = space.sample(rng)
    return [] if first is None else [first, *(a for _ in range(n - 1) if (a := space.sample(rng)) is not None)]


def entropies(shares: Sequence[Shares], seed: int) -> NDArray[np.float64]:
    """The entropy in bits of simulated choices, each drawn from its own shares, for `SEARCHES` searches."""
    names = sorted({name for row in shares for name in row})
    rng = np.random.default_rng(seed)
    count_BK = np.zeros((SEARCHES, len(names)))
    for row in shares:
        code_B = rng.choice(len(names), size=SEARCHES, p=[row.get(name, 0.0) for name in names])
        count_BK[np.arange(SEARCHES), code_B] += 1
    return _entropy(count_BK)


def entropy(counts: Iterable[int]) -> float:
    """The entropy in bits of choices that were counted."""
    return float(_entropy(np.array([list(counts)], dtype=float))[0])


def _entropy(count_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    share_BK = count_BK / count_BK.sum(axis=1, keepdims=True)
    return np.asarray(-(share_BK * np.log2(share_BK, out=np.zeros_like(share_BK), where=share_BK > 0)).sum(axis=1))


def hits(chances: Sequence[float]) -> NDArray[np.float64]:
    """The probability of 0, 1, … hits, one chance after the other: the Poisson binomial distribution, exact."""
    probability_N = np.ones(1)
    for chance in chances:
        probability_N = np.convolve(probability_N, [1 - chance, chance])
    return probability_N


def searches(state: State, turns: Sequence[Turn], n: int) -> Iterable[State]:
    """States whose choices are even draws in place of the real ones."""
    rng = random.Random(f"diagnosis:{state.seed}")
    for _ in range(n):
        actions = [rng.choice(turn.drawn[rng.choice(sorted(turn.drawn))]) for turn in turns]
        choices = (Choice(action=action, reason="", by="random") for action in actions)
        trials = tuple(Trial(number=i, choice=choice) for i, choice in enumerate(choices))
        yield State(seed=state.seed, goals=state.goals, pool=state.pool, trials=trials)
