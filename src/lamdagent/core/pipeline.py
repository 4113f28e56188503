"""A made object as the pipeline that makes it: the tree of actions, back to what the user provided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.core.evidence import dataset_gains
from lamdagent.core.format import contents, scored, setting
from lamdagent.core.state import State
from lamdagent.core.types import Object, ObjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """An object and, where it was made, the action type and the pipelines of its inputs by slot."""

    object: Object
    type: str | None = None
    seed: int = 0
    inputs: Mapping[str, tuple[Pipeline, ...]]

    @property
    def children(self) -> tuple[Pipeline, ...]:
        return tuple(child for group in self.inputs.values() for child in group)

    def nodes(self) -> Iterator[Pipeline]:
        """Every different object of the pipeline, inputs before what is made of them."""
        seen: set[ObjectId] = set()
        yield from self._unseen(seen)

    def _unseen(self, seen: set[ObjectId]) -> Iterator[Pipeline]:
        if self.object.id in seen:
            return
        seen.add(self.object.id)
        for child in self.children:
            yield from child._unseen(seen)
        yield self


def pipeline_of(state: State, object_id: ObjectId) -> Pipeline:
    """The pipeline of an object of the pool. Steps that several branches share are one value."""
    done: dict[ObjectId, Pipeline] = {}

    def build(object_id: ObjectId) -> Pipeline:
        if object_id not in done:
            obj, trial = state.pool[object_id], state.trial_of(object_id)
            if trial is None:
                done[object_id] = Pipeline(object=obj, inputs={})
            else:
                action = trial.choice.action
                inputs = {slot: tuple(map(build, ids)) for slot, ids in action.inputs.items()}
                done[object_id] = Pipeline(object=obj, type=action.type, seed=action.seed, inputs=inputs)
        return done[object_id]

    return build(object_id)


def render(pipeline: Pipeline, label: Callable[[Pipeline], str]) -> str:
    """The pipeline as a tree of lines. A step that stands twice is drawn once and named after that."""
    drawn: set[ObjectId] = set()

    def lines(node: Pipeline) -> list[str]:
        again = node.type is not None and node.object.id in drawn
        drawn.add(node.object.id)
        if again:
            return [f"{node.object.name} (as above)"]
        below: list[str] = []
        for i, child in enumerate(node.children):
            last = i == len(node.children) - 1
            first, *rest = lines(child)
            below += [f"{'└─ ' if last else '├─ '}{first}", *(f"{'   ' if last else '│  '}{line}" for line in rest)]
        return [label(node), *below]

    return "\n".join(lines(pipeline))


def node_label(state: State, node: Pipeline) -> str:
    """One line for one object of a pipeline."""
    obj = node.object
    if obj.kind == "hyperparameters":
        return f"{obj.name}: {setting(obj)}"
    if obj.kind == "dataset":
        if node.type is None:
            return f"{obj.name}: {obj.dataset.get('rows', '?')} rows of {obj.uri}" if obj.uri else obj.name
        gained = dataset_gains(state).get(obj.id)
        worth = "" if gained is None else f"; models trained on it gained {gained}"
        return f"{node.type} → {obj.name}: {contents(obj)}{worth}"
    made = f"{node.type} → " if node.type else ""
    return f"{made}{obj.name}  {scored(state.objective(obj.id))}"


def to_data(*pipelines: Pipeline, order: Iterable[ObjectId] = ()) -> dict[str, Any]:
    """Pipelines as plain data, as `pipeline.yaml` holds one: what they start from, then their steps, shared ones once.

    Args:
        order: ids in the order in which objects and steps shall stand; those that it lacks come after.
    """
    place = {object_id: i for i, object_id in enumerate(order)}
    nodes = list({node.object.id: node for pipeline in pipelines for node in pipeline.nodes()}.values())
    nodes.sort(key=lambda node: place.get(node.object.id, len(place)))
    names = _names(nodes)
    objects = {names[n.object.id]: _leaf(n.object, names[n.object.id]) for n in nodes if n.type is None}
    steps = [
        {
            "make": names[n.object.id],
            "id": n.object.id,
            "action": n.type,
            "seed": n.seed,
            "inputs": {slot: [names[child.object.id] for child in group] for slot, group in n.inputs.items()},
        }
        for n in nodes
        if n.type is not None
    ]
    results = list(dict.fromkeys(names[pipeline.object.id] for pipeline in pipelines))
    ends: dict[str, Any] = {"result": results[0]} if len(results) == 1 else {"results": results}
    return {**ends, "objects": objects, "steps": steps}


def _names(nodes: Sequence[Pipeline]) -> dict[ObjectId, str]:
    """A name of its own for every object; settings of two action types may share theirs."""
    names: dict[ObjectId, str] = {}
    for obj in sorted((node.object for node in nodes), key=lambda obj: obj.kind == "hyperparameters"):
        taken = obj.name in names.values()
        names[obj.id] = f"{obj.setting['action']}.{obj.name}" if taken else obj.name
    return names


def _leaf(obj: Object, name: str) -> dict[str, Any]:
    leaf: dict[str, Any] = {"kind": obj.kind, "id": obj.id}
    if name != obj.name:
        leaf["name"] = obj.name
    if obj.uri:
        leaf["path"] = obj.uri
    if obj.kind == "hyperparameters":
        leaf |= {"action": obj.setting["action"], "values": dict(obj.setting["values"])}
    if obj.kind == "dataset":
        leaf |= {"rows": obj.dataset.get("rows"), "split": obj.dataset.get("split")}
    return leaf
