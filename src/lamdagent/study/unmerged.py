"""Which of the models that a study brings are never put together, and why: said before the first trial."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from lamdagent.core.action_type import ActionType
from lamdagent.core.types import Object


def unmerged(types: Mapping[str, ActionType], objects: Sequence[Object]) -> Iterator[str]:
    """For each brought model of another base, and each two of them, why an action that takes several models takes it
    under no setting; in words."""
    finetuned = [obj for obj in objects if obj.kind == "model" and obj.root != obj.id]
    for type in types.values():
        settings = [o for o in objects if o.kind == "hyperparameters" and o.setting["action"] == type.name]
        match sorted(type.slots, key=lambda slot: slot.kind == "hyperparameters"):
            case [models, setting] if models.kind == "model" and models.at_least == 2:
                alone = {o.id: reason for o in finetuned if (reason := models.why_refused(o)) is not None}
                yield from (f"actions.{type.name}: {reason}" for reason in alone.values())
                for pair in itertools.combinations([o for o in finetuned if o.id not in alone], 2):
                    reasons = [type.validate({models.name: pair, setting.name: [one]}) for one in settings]
                    if reasons and None not in reasons:
                        yield f"actions.{type.name}: not merged: {reasons[0]}"
