"""The action types that are installed: what each does, takes and reads."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lamdagent.results.result import Part, Section, Table, Verbatim
from lamdagent.study import registry


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledAction:
    """An action type that a study file can name."""

    name: str
    """Its key under `actions:`."""
    does: str
    """What it does, in a sentence."""
    makes: str
    """The kind of object that it makes: model or dataset."""
    slots: Mapping[str, str]
    """What it takes, by slot: how many objects of which kind, as long as the study says nothing else."""
    keys: Mapping[str, str]
    """The keys of a setting, with what each means."""
    example: str | None
    """An entry for a study file; null where a plug-in gives none."""
    package: str
    """The package that it is from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledActions:
    """The action types that are installed, of lamdagent and of plug-ins."""

    actions: tuple[InstalledAction, ...]
    """In the order of their names."""

    @property
    def title(self) -> str:
        return "action types"

    def sections(self) -> list[Section]:
        rows = [
            [a.name, a.does, ", ".join(f"{slot}: {takes}" for slot, takes in a.slots.items()), a.makes, a.package]
            for a in self.actions
        ]
        found = [Section(parts=[Table(heads=["action", "does", "takes", "makes", "from"], rows=rows)])]
        for action in self.actions:
            parts: list[Part] = [] if action.example is None else [Verbatim(text=action.example)]
            if action.keys and len(self.actions) == 1:
                parts.append(Table(heads=["key", "meaning"], rows=[list(pair) for pair in action.keys.items()]))
            found += [Section(heading=f"an example of {action.name}", parts=parts)] if parts else []
        return found


def installed_actions(name: str | None = None) -> InstalledActions:
    """The action types that are installed; the one of that name, where one is given.

    Raises:
    """
    known = registry.names("actions")
    if name is not None:
        registry.find("actions", name)
    return InstalledActions(actions=tuple(_described(n, known[n]) for n in sorted(known) if name in (None, n)))


def _described(name: str, place: str) -> InstalledAction:
    found = registry.find("actions", name)
    slots = getattr(found, "slots", None) or found().slots
    return InstalledAction(
        name=name,
        does=(found.__doc__ or "").strip().partition("\n")[0],
        makes=found.makes,
        slots={slot.name: f"{slot.count} {slot.kind}" for slot in slots},
        keys=_keys(getattr(found, "Config", None)),
        example=getattr(found, "example", None),
        package=place.partition(".")[0].partition(":")[0],
    )


def _keys(config: type[BaseModel] | None) -> dict[str, str]:
    """The keys of a setting: of the entries of the mapping `hyperparameters`."""
    field = None if config is None else config.model_fields.get("hyperparameters")
    if field is None:
        return {}
    setting: Any = field.annotation
    if isinstance(setting, type) and issubclass(setting, BaseModel):
        setting = typing.get_type_hints(setting).get("__pydantic_extra__")
    setting = next((a for a in typing.get_args(setting) if isinstance(a, type) and issubclass(a, BaseModel)), None)
    return {} if setting is None else {i.alias or k: i.description or "" for k, i in setting.model_fields.items()}
