"""What a report says, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lamdagent.core.format import guard_breaks, origin
from lamdagent.core.pipeline import node_label, pipeline_of, render
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, objective_of
from lamdagent.core.types import Failed, Object, ObjectId, ObjectiveValue, TaskWeight
from lamdagent.evaluation.ranking import items_of, rank_models
from lamdagent.results.diagnosis.signature import Signature, as_data
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.leaderboard import best_so_far

NORMAL_95 = 1.959963984540054  # half the width of a 95 % interval, in standard errors


def leaders(state: State, top: int) -> list[ObjectId]:
    """The `top` made models by validation, best first."""
    return [obj.id for obj, _ in state.ranked() if obj.made_by is not None][:top]


def relatives(state: State, object_id: ObjectId) -> list[ObjectId]:
    """What a made model is held against: its base model, then its parents."""
    trial = state.trial_of(object_id)
    parents = [i for i in trial.choice.action.object_ids if state.pool[i].kind == "model"] if trial else []
    return list(dict.fromkeys([str(state.pool[object_id].meta["root"]), *parents]))


def to_test(state: State, top: int) -> list[ObjectId]:
    """The models that a report needs test scores of: base models first, since others are paired with them."""
    chosen = leaders(state, top)
    related = [i for object_id in chosen for i in relatives(state, object_id)]
    roots = [str(state.pool[i].meta["root"]) for i in (*related, *chosen)]
    return list(dict.fromkeys([*roots, *related, *chosen]))


def findings(
    name: str, state: State, test: HoldoutResults, artifacts: ArtifactStore, top: int, signatures: Sequence[Signature]
) -> dict[str, Any]:
    """All of a report as JSON values."""
    chosen, standing = leaders(state, top), rank_models(state, artifacts)
    items = items_of(test.scores, test.scores, artifacts)
    failed = sum(isinstance(t.outcome, Failed) for t in state.trials)
    return {
        "study": name,
        "seed": state.seed,
        "trials": len(state.trials),
        "failed": failed,
        "hours": round(state.wall_s / 3600, 3),
        "goals": [{"task": g.task, "weight": g.weight, "max_score": g.max_score} for g in state.goals],
        "test_opened": test.opened,
        "contenders": [obj.name for obj, _ in state.ranked() if obj.id in standing.contenders],
        "compared": standing.compared,
        "winner": standing.corrected and asdict(standing.corrected),
        "models": [_model(state, test, items, object_id) for object_id in chosen],
        "curve": curve(state),
        "diagnosis": as_data(signatures),
        "lineage": _lineage(state, chosen[0]) if chosen else "",
    }  # fmt: skip


def curve(state: State) -> list[dict[str, Any]]:
    """The objective of every scored trial with its error, and the best so far."""
    best = best_so_far(state, len(state.trials))
    scored = [(trial.number, state.objective(trial.choice.action.id)) for trial in state.trials]
    return [{"trial": n, "value": v.value, "stderr": v.stderr, "best": best[n + 1]} for n, v in scored if v is not None]


def _model(state: State, test: HoldoutResults, items: Mapping[ObjectId, Any], object_id: ObjectId) -> dict[str, Any]:
    obj, trial = state.pool[object_id], state.trial_of(object_id)
    validation, tested = state.objective(object_id), objective_of(state.goals, test.scores[object_id])
    gap = None if validation is None or tested is None else validation.value - tested.value
    return {
        "name": obj.name,
        "trial": trial.number if trial else None,
        "how": origin(state, object_id),
        "guards": guard_breaks(state, object_id),
        "validation": _interval(validation),
        "test": _interval(tested),
        "gap": gap,
        "tasks": {
            goal.task: {"validation": _task(state.scores[object_id], goal), "test": _task(test.scores[object_id], goal)}
            for goal in state.goals
        },
        "against": [_against(state, test, items, obj, state.pool[i]) for i in relatives(state, object_id)],
    }


def _against(
    state: State, test: HoldoutResults, items: Mapping[ObjectId, Any], obj: Object, other: Object
) -> dict[str, Any]:
    """Test differences to another model, paired on the same items, with 95 % intervals."""
    base = other.made_by is None
    found: dict[str, Any] = {"name": other.name, "is": "base model" if base else "parent", "tasks": {}}
    if obj.id not in items or other.id not in items:
        return found
    found["objective"] = _difference(items[obj.id], items[other.id], state.goals)
    for goal in state.goals:
        one = [TaskWeight(task=goal.task)]
        theirs = {s.task: s.value for s in test.scores[other.id]}[goal.task]
        found["tasks"][goal.task] = {"test": theirs, **_difference(items[obj.id], items[other.id], one)}
    return found


def _difference(a: Any, b: Any, goals: Sequence[TaskWeight]) -> dict[str, float]:
    from lamdagent.evaluation.statistics import difference

    found = difference(a, b, goals, seed=0)
    return {"value": found.value, "low": found.low, "high": found.high, "p": found.p}


def _interval(objective: ObjectiveValue | None) -> dict[str, float | None] | None:
    if objective is None:
        return None
    reach = None if objective.stderr is None else NORMAL_95 * objective.stderr
    low, high = (None, None) if reach is None else (objective.value - reach, objective.value + reach)
    return {"value": objective.value, "stderr": objective.stderr, "low": low, "high": high}


def _task(scores: Sequence[Any], goal: TaskWeight) -> dict[str, Any]:
    score = next(s for s in scores if s.task == goal.task)
    return {"value": score.value, "stderr": score.stderr, "n": score.n}


def _lineage(state: State, object_id: ObjectId) -> str:
    return render(pipeline_of(state, object_id), lambda node: node_label(state, node))
