"""What a study brings and no action takes, and why: said before the first trial."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from lamdagent.core.action_type import ActionType, why_refused
from lamdagent.core.errors import ConfigError
from lamdagent.core.types import Object
from lamdagent.study.config import Study


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


def refuse_unusable(study: Study, types: Mapping[str, ActionType], objects: Sequence[Object]) -> None:
    """Look for a setting under which an action takes none of the objects that a study brings.

    Action types that take several objects at once are left out: what they take may be made later.

    Raises:
        ConfigError: there is one; the message says where and why.
    """
    for type in types.values():
        settings = [o for o in objects if o.kind == "hyperparameters" and o.setting["action"] == type.name]
        others = [slot for slot in type.slots if slot.kind != "hyperparameters"]
        if len(others) == len(type.slots) or any(slot.at_least > 1 for slot in others):
            continue
        (own,) = (slot for slot in type.slots if slot.kind == "hyperparameters")
        for setting in settings:
            chosen = itertools.product(*([o for o in objects if o.kind == slot.kind] for slot in others))
            inputs = (
                {**{s.name: [o] for s, o in zip(others, each, strict=True)}, own.name: [setting]} for each in chosen
            )
            first = None
            for reason in (why_refused(type, one) for one in inputs):
                if reason is None:
                    break
                first = first or reason
            else:
                if first is not None:
                    where = study.document.where(("actions", type.name, "hyperparameters", setting.name))
                    raise ConfigError(
                        f"{where}: actions.{type.name} takes nothing under setting {setting.name!r}: {first}"
                    )
