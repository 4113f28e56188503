"""The shapes of answers. Every free text is bounded: a small model writes to the end of what it may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from lamdagent.core.settings import EPOCHS, RATE, Freedom
from lamdagent.core.types import Slot

REASON_CHARS = 200
PLAN_CHARS = 160


def _bounded(chars: int) -> Any:
    """A text that is cut to so many characters."""
    cut = BeforeValidator(lambda text: text[:chars] if isinstance(text, str) else text)
    return Annotated[str, cut, Field(json_schema_extra={"maxLength": chars})]


Reason, Plan = _bounded(REASON_CHARS), _bounded(PLAN_CHARS)


def answer(title: str, fields: Mapping[str, Any], *, plan: bool) -> type[BaseModel]:
    """An answer: a reason first, then a plan where one is asked for, then the fields."""
    first: dict[str, Any] = {"reason": (Reason, ...), **({"plan": (Plan, "")} if plan else {})}
    return _made(title, {**first, **fields})


def one_of(title: str, branches: Mapping[str, Mapping[str, Any]], offers: Sequence[str] = ()) -> type[BaseModel]:
    """An answer in one question: a reason, a plan, and under `action` the fields of one of the types, tagged by `type`.

    Args:
        offers: names that may stand as the type, with nothing beside them.
    """
    made = [
        _made(f"{title}{i}", {"type": (Literal[name], ...), **fields})
        for i, (name, fields) in enumerate(branches.items())
    ]
    if offers:
        made.append(_made(f"{title}Offer", {"type": (Literal[tuple(offers)], ...)}))
    union: Any = made[0]
    for other in made[1:]:
        union = union | other
    tagged = Annotated[union, Field(discriminator="type")] if len(made) > 1 else union
    return answer(title, {"action": (tagged, ...)}, plan=True)


def names_field(slot: Slot, names: tuple[str, ...]) -> Any:
    """One of some names, or a list of them where the slot takes several."""
    one: Any = Literal[names]
    if slot.at_most == 1:
        return one, ...
    return Annotated[
        list[one], Field(min_length=slot.at_least, max_length=slot.most(max(len(names), slot.at_least)))
    ], ...


def amount_fields(freedom: Freedom | None) -> dict[str, Any]:
    """The amounts that are free, each inside its bounds, or null for what the setting says."""
    fields: dict[str, Any] = {}
    for key in (EPOCHS, RATE):
        bounds = None if freedom is None else getattr(freedom.bounds, key)
        if bounds is not None:
            fields[key] = (Annotated[float, Field(ge=bounds[0], le=bounds[1])] | None, None)
    return fields


def _made(title: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", protected_namespaces=(), json_schema_extra=_as_servers_take_it)
    made: type[BaseModel] = create_model(title, __config__=config, **fields)
    return made


def _as_servers_take_it(schema: dict[str, Any]) -> None:
    """Every key required, no defaults, and a union as `anyOf`: what today's servers hold an answer to. What lacks a key
    that has a default is read all the same."""
    schema["required"] = list(schema["properties"])
    for part in schema["properties"].values():
        part.pop("default", None)
        part.pop("discriminator", None)
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
