"""Does one way of searching beat another: the same budget and seeds for all, held against the first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamdagent.core.errors import UserError
from lamdagent.core.protocols import Observer
from lamdagent.core.state import State
from lamdagent.core.types import Made
from lamdagent.results.leaderboard import best_so_far
from lamdagent.study.config import Study

Arms = Mapping[str, Sequence[State]]
"""The states of every arm, one per seed, seeds in the same order."""


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
    from lamdagent.results.statistics import paired, seeds_needed

    found = paired(a, b)
    needed = seeds_needed(a, b, found.mean) if found.mean else None
    keys = ("mean", "low", "high", "t_p", "wilcoxon_p", "effect", "n")
    return {**{key: getattr(found, key) for key in keys}, "seeds_needed": needed}


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    """Mean with a 95 % interval over seeds (Student's t); no interval for one seed, or where all are equal."""
    from lamdagent.results.statistics import paired

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


Arm = list[str]
"""What an arm changes in the study file, as `key=value` texts."""


def run_arms(
    whole: Study,
    base: list[str],
    options: list[str],
    grid: dict[str, Arm],
    seeds: int,
    test: bool,
    observers_of: Callable[[Study], Sequence[Observer]],
) -> tuple[dict[str, list[Any]], dict[str, list[float]]]:
    """Every search run to its end: states by arm, and the sealed-test objective of each one's best where asked for.

    Args:
        observers_of: who is told of the progress of a search.
    """
    from lamdagent.results.rescore import tested_leaders
    from lamdagent.study.config import load_study
    from lamdagent.study.run import run_loaded

    states: dict[str, list[Any]] = {arm: [] for arm in grid}
    tested: dict[str, list[float]] = {arm: [] for arm in grid}
    for seed in range(seeds):  # seed by seed, so that a comparison which is stopped early is even
        for arm, changes in grid.items():
            own = [*base, f"seed={seed}", f"study={whole.body.study}.{arm}.{seed}", *_known_to(changes, options)]
            study = load_study(whole.file, own)
            print(f"{arm}, seed {seed}", file=sys.stderr, flush=True)
            states[arm].append(run_loaded(study, observers=observers_of(study)))
            if test:
                (best, *_) = tested_leaders(study, 1)["models"]
                tested[arm].append(best["test"]["value"])
    return states, tested


def _known_to(changes: Arm, options: list[str]) -> list[str]:
    """An arm's overrides with the dotted options that its policy knows."""
    from lamdagent.study import registry

    kind = next((c.partition("=")[2] for c in changes if c.startswith("policy.kind=")), None)
    fields = registry.find("policies", kind.strip('"')).Config.model_fields if kind else {}
    return [*changes, *(o for o in options if not o.startswith("policy.") or o[7:].partition("=")[0] in fields)]
