"""A policy written as what it would do from the first trial to the last, one line after another.

Each time it is asked it is read again from the top: what was done is passed over, the first step that was not is the
choice. So it needs no memory but the state, and a search that was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice, Made, Object


class Next(Exception):
    """Stops the reading at a step that was not done yet."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(choice.reason)
        self.choice = choice


class Pending(Exception):
    """Stops the reading where a step that runs must end first."""


class Script:
    """What steps came to, read from a state.

    Args:
        by: the policy whose script it is.
    """

    def __init__(self, state: State, space: ActionSpace, by: str) -> None:
        self.state, self.space, self._by = state, space, by

    def step(self, action: Action | None, reason: str) -> Object | None:
        """The object that a step made; None where it failed or cannot be done, as where the budget is too small.

        Raises:
            Next: it was not done yet.
            Pending: it runs.
        """
        return self.steps([(action, reason)])[0]

    def steps(self, wanted: Iterable[tuple[Action | None, str]]) -> Sequence[Object | None]:
        """What each of several steps made, which do not wait for each other.

        Raises:
            Next: one was not done yet.
            Pending: all that can be done were begun, and some of them run.
        """
        made: list[Object | None] = []
        runs = False
        for action, reason in wanted:
            number = None if action is None else self.state.tried.get(action.id)
            if action is None or (number is None and self.space.why_invalid(action) is not None):
                made.append(None)
            elif number is None:
                raise Next(Choice(action=action, reason=reason, by=self._by))
            else:
                outcome = self.state.trials[number].outcome
                runs = runs or outcome is None
                made.append(outcome.object if isinstance(outcome, Made) else None)
        if runs:
            raise Pending
        return made

    def value(self, model: Object | None) -> float:
        """A model's objective; minus infinity where there is none, or where it breaks a guard."""
        objective = None if model is None else self.state.objective(model.id)
        if objective is None or model is None or self.state.broken(model.id):
            return float("-inf")
        return objective.value

    def error(self, model: Object) -> float:
        """The standard error of a model's objective; 0 where it is not known."""
        objective = self.state.objective(model.id)
        return 0.0 if objective is None or objective.stderr is None else objective.stderr
