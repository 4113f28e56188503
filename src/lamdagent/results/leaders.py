"""The best models of a study, and those that these are held against."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId
from lamdagent.evaluation.ranking import rank_models
from lamdagent.results.recommendation import recommendation


def leaders(state: State, top: int) -> list[ObjectId]:
    """The `top` made models by validation, best first."""
    return [obj.id for obj, _ in state.ranked() if obj.made_by is not None][:top]


def relatives(state: State, object_id: ObjectId) -> list[ObjectId]:
    """What a made model is held against: its base model, then its parents."""
    trial = state.trial_of(object_id)
    parents = [i for i in trial.choice.action.object_ids if state.pool[i].kind == "model"] if trial else []
    return list(dict.fromkeys([state.pool[object_id].root, *parents]))


def chosen_models(state: State, top: int, artifacts: ArtifactStore) -> list[ObjectId]:
    """The models that a report is on: the `top` best ones by validation, and the recommended one."""
    recommended = recommendation(state, rank_models(state, artifacts))
    also = [] if recommended is None else [state.trials[recommended.trial].choice.action.id]
    return list(dict.fromkeys([*leaders(state, top), *also]))


def to_test(state: State, chosen: Sequence[ObjectId]) -> list[ObjectId]:
    """The models that a report needs test scores of: base models first, since others are paired with them."""
    related = [i for object_id in chosen for i in relatives(state, object_id)]
    roots = [state.pool[i].root for i in (*related, *chosen)]
    return list(dict.fromkeys([*roots, *related, *chosen]))
