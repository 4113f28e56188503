"""What every result has in common: fields that are its JSON keys, and sections that every page shows alike.

A result is a frozen dataclass of plain values. `sections` puts them into words, tables and pictures; what a terminal, a
Markdown file or an HTML page makes of these is the business of `ui.render`, and how a picture is drawn, of `ui.plots`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from lamdagent.core.text import escaped_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text. Rows whose place is in `strong` are set apart."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    strong: Set[int] = frozenset()
    last_is_extra: bool = False
    """Whether a page that is too narrow may leave out the last column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Pairs of a name and what there is to say of it."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbatim:
    """Lines whose breaks and indentation matter, such as a tree."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Data for a picture; `ui.plots` picks how to draw it by the type of `data`. `name` ends the name of its file."""

    name: str
    caption: str
    data: object


Part = str | Table | Facts | Verbatim | Picture
"""What a section is made of; a plain text is a paragraph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, empty where there is none, and what stands below it."""

    heading: str = ""
    parts: Sequence[Part]


class Result(Protocol):
    """What a command found. Implemented by frozen dataclasses whose fields are the JSON keys."""

    @property
    def title(self) -> str:
        """The heading of a page of its own."""
        ...

    def sections(self) -> Sequence[Section]:
        """All there is to show, in order."""
        ...


def pictures(sections: Sequence[Section]) -> list[Picture]:
    """The pictures among the parts, in order."""
    return [part for section in sections for part in section.parts if isinstance(part, Picture)]


def to_json(value: object) -> Any:
    """A value as what `json.dumps` takes: dataclasses as mappings of their fields, sets sorted, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(inner) for key, inner in value.items()}
    if isinstance(value, Set):
        return [to_json(inner) for inner in sorted(value)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_json(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def dumps(value: object) -> str:
    """A result as the text that `--json` prints and a .json file holds; what a terminal would act on is escaped."""
    return escaped_json(json.dumps(to_json(value), indent=2, ensure_ascii=False))
