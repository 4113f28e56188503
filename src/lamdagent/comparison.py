"""Does one way of searching beat another: the same budget and seeds for all, held against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.errors import UserError
from lamdagent.events import State
from lamdagent.types import Made

Arms = Mapping[str, Sequence[State]]
"""The states of every arm, one per seed, seeds in the same order."""


def best_so_far(state: State, trials: int) -> list[float | None]:
    """The best objective among base models and trials, before the first trial and after each; None where none is known.

    Models that break a guard do not count.
    """
    base = [state.objective(o.id) for o in state.of_kind("model") if o.made_by is None]
    best = max((v.value for v in base if v is not None), default=None)
    curve = [best]
    for trial in state.trials[:trials]:
        found = state.objective(trial.choice.action.id)
        if found is not None and not state.broken(trial.choice.action.id):
            best = found.value if best is None else max(best, found.value)
        curve.append(best)
    return curve + [best] * (trials + 1 - len(curve))


def compare(arms: Arms, trials: int, tested: Mapping[str, Sequence[float]] | None = None) -> dict[str, Any]:
    """Curves, areas, trials to reach what the first arm reaches, and paired tests against the first arm.

    Args:
        tested: the sealed-test objective of each arm's best model, per seed, where the test was opened.
    """
    first = next(iter(arms))
    curves = {arm: [_known(best_so_far(state, trials)) for state in states] for arm, states in arms.items()}
    # What the first arm reaches is taken by seed: the question is how soon another gets there in the same world.
    goals = [curve[-1] for curve in curves[first]]
    return {
        "trials": trials,
        "seeds": [state.seed for state in arms[first]],
        "against": first,
        "arms": {
            arm: _arm(found, goals, curves[first] if arm != first else None, _tests(tested, arm, first))
            for arm, found in curves.items()
        },
        **_saved(arms),
    }


def _arm(curves: list[list[float]], goals: list[float], against: Any, tests: Any) -> dict[str, Any]:
    finals, areas = [c[-1] for c in curves], [sum(c[1:]) / (len(c) - 1) for c in curves]
    reached = [next((i for i, v in enumerate(c) if v >= goal), None) for c, goal in zip(curves, goals, strict=True)]
    row: dict[str, Any] = {
        "final": _summary(finals),
        "finals": finals,
        "area": _summary(areas),
        "reached": reached,
        "curve": [_summary([c[i] for c in curves]) for i in range(len(curves[0]))],
        "test": None if tests is None else _summary(tests[0]),
    }
    if against is not None:
        row["gain"] = _tested(finals, [c[-1] for c in against])
        row["area_gain"] = _tested(areas, [sum(c[1:]) / (len(c) - 1) for c in against])
        row["test_gain"] = None if tests is None else _tested(*tests)
    return row


def _tested(a: Sequence[float], b: Sequence[float]) -> dict[str, Any]:
    """A paired comparison, and how many seeds would show a gap of this size."""
    from lamdagent.statistics import paired, seeds_needed

    found = paired(a, b)
    needed = seeds_needed(a, b, found.mean) if found.mean else None
    keys = ("mean", "low", "high", "t_p", "wilcoxon_p", "effect", "n")
    return {**{key: getattr(found, key) for key in keys}, "seeds_needed": needed}


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    """Mean with a 95 % interval over seeds (Student's t); no interval for one seed, or where all are equal."""
    from lamdagent.statistics import paired

    found = paired(values, [0.0] * len(values))
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _tests(tested: Mapping[str, Sequence[float]] | None, arm: str, first: str) -> Any:
    return None if tested is None else (list(tested[arm]), list(tested[first]))


def _known(curve: list[float | None]) -> list[float]:
    """A curve without gaps: a search begins by scoring its base models.

    Raises:
        UserError: one that has not, so that nothing is known of its beginning.
    """
    known = [v for v in curve if v is not None]
    if len(known) < len(curve):
        raise UserError("a search has no scored base model yet, so it cannot be compared. Run the same command again.")
    return known


def _saved(arms: Arms) -> dict[str, Any]:
    """How many trials found their model made already by another study, and about how long that would have taken."""
    made = [
        (t.choice.action.id, t.outcome.cost.wall_s)
        for states in arms.values()
        for state in states
        for t in state.trials
        if isinstance(t.outcome, Made)
    ]
    longest: dict[str, float] = {}
    for action_id, wall_s in made:
        longest[action_id] = max(longest.get(action_id, 0.0), wall_s)
    saved_s = sum(longest[action_id] - wall_s for action_id, wall_s in made)
    return {"made": len(made), "shared": len(made) - len(longest), "saved_s": round(saved_s, 1)}
