"""A pipeline without one of its steps, or a step without one of the datasets that it mixes.

Without a step that takes one model, what took its model takes that model's input. Without a merge, the best-scoring of
its input models stands in its place. The same holds of steps that make data: of several datasets the one stands in that
models gained most on, and a step that makes data of none cannot be left out. Whether a later action still takes what it
is left with, the action type says (`validate`). A merge that refuses what is left of its branches takes each model
once, then without base models (one adds nothing to a TIES-merge of its descendants), then only the branches that are as
they were. Where too few are left for a merge, the best-scoring of them stands in its place; a rebuilt model counts as
the one that it was rebuilt from. Without one of its datasets, a step is done on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamdagent.core.action_type import ActionType, why_refused
from lamdagent.core.evidence import dataset_gains
from lamdagent.core.pipeline import Pipeline
from lamdagent.core.state import State
from lamdagent.core.types import Object, ObjectId, content_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A pipeline without one of its steps, or without one `dataset` of a step that mixes several. `pipeline` is None where
    there is none, and `notes` say why, or what stands in for what."""

    without: Pipeline
    dataset: Object | None = None
    pipeline: Pipeline | None
    notes: tuple[str, ...]

    @property
    def what(self) -> str:
        """What is left out: `model-3`, or `sort in model-3`."""
        return _what(self.without, self.dataset)


def _what(step: Pipeline, dataset: Object | None) -> str:
    return step.object.name if dataset is None else f"{dataset.name} in {step.object.name}"


def variants(pipeline: Pipeline, state: State, types: Mapping[str, ActionType]) -> list[Variant]:
    """The pipeline without each of its steps, first steps first, each followed by the same without one of its datasets,
    where it takes several."""
    steps = [node for node in pipeline.nodes() if node.type is not None]
    steps.sort(key=lambda node: list(state.pool).index(node.object.id))
    left_out = [(step, dataset) for step in steps for dataset in (None, *_mixed(step))]
    return [_Without(step, dataset, state, types).of(pipeline) for step, dataset in left_out]


def _mixed(step: Pipeline) -> list[Object]:
    """The datasets of a step that trains a model on several. What data is made from is its recipe, not a mixture."""
    datasets = [node.object for node in _of_kind(step.inputs, "dataset")]
    return datasets if step.object.kind == "model" and len(datasets) > 1 else []


class _Undoable(Exception):
    """Nothing can stand in the place of a step; says why."""


@dataclass(slots=True)
class _Without:
    """Rebuilds a pipeline without one step, or one dataset of it. `stands_for`: by the id of a rebuilt model, the one whose
    place it has."""

    step: Pipeline
    dataset: Object | None
    state: State
    types: Mapping[str, ActionType]
    notes: list[str] = field(default_factory=list)
    stands_for: dict[ObjectId, ObjectId] = field(default_factory=dict)
    done: dict[ObjectId, Pipeline] = field(default_factory=dict)

    def of(self, pipeline: Pipeline) -> Variant:
        try:
            found: Pipeline | None = self._rebuilt(pipeline)
        except _Undoable as reason:
            self.notes.append(str(reason))
            found = None
        return Variant(without=self.step, dataset=self.dataset, pipeline=found, notes=tuple(self.notes))

    def _rebuilt(self, node: Pipeline) -> Pipeline:
        if node.object.id not in self.done:
            if node.object.id == self.step.object.id:
                found = self._stand_in(node) if self.dataset is None else self._on_fewer(node, self.dataset)
            else:
                inputs = {slot: tuple(map(self._rebuilt, group)) for slot, group in node.inputs.items()}
                found = node if inputs == node.inputs else self._changed(node, inputs)
            self.done[node.object.id] = found
        return self.done[node.object.id]

    def _stand_in(self, node: Pipeline) -> Pipeline:
        """What takes the place of the step that is left out."""
        alike = _of_kind(node.inputs, node.object.kind)
        if not alike:
            raise _Undoable(
                f"{node.type} takes no {node.object.kind}, so nothing can stand in the place of what it made"
            )
        if len(alike) == 1:
            return alike[0]
        return self._best(alike, f"in place of {node.object.name} stands")

    def _on_fewer(self, node: Pipeline, dataset: Object) -> Pipeline:
        """The step without one of its datasets."""
        inputs = _only(node.inputs, lambda child: child.object.id != dataset.id)
        if refusal := self._refusal(node, inputs):
            raise _Undoable(f"{node.object.name} cannot be made without {dataset.name}: {refusal}")
        return self._made(node, inputs)

    def _best(self, nodes: Sequence[Pipeline], note: str) -> Pipeline:
        """The best-scoring of several models, or of datasets the one that models gained most on."""
        scored = [(self._value(node), node) for node in nodes]
        known = [(value, node) for value, node in scored if value is not None]
        if not known:
            lack = "scored" if nodes[0].object.kind == "model" else "that a model was trained on"
            raise _Undoable(f"nothing {lack} can stand in the place of {self.step.object.name}")
        _, best = max(known, key=lambda row: row[0])
        why = "the best-scoring" if best.object.kind == "model" else "the one that models gained most on,"
        among = f", {why} of {', '.join(n.object.name for n in nodes)}" if len(nodes) > 1 else ""
        self.notes.append(f"{note} {best.object.name}{among}")
        return best

    def _value(self, node: Pipeline) -> float | None:
        known = self.stands_for.get(node.object.id, node.object.id)
        found = self.state.objective(known) if node.object.kind == "model" else dataset_gains(self.state).get(known)
        return None if found is None else found.value

    def _changed(self, node: Pipeline, inputs: Mapping[str, tuple[Pipeline, ...]]) -> Pipeline:
        """A later step on what it is left with: whole, without branches that it does not take, or the best of them."""
        kind, type = node.object.kind, self.types[str(node.type)]
        refusal = self._refusal(node, inputs)
        if refusal is None:
            return self._made(node, inputs)
        if not any(slot.kind == kind and slot.at_most > 1 for slot in type.slots):
            raise _Undoable(f"{node.object.name} cannot be made without {self.step.object.name}: {refusal}")
        old = {child.object.id for child in node.children}
        once = {slot: tuple({child.object.id: child for child in group}.values()) for slot, group in inputs.items()}
        made = _only(once, lambda child: child.object.kind != kind or child.type is not None)
        kept = _only(once, lambda child: child.object.id in old)
        for fewer in (once, made, kept):
            if self._refusal(node, fewer) is None:
                self.notes.append(f"{node.object.name} is made of what is left of its {kind}s ({refusal})")
                return self._made(node, fewer)
        return self._best(
            _of_kind(made, kind) or _of_kind(once, kind),
            f"{node.object.name} is left with too few {kind}s; in its place stands",
        )

    def _refusal(self, node: Pipeline, inputs: Mapping[str, Sequence[Pipeline]]) -> str | None:
        type = self.types[str(node.type)]
        for slot in type.slots:
            names = [child.object.name for child in inputs[slot.name]]
            if len(set(names)) < len(names):
                return f"{', '.join(sorted({name for name in names if names.count(name) > 1}))} would be in it twice"
            if not slot.at_least <= len(names) <= slot.at_most:
                return f"{node.type} takes {slot.at_least} or more for {slot.name}, not {len(names)}"
        return why_refused(type, {slot: [child.object for child in group] for slot, group in inputs.items()})

    def _made(self, node: Pipeline, inputs: Mapping[str, tuple[Pipeline, ...]]) -> Pipeline:
        ids = {slot: [child.object.id for child in group] for slot, group in inputs.items()}
        name = f"{node.object.name} without {_what(self.step, self.dataset)}"
        made = Object(
            id=content_id([node.type, ids, node.seed]), kind=node.object.kind, name=name, meta=node.object.meta
        )
        self.stands_for[made.id] = node.object.id
        return replace(node, object=made, inputs=inputs)


def _only(
    inputs: Mapping[str, tuple[Pipeline, ...]], keep: Callable[[Pipeline], bool]
) -> dict[str, tuple[Pipeline, ...]]:
    return {slot: tuple(filter(keep, group)) for slot, group in inputs.items()}


def _of_kind(inputs: Mapping[str, tuple[Pipeline, ...]], kind: str) -> list[Pipeline]:
    return [child for group in inputs.values() for child in group if child.object.kind == kind]
