"""What can be chosen from: the objects that action types take, listed and described, and answers as actions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from lamdagent.core.effects import changed, few, parent_of
from lamdagent.core.evidence import dataset_gains
from lamdagent.core.format import by_task, compared_settings, contents, guard_breaks, recipe, scored, with_error
from lamdagent.core.settings import EPOCHS, RATE
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Object, ObjectId, Slot
from lamdagent.policies.agent.schemas import amount_fields, names_field
from lamdagent.policies.agent.situation import cut, described, example_chars, root_of, seconds_of

DONE_SHOWN = 6  # earlier partners of a model
INSTEAD_SHOWN = 8  # objects of a slot that a refusal offers instead
UNTRIED_SHOWN = 8
UNTRIED_LOOKED_AT = 200
AFFINITIES = 6
WORDS = {EPOCHS: "passes over the datasets", RATE: "peak learning rate"}


@dataclass(frozen=True, kw_only=True)
class Menu:
    """What some action types can be given now.

    Args:
        shown: most objects of a kind that are listed for a slot.
        examples: example rows of each dataset.
        repeats: whether an action may be done once more with another seed.
        predicted: by object the best objective that is predicted of what holds it, with its standard deviation.
    """

    state: State
    space: ActionSpace
    types: Sequence[str]
    names: Mapping[ObjectId, str]
    shown: int = 24
    examples: int = 2
    repeats: bool = False
    predicted: Mapping[ObjectId, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def listed(self) -> Mapping[str, Mapping[str, Mapping[str, ObjectId]]]:
        """By action type and slot, the ids of the objects that are listed by the name that they are listed under."""
        return {
            type: {
                slot.name: {self.names.get(o.id, o.name): o.id for o in self._fitting(type, slot)}
                for slot in self.space.types[type].slots
            }
            for type in self.types
        }

    def fields(self, type: str) -> dict[str, Any]:
        """The fields of an answer that names the objects of an action of this type."""
        slots = self.space.types[type].slots
        fields = {slot.name: names_field(slot, tuple(self.listed[type][slot.name])) for slot in slots}
        repeat = {"repeat": (bool, False)} if self.repeats else {}
        return {**fields, **amount_fields(self.space.freedom(type)), **repeat}

    def action(self, type: str, answer: Any) -> Action:
        """The action that an answer names.

        Raises:
            ValueError: the setting that it names takes no such amount.
        """
        inputs = {}
        for slot in self.space.types[type].slots:
            named = getattr(answer, slot.name)
            picked = [named] if isinstance(named, str) else named
            ids = [self.listed[type][slot.name][name] for name in picked]
            inputs[slot.name] = ids if slot.ordered else list(dict.fromkeys(ids))
            if slot.kind == "hyperparameters":
                inputs[slot.name] = [self._with_amounts(type, i, answer) for i in inputs[slot.name]]
        action = self.space.action(type, inputs)
        return self.space.repeat(action) if getattr(answer, "repeat", False) else action

    def why_not(self, type: str, answer: Any) -> str | None:
        """Why an answer cannot be done, in the names that were listed, and what could be done instead; None if it can."""
        try:
            action = self.action(type, answer)
        except ValueError as error:
            return str(error)
        if (refusal := self.space.why_invalid(action)) is None:
            return None
        for object_id, label in self.names.items():
            refusal = refusal.replace(repr(self.state.pool[object_id].name), repr(label))
        return refusal + self._instead(action)

    def sections(self) -> dict[str, Any]:
        """What a prompt lists: models, datasets and settings once each, and the types with what they take of these."""
        listed: dict[str, dict[ObjectId, None]] = {"model": {}, "dataset": {}, "hyperparameters": {}}
        left_out = {"model": 0, "dataset": 0}
        for type in self.types:
            for slot in self.space.types[type].slots:
                listed[slot.kind] |= dict.fromkeys(self.listed[type][slot.name].values())
                if slot.kind in left_out:
                    more = len(self.space.options(type)[slot.name]) - len(self.listed[type][slot.name])
                    left_out[slot.kind] = max(left_out[slot.kind], more)
        ranked = [obj.id for obj, _ in self.state.ranked()]
        place = {object_id: i for i, object_id in enumerate(ranked)}
        models = sorted(listed["model"], key=lambda i: place.get(i, len(place)))
        chars = example_chars(len(listed["dataset"]) * self.examples)
        return {
            "models": [self._model_line(i) for i in models],
            "datasets": [self._dataset_line(self.state.pool[i], chars) for i in listed["dataset"]],
            "settings": [self._settings_of(type) for type in self.types if self._settings_of(type)["lines"]],
            "types": [self.type_line(type, whole=True) for type in self.types],
            "left_out": left_out,
            "untried": self.untried(),
        }

    def type_line(self, type: str, *, whole: bool = False) -> dict[str, Any]:
        """What a prompt says of an action type.

        Args:
            whole: also which objects each slot takes.
        """
        action_type = self.space.types[type]
        slots = action_type.slots
        return {
            "name": type,
            "about": (action_type.__doc__ or "").strip().splitlines()[0],
            "slots": ", ".join(f"{slot.count} {slot.kind} ({slot.name})" for slot in slots),
            "makes": action_type.makes,
            "done": sum(t.choice.action.type == type for t in self.state.trials),
            "takes": seconds_of(self.state).get(type, ""),
            "fields": [self._slot_line(type, slot) for slot in slots] if whole else [],
            "amounts": self._amounts(type),
        }

    def untried(self) -> list[str]:
        """A few datasets and settings that were never put together and can be now, on the best model that takes them."""
        pairs = {
            (t.choice.action.type, i, j)
            for t in self.state.trials
            for i in t.choice.action.object_ids
            for j in t.choice.action.object_ids
        }
        found: list[str] = []
        for type in self.types:
            slots: dict[str, Slot] = {slot.kind: slot for slot in self.space.types[type].slots}
            if set(slots) != {"model", "dataset", "hyperparameters"} or slots["dataset"].at_least > 1:
                continue
            listed, best = self.listed[type], self._best_for(type)
            both = [
                (d, s)
                for d in listed[slots["dataset"].name].items()
                for s in listed[slots["hyperparameters"].name].items()
                if (type, d[1], s[1]) not in pairs
            ]
            rng = random.Random(f"{self.state.seed}:{len(self.state.trials)}:untried")
            for (dataset, d), (setting, s) in rng.sample(both, min(len(both), UNTRIED_LOOKED_AT)):
                inputs = dict(zip([slot.name for slot in slots.values()], _by_kind(slots, best, d, s), strict=True))
                if len(found) < UNTRIED_SHOWN and self.space.why_invalid(self.space.action(type, inputs)) is None:
                    found.append(f"{dataset} with {setting}")
        return found

    def _best_for(self, type: str) -> ObjectId | None:
        slot = next(slot for slot in self.space.types[type].slots if slot.kind == "model")
        listed = set(self.listed[type][slot.name].values())
        return next((obj.id for obj, _ in self.state.ranked() if obj.id in listed), next(iter(listed), None))

    def _fitting(self, type: str, slot: Slot) -> Sequence[Object]:
        fitting = self.space.options(type)[slot.name]
        if slot.kind == "hyperparameters" and self.space.freedom(type) is not None:
            fitting = tuple(obj for obj in fitting if "of" not in obj.setting)
        return shortlist(self.state, fitting, self.shown)

    def _slot_line(self, type: str, slot: Slot) -> str:
        """`datasets: 1 or more of the datasets`; by name where it takes only some of those that are listed."""
        names = self.listed[type][slot.name]
        everywhere = {
            i for t in self.types for s in self.space.types[t].slots if s.kind == slot.kind
            for i in self.listed[t][s.name].values()
        }  # fmt: skip
        kind = {"model": "models", "dataset": "datasets", "hyperparameters": f"settings of {type}"}[slot.kind]
        whole = slot.kind == "hyperparameters" or len(names) == len(everywhere)
        order = ", in an order that counts" if slot.ordered else ""
        return f"{slot.name}: {slot.count} of {f'the {kind}' if whole else ', '.join(names)}{order}"

    def _amounts(self, type: str) -> list[str]:
        freedom = self.space.freedom(type)
        bounds = {} if freedom is None else {key: getattr(freedom.bounds, key) for key in (EPOCHS, RATE)}
        return [
            f"{key}: {WORDS[key]}, {bound[0]:g} to {bound[1]:g}, or null for what the setting says"
            for key, bound in bounds.items()
            if bound is not None
        ]

    def _with_amounts(self, type: str, setting: ObjectId, answer: Any) -> ObjectId:
        wanted = {key: value for key in (EPOCHS, RATE) if (value := getattr(answer, key, None)) is not None}
        if not wanted:
            return setting
        base = self.space[setting]
        varied = self.space.varied(type, base, wanted)
        if varied is None:
            raise ValueError(f"setting {base.name!r} takes no other {' or '.join(wanted)}; give null")
        return varied.id

    def _model_line(self, object_id: ObjectId) -> dict[str, str]:
        about = describe(self.state, self.state.pool[object_id], self.names)
        done = "".join(done_with(self.state, object_id, type, self.names) for type in self.types)
        return {
            "name": self.names[object_id],
            "about": f"{about}{root_of(self.state, object_id, self.names)}{done}{self._hope(object_id)}",
        }

    def _dataset_line(self, obj: Object, chars: int) -> dict[str, Any]:
        rows = cut(obj.meta.get("samples", ())[: self.examples], chars)
        about = f"{describe(self.state, obj, self.names)}{self._hope(obj.id)}"
        return {"name": obj.name, "about": about, "examples": rows}

    def _hope(self, object_id: ObjectId) -> str:
        found = self.predicted.get(object_id)
        return "" if found is None else f"; predicted with it: up to {with_error(*found)}"

    def _settings_of(self, type: str) -> dict[str, Any]:
        names = [slot.name for slot in self.space.types[type].slots if slot.kind == "hyperparameters"]
        objects = {i: self.space[i] for name in names for i in self.listed[type][name].values()}
        shared, differ = compared_settings(list(objects.values()))
        lines = [{"name": obj.name, "about": f"{differ[i] or 'as above'}{self._hope(i)}"} for i, obj in objects.items()]
        return {"type": type, "shared": shared, "lines": lines}

    def _instead(self, action: Action) -> str:
        """What could be done in place of a refused action by changing one object of it, among those that were listed."""
        shown = {i: name for slots in self.listed[action.type].values() for name, i in slots.items()}
        found: dict[str, dict[str, None]] = {}
        for slot, obj, other in self.space.neighbors(action):
            if obj.id in shown and obj.id in other.inputs[slot]:
                found.setdefault(slot, {})[shown[obj.id]] = None
        parts = [f"another of {slot} ({', '.join(list(names)[:INSTEAD_SHOWN])})" for slot, names in found.items()]
        return f". Doable with one change: {'; or '.join(parts)}" if parts else ""


def _by_kind(
    slots: Mapping[str, Slot], model: ObjectId | None, dataset: ObjectId, setting: ObjectId
) -> list[list[str]]:
    given = {"model": [model] if model else [], "dataset": [dataset], "hyperparameters": [setting]}
    return [given[kind] for kind in slots]


def describe(state: State, obj: Object, names: Mapping[ObjectId, str]) -> str:
    """What a prompt says of a model or dataset: a model's objective, its score on each task, what its last step changed
    of each, and its recipe; a dataset's rows, tokens, affinity to each task, and what it is about."""
    if obj.kind == "dataset":
        return _describe_dataset(state, obj, names)
    tasks = f" ({words})" if (words := by_task(state, obj.id)) else ""
    broken = f"; {words}" if (words := guard_breaks(state, obj.id)) else ""
    trial = state.trial_of(obj.id)
    parent = None if trial is None else parent_of(state, trial)
    moved = "" if trial is None else changed(state, trial)
    since = f"; from {names.get(parent, state.pool[parent].name)}: {moved}" if parent is not None and moved else ""
    return f"{scored(state.objective(obj.id))}{tasks}{broken}{since}; {recipe(state, obj.id, names)}"


def _describe_dataset(state: State, dataset: Object, names: Mapping[ObjectId, str]) -> str:
    meta, parts = dataset.dataset, [contents(replace(dataset, meta={**dataset.meta, "affinity": {}}))]
    if tokens := max(meta.get("tokens", {}).values(), default=0):
        parts.append(f"{tokens:,} tokens a pass")
    affinity = sorted(meta.get("affinity", {}).items(), key=lambda pair: -pair[1])[:AFFINITIES]
    if affinity:
        parts.append(f"likeness to prompts of tasks: {', '.join(f'{task} {value:.2f}' for task, value in affinity)}")
    if dataset.made_by is not None:
        gained = dataset_gains(state).get(dataset.id)
        worth = "no model was trained on it yet" if gained is None else f"models trained on it gained {gained}"
        parts.append(f"made by {recipe(state, dataset.id, names)}; {worth}")
    if about := described(state, dataset.name):
        parts.append(about)
    return "; ".join(parts)


def done_with(state: State, object_id: ObjectId, type: str, names: Mapping[ObjectId, str]) -> str:
    """What a model was taken together with in actions of a type before, the latest few; nothing for other objects."""
    done = [
        "/".join(names.get(i, state.pool[i].name) for i in trial.choice.action.object_ids if i != object_id)
        for trial in state.trials
        if trial.choice.action.type == type and object_id in trial.choice.action.object_ids
    ]
    return f"; {type} done with: {few(done[::-1], most=DONE_SHOWN)}" if done else ""


def shortlist(state: State, fitting: Sequence[Object], most: int) -> Sequence[Object]:
    """At most `most` objects in their order: the given models, the best, the best on each task, the latest few, and one
    of each lineage, the best and the untried first."""
    if len(fitting) <= most:
        return fitting
    used = {i for trial in state.trials for i in trial.choice.action.object_ids}
    rank = {obj.id: i for i, (obj, _) in enumerate(state.ranked())}
    best = sorted(fitting, key=lambda obj: rank.get(obj.id, len(rank)))
    by_goal = [max(fitting, key=lambda obj: _score(state, obj.id, goal.task)) for goal in state.goals]
    lineages: dict[str, Object] = {}
    for obj in best:
        lineages.setdefault(" ".join(sorted(set(recipe(state, obj.id).split(" > ")[1:]))), obj)
    given = [obj for obj in fitting if obj.made_by is None]
    untried = [obj for obj in best if obj.id not in used]
    picked: dict[ObjectId, Object] = {}
    groups: tuple[tuple[Sequence[Object], int], ...] = (
        (given, most // 4), (by_goal, most // 4), (best, most // 3), (list(reversed(fitting)), most // 8),
        (untried, most // 6), (list(lineages.values()), most), (best, most),
    )  # fmt: skip
    for group, share in groups:
        fresh = [obj for obj in dict.fromkeys(o.id for o in group) if obj not in picked]
        by_id = {obj.id: obj for obj in group}
        picked.update((i, by_id[i]) for i in fresh[: min(share, most - len(picked))])
    return [obj for obj in fitting if obj.id in picked]


def _score(state: State, object_id: ObjectId, task: str) -> float:
    return next((s.value for s in state.scores.get(object_id, ()) if s.task == task), float("-inf"))
