"""Who may be the best: what the items that are kept say of a study's ranking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.core.format import with_interval
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, Score, TaskWeight
from lamdagent.evaluation.estimates import Corrected

ItemsById = Mapping[ObjectId, Mapping[str, Any]]
"""What each item gave to a model by task, by the model's id."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """`contenders` cannot be told from the leader, among the `compared` models whose items are kept and that hold all
    guards. `corrected` is the leader's objective less what being picked adds."""

    compared: int
    contenders: frozenset[ObjectId]
    corrected: Corrected | None = None


def rank_models(state: State, artifacts: ArtifactStore) -> Ranking:
    """The standing by the items; empty where those of the leader are not kept."""
    from lamdagent.evaluation.statistics import contenders, corrected_winner

    holding = [obj.id for obj, _ in state.ranked() if not state.broken(obj.id)]
    models = items_of(state.scores, holding, artifacts)
    if len(models) < 2 or holding[0] not in models or min(s.n for i in models for s in state.scores[i]) < 2:
        return Ranking(compared=0, contenders=frozenset())
    return Ranking(
        compared=len(models),
        contenders=contenders(models, state.goals, seed=state.seed),
        corrected=corrected_winner(models, state.goals, seed=state.seed, of=holding[0]),
    )


def without_luck(
    state: State, object_id: ObjectId, artifacts: ArtifactStore, goals: Sequence[TaskWeight] | None = None
) -> Corrected | None:
    """A model's objective less what having been picked from all models adds; None where items are not kept.

    Args:
        goals: those of the state where left out.
    """
    from lamdagent.evaluation.statistics import corrected_winner

    models = items_of(state.scores, [obj.id for obj, _ in state.ranked()], artifacts)
    if len(models) < 2 or object_id not in models or min(s.n for i in models for s in state.scores[i]) < 2:
        return None
    return corrected_winner(models, goals or state.goals, seed=state.seed, of=object_id)


def luck_words(found: Corrected) -> str:
    """What a corrected score covers, in one line."""
    return (
        f"objective {with_interval(found.corrected, found.low, found.high)} (95 %, {found.raw:.3f} as measured): these "
        "items also picked among all models; the sealed test (`report`) did not"
    )


def items_of(
    scores: Mapping[ObjectId, tuple[Score, ...]], ids: Iterable[ObjectId], artifacts: ArtifactStore
) -> dict[ObjectId, dict[str, Any]]:
    """What each item gave to each model, by task; models are left out whose items are not all kept."""
    found = {i: {score.task: artifacts.values(i, score) for score in scores.get(i, ())} for i in ids}
    return {i: items for i, items in found.items() if items and all(v is not None for v in items.values())}
