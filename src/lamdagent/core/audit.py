"""What is looked at before the first trial: that what will be trained on and asked is what the user gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from lamdagent.core.types import Object

Weight = Literal["refused", "warning", "note"]
Row = tuple[str, Mapping[str, Any]]
"""A dataset's row, after where it stands (`file:line`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an audit found: `refused` stops a study before it begins, a `warning` is said, a `note` is told where one asks.

    `path` is where the study file says what it is about, such as ("datasets", "math").
    """

    weight: Weight
    text: str
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditContext:
    """What an audit may look at: the `objects` that the user provided, as far as they are on this machine.

    `folder` gives a model's Hugging Face folder, `rows` a dataset's rows as they are kept. `tell` hears how far it is: the
    name of what is looked at, rows done, rows in all.
    """

    objects: Sequence[Object]
    device: str
    folder: Callable[[Object], Path]
    rows: Callable[[Object], Iterator[Row]]
    tell: Callable[[str, int, int], None] = lambda what, done, total: None

    def of_kind(self, kind: str) -> tuple[Object, ...]:
        return tuple(obj for obj in self.objects if obj.kind == kind)


@runtime_checkable
class Audited(Protocol):
    """An action type that looks at what it would train on, and with what; or a task at what it would ask of whom."""

    def audit(self, ctx: AuditContext) -> Iterable[Finding]:
        """What is wrong with these objects, as far as they are used here, and what is worth knowing. Changes nothing."""
