"""Failure signatures of a search: known ways of going wrong, looked for in its journal, each with a figure and a verdict.

A pure function of the journal, and of the items that are kept. It changes nothing, and no policy, memory or prompt sees
it: what it knows of the test side is handed to it by the commands that show or report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Event
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import reduce_events
from lamdagent.evaluation.ranking import items_of
from lamdagent.results.diagnosis.signature import Signature
from lamdagent.results.holdout import holdout_results_of


def diagnose(
    events: Iterable[Event], types: Mapping[str, ActionType], study: str, artifacts: ArtifactStore | None = None
) -> tuple[Signature, ...]:
    """Every signature, in the order in which a search goes through: choices, answers, outcomes.

    Args:
        types: the study's action types; where one that was chosen is not among them, what needs an even draw for
            comparison is `unknown`.
        study: what the user types for the study in a command, for advice.
        artifacts: where items are kept, so that models are compared item by item; None takes their errors as independent.
    """
    # Imported here since they load scipy, and whoever only shows a diagnosis needs none of it.
    from lamdagent.results.diagnosis.answers import fallbacks
    from lamdagent.results.diagnosis.chance import turns_of
    from lamdagent.results.diagnosis.choices import bias, mode_collapse
    from lamdagent.results.diagnosis.outcomes import forgetting, overfitting, plateau

    known = tuple(events)
    state, turns = reduce_events(known), turns_of(known, types)
    items = {} if artifacts is None else items_of(state.scores, state.scores, artifacts)
    return (
        mode_collapse(state, turns, study),
        bias(state, turns, study),
        fallbacks(state, study),
        forgetting(state, study, items),
        plateau(state, study, items),
        overfitting(state, holdout_results_of(known), study),
    )
