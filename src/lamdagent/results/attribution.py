"""What each step of a pipeline is worth: the pipeline, less the pipeline without that step.

Without a step that takes one model, what took its model takes that model's input. Without a merge, the best-scoring of
its input models stands in its place. The same holds of steps that make data: of several datasets the one stands in that
models gained most on, and a step that makes data of none cannot be left out. Whether a later action still takes what it
is left with, the action type says (`validate`). A merge that refuses what is left of its branches takes each model
once, then without base models (one adds nothing to a TIES-merge of its descendants), then only the branches that are as
they were. Where too few are left for a merge, the best-scoring of them stands in its place; a rebuilt model counts as
the one that it was rebuilt from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lamdagent.core.action_type import ActionType, why_refused
from lamdagent.core.evidence import dataset_gains
from lamdagent.core.format import action_of, change, change_with_interval, scored
from lamdagent.core.pipeline import Pipeline
from lamdagent.core.plan import PlanStatus
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, objective_of
from lamdagent.core.types import Object, ObjectId, ObjectiveValue, Score, Split, TaskWeight, content_id
from lamdagent.evaluation.estimates import Corrected, Difference
from lamdagent.evaluation.ranking import ItemsById, items_of, without_luck
from lamdagent.results.rerun import Rerun
from lamdagent.results.result import Part, Picture, Section, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A pipeline without one of its steps. `pipeline` is None where there is none, and `notes` say why, or what stands
    in for what."""

    without: Pipeline
    pipeline: Pipeline | None
    notes: tuple[str, ...]


def variants(pipeline: Pipeline, state: State, types: Mapping[str, ActionType]) -> list[Variant]:
    """The pipeline without each of its steps, first steps first."""
    steps = [node for node in pipeline.nodes() if node.type is not None]
    steps.sort(key=lambda node: list(state.pool).index(node.object.id))
    return [_Without(step, state, types).of(pipeline) for step in steps]


class _Undoable(Exception):
    """Nothing can stand in the place of a step; says why."""


@dataclass(slots=True)
class _Without:
    """Rebuilds a pipeline without one step. `stands_for`: by the id of a rebuilt model, the one whose place it has."""

    step: Pipeline
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
        return Variant(without=self.step, pipeline=found, notes=tuple(self.notes))

    def _rebuilt(self, node: Pipeline) -> Pipeline:
        if node.object.id not in self.done:
            if node.object.id == self.step.object.id:
                found = self._stand_in(node)
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
        name = f"{node.object.name} without {self.step.object.name}"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a derived study gave to the pipelines of a plan. `names` are those of the plan, by the pipeline's id."""

    replay: State
    followed: PlanStatus
    names: Mapping[ObjectId, str]

    def id_of(self, pipeline: Pipeline | None) -> ObjectId | None:
        return None if pipeline is None else self.followed.ids.get(self.names[pipeline.object.id])

    def why_not(self, pipeline: Pipeline) -> str:
        return self.followed.unreachable.get(self.names[pipeline.object.id], "it was not done")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWorth:
    """What one step of the pipeline is worth."""

    step: str
    """The name of what the step makes."""
    action: str
    """The step, in one line."""
    stands_in: tuple[str, ...]
    """What stood in for what without it, in words."""
    without: str | None
    """The name of the model without the step; null where there is none."""
    objective: ObjectiveValue | None
    """The objective of that model."""
    lost: str | None
    """Why there is no such model, or no score of it."""
    worth: Difference | None
    """The whole less what is without the step, on the same items; null where items are not kept, or too few."""
    tasks: Mapping[str, Difference | None]
    """The same by task."""

    @property
    def notes(self) -> tuple[str, ...]:
        return self.stands_in if self.lost in (None, *self.stands_in) else (*self.stands_in, str(self.lost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What each step of a pipeline is worth."""

    study: str
    """The study's name."""
    pipeline: str
    """The name of the pipeline's model."""
    side: Split
    """Whose items all scores and worths are over: those of the sealed test where it was opened for the pipeline."""
    objective: ObjectiveValue | None
    """Its objective when done again."""
    lost: str | None
    """Why it could not be done again."""
    goals: tuple[TaskWeight, ...]
    """The tasks of the objective with their weights."""
    steps: tuple[StepWorth, ...]
    """Its steps, first steps first."""
    without_luck: Corrected | None
    """Its objective in the search, less the luck of having been picked from all models; null where items are not kept, and
    on the test, which had no part in picking."""

    @property
    def title(self) -> str:
        return f"attribution of {self.pipeline} of {self.study}"

    def sections(self) -> list[Section]:
        parts: list[Part] = [f"{self.pipeline}: {scored(self.objective)}"]
        if self.lost is not None:
            parts.append(f"{self.pipeline} could not be done again: {self.lost}")
        rows = [[s.step, scored(s.objective), _words(s.worth), s.action] for s in self.steps]
        notes = [f"without {step.step}: {note}" for step in self.steps for note in step.notes]
        sums = "worth: the whole less what is without the step, on the same items (95 %); worths do not add up"
        notes.append(self._covers())
        parts += [
            Table(heads=["without", "objective", "worth of the step", "step"], rows=rows, notes=[*notes, sums]),
            Picture(name="worth", caption="What each step is worth, with 95 % intervals", data=self),
        ]
        return [Section(parts=parts)]

    def _covers(self) -> str:
        """Which items these are, and what part they had in picking the pipeline."""
        found = self.without_luck
        if self.side == "test":
            return f"on the sealed test, which was opened for {self.pipeline} before and had no part in picking it"
        if found is None:
            return (
                f"if {self.pipeline} was picked for its score, its luck on these validation items is in every worth: "
                "items are not kept"
            )
        return (
            f"these validation items picked {self.pipeline}; what that adds ({change(found.luck)}) is taken from every "
            "worth, and intervals hold with and without it; on the sealed test once `report` opened it"
        )


def _words(worth: Difference | None) -> str:
    return "-" if worth is None else change_with_interval(worth.value, worth.low, worth.high)


def remade(pipeline: Pipeline, found: Sequence[Variant], plan: Mapping[str, Any], done: Rerun) -> list[ObjectId]:
    """The models of a pipeline and its variants in the derived study that did them, without those that were not done."""
    ids = map(_done(plan, done).id_of, [pipeline, *(v.pipeline for v in found)])
    return list(dict.fromkeys(i for i in ids if i))


def _done(plan: Mapping[str, Any], done: Rerun) -> _Done:
    names = {step["id"]: step["make"] for step in plan["steps"]}
    names |= {leaf["id"]: name for name, leaf in plan["objects"].items()}
    return _Done(replay=done.state, followed=done.status, names=names)


def attribution(
    study: str,
    pipeline: Pipeline,
    found: Sequence[Variant],
    search: State,
    plan: Mapping[str, Any],
    done: Rerun,
    artifacts: ArtifactStore,
    tested: Scores | None = None,
) -> Attribution:
    """Hold a pipeline against the same without each of its steps.

    Args:
        plan: the plan as data, which the derived study of `done` followed.
        tested: what the `remade` models score on the sealed test; None judges by validation.
    """
    made, scores = _done(plan, done), done.state.scores if tested is None else tested
    whole = made.id_of(pipeline)
    items = items_of(scores, remade(pipeline, found, plan, done), artifacts)

    def luck(goals: Sequence[TaskWeight] | None) -> Corrected | None:
        return without_luck(search, pipeline.object.id, artifacts, goals) if tested is None else None

    return Attribution(
        study=study,
        pipeline=pipeline.object.name,
        side="validation" if tested is None else "test",
        objective=None if whole is None else objective_of(made.replay.goals, scores.get(whole, ())),
        lost=None if whole is not None else made.why_not(pipeline),
        goals=made.replay.goals,
        steps=tuple(_step(variant, whole, search, made, scores, items, luck) for variant in found),
        without_luck=luck(None),
    )


Scores = Mapping[ObjectId, tuple[Score, ...]]
Luck = Callable[[Sequence[TaskWeight] | None], Corrected | None]
"""The whole's score in the search without the luck of having been picked, by the goals that count; None is all."""


def _step(
    variant: Variant,
    whole: ObjectId | None,
    search: State,
    made: _Done,
    scores: Scores,
    items: ItemsById,
    luck: Luck,
) -> StepWorth:
    step, rest, goals = variant.without, variant.pipeline, made.replay.goals
    trial, without = search.trial_of(step.object.id), made.id_of(rest)
    alone = {g.task: [TaskWeight(task=g.task)] for g in goals}
    lost = None
    if without is None:
        lost = variant.notes[-1] if rest is None else made.why_not(rest)
    return StepWorth(
        step=step.object.name,
        action=action_of(search, trial) if trial else str(step.type),
        stands_in=variant.notes,
        without=None if rest is None else made.names[rest.object.id],
        objective=None if without is None else objective_of(goals, scores.get(without, ())),
        lost=lost,
        worth=less_luck(_worth(made.replay, items, whole, without, goals), luck(None)),
        tasks={
            task: less_luck(_worth(made.replay, items, whole, without, one), luck(one)) for task, one in alone.items()
        },
    )


def less_luck(worth: Difference | None, found: Corrected | None) -> Difference | None:
    """A worth less the luck of the pick. The interval holds it with and without: that luck is known poorly."""
    from lamdagent.results.statistics import two_sided_p

    if worth is None or found is None:
        return worth
    luck = found.luck
    value, low, high = worth.value - luck, min(worth.low, worth.low - luck), max(worth.high, worth.high - luck)
    p = max(worth.p, two_sided_p(value, worth.stderr))
    return Difference(value=value, stderr=worth.stderr, low=low, high=high, p=p)


def _worth(
    replay: State,
    items: ItemsById,
    whole: ObjectId | None,
    without: ObjectId | None,
    goals: Sequence[TaskWeight],
) -> Difference | None:
    """The original less what is without the step, on the same items; None where one has no items, or too few."""
    from lamdagent.evaluation.statistics import difference

    if whole is None or without is None or whole not in items or without not in items:
        return None
    try:
        return difference(items[whole], items[without], goals, seed=replay.seed)
    except ValueError:
        return None
