"""A study as data: trials, scores, the best so far."""

from __future__ import annotations

import dataclasses
from typing import Any

from lamdagent.core.evidence import collapsed
from lamdagent.core.state import State
from lamdagent.core.types import Failed, LLMCall, Made, ObjectiveValue, Score, Trial
from lamdagent.evaluation.ranking import rank_models
from lamdagent.study.read import ReadStudy, best_trial


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


def study_data(read: ReadStudy) -> dict[str, Any]:
    """A study as one JSON object."""
    state, best, standing = read.state, best_trial(read.state), rank_models(read.state, read.artifacts)
    provided = [o for o in state.of_kind("model") if o.made_by is None]
    return {
        "study": read.name,
        "base": {o.name: _value(state.objective(o.id)) for o in provided},
        "base_scores": {o.name: _scores(state.scores.get(o.id, ())) for o in provided},
        "trials": [trial_data(state, t) for t in state.trials],
        "contenders": [read.state.pool[i].name for i in sorted(standing.contenders)],
        "best_corrected": standing.corrected and standing.corrected.corrected,
        "best": None if best is None else {"trial": best.number, **_objective(state.objective(best.choice.action.id))},
        "wall_s": round(state.wall_s, 1),
        "tokens": state.tokens,
        "usd": state.usd,
        "repeats": collapsed(state),
        "stopped": state.stopped and dataclasses.asdict(state.stopped),
    }


def llm_calls_for(state: State, trial: Trial) -> list[LLMCall]:
    return [call for call in state.llm_calls if call.trial == trial.number]


def trial_data(state: State, trial: Trial, *, transcript: bool = False) -> dict[str, Any]:
    outcome, action, asked = trial.outcome, trial.choice.action, llm_calls_for(state, trial)
    status = "running" if outcome is None else "failed" if isinstance(outcome, Failed) else "made"
    return {
        "number": trial.number,
        "status": status,
        **_objective(state.objective(action.id)),
        "scores": _scores(outcome.scores) if isinstance(outcome, Made) else {},
        "action": {
            "type": action.type,
            "inputs": {slot: [state.pool[i].name for i in ids] for slot, ids in action.inputs.items()},
            "id": action.id,
        },
        "broken_guards": [guard.task for guard, _ in state.broken(action.id)],
        "reason": trial.choice.reason,
        "by": trial.choice.by,
        "cause": outcome.cause if isinstance(outcome, Failed) else None,
        "message": outcome.message if isinstance(outcome, Failed) else None,
        "cost": None if outcome is None else dataclasses.asdict(outcome.cost),
        "tokens": sum(e.tokens_in + e.tokens_out for e in asked),
        "usd": None if any(e.usd is None for e in asked) else sum(e.usd or 0.0 for e in asked),
        "memory": state.memories.get(trial.number),
        **({"transcript": [dataclasses.asdict(e) for e in asked]} if transcript else {}),
    }


def _value(objective: ObjectiveValue | None) -> float | None:
    return None if objective is None else objective.value


def _objective(objective: ObjectiveValue | None) -> dict[str, float | None]:
    return {"objective": _value(objective), "stderr": None if objective is None else objective.stderr}


def _scores(scores: tuple[Score, ...]) -> dict[str, dict[str, Any]]:
    return {
        s.task: {"value": s.value, "stderr": s.stderr, "n": s.n, "gain": s.gain, "gain_stderr": s.gain_stderr}
        for s in scores
    }
