"""The sealed side: what a journal says of the test, which no search can see because no state holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lamdagent.core.events import Event, HoldoutOpened, Tested
from lamdagent.core.types import ObjectId, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutResults:
    """How often the test was opened, and what models scored on it."""

    opened: int = 0
    scores: Mapping[ObjectId, tuple[Score, ...]] = field(default_factory=dict)


def holdout_results_of(events: Iterable[Event]) -> HoldoutResults:
    """What a journal says of the test side."""
    opened, scores = 0, {}
    for event in events:
        match event:
            case HoldoutOpened():
                opened += 1
            case Tested(object_id=object_id, scores=found):
                scores[object_id] = found
    return HoldoutResults(opened=opened, scores=scores)
