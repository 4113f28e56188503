"""The pipeline that made an object, as a tree of lines and as steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.core.pipeline import node_label, pipeline_of, render, to_data
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId
from lamdagent.results.result import Section, Verbatim


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A pipeline, back to what the user provided. Printed, it is a tree."""

    result: str
    """The name of what it makes."""
    objects: Mapping[str, Mapping[str, Any]]
    """What it starts from, by name: kind, id, path and what its kind has beside."""
    steps: Sequence[Mapping[str, Any]]
    """Its steps in order: what each makes, its id, action, seed and the names of its inputs by slot."""
    tree: str
    """The same as lines of text."""

    @property
    def title(self) -> str:
        return f"lineage of {self.result}"

    def sections(self) -> list[Section]:
        return [Section(parts=[Verbatim(text=self.tree)])]

    def __repr__(self) -> str:
        return self.tree

    __str__ = __repr__


def lineage_of(state: State, object_id: ObjectId) -> Lineage:
    """The lineage of an object of the pool."""
    pipeline = pipeline_of(state, object_id)
    data = to_data(pipeline)
    tree = render(pipeline, lambda node: node_label(state, node))
    return Lineage(result=data["result"], objects=data["objects"], steps=data["steps"], tree=tree)
