"""A plan: the steps of one or several pipelines, with inputs by name, to be done in another study.

As data it is what `pipeline.to_data` writes and `pipeline.yaml` holds. Nothing of a plan is an id: what is provided is
found in a study by its name, and what is made by the step that makes it, so a plan can be done on other data, on
another base model, or elsewhere. Where a plan stands is a function of a study's state (`follow`) and is kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lamdagent.core.errors import ConfigError
from lamdagent.core.format import fault
from lamdagent.core.pipeline import Pipeline, pipeline_of, to_data
from lamdagent.core.space import ActionSpace, is_for
from lamdagent.core.state import State
from lamdagent.core.types import Action, Failed, ObjectId


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One action of a plan: the name of what it makes, its type, the names of its inputs by slot, and by how much its seed
    of training is above the study's own: 1 for the first repeat of an action."""

    make: str
    action: str
    inputs: Mapping[str, tuple[str, ...]]
    again: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for group in self.inputs.values() for name in group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Steps in an order in which they can be done, what they start from, and which of what they make is wanted.

    `objects` are the provided ones by their name in the plan; where an entry has a `name`, the study calls it so.
    """

    results: tuple[str, ...]
    objects: Mapping[str, Mapping[str, Any]]
    steps: tuple[PlanStep, ...]

    @classmethod
    def of(cls, data: Mapping[str, Any], source: str) -> Plan:
        """Read a plan from data.

        Raises:
            ConfigError: it is none; `source` says where it was read.
        """
        try:
            steps = tuple(
                PlanStep(
                    make=_text(step["make"]),
                    action=_text(step["action"]),
                    inputs={slot: tuple(map(str, names)) for slot, names in step["inputs"].items()},
                    again=_again(data.get("seed"), step.get("seed")),
                )
                for step in data["steps"]
            )
            objects = {str(name): dict(leaf) for name, leaf in data["objects"].items()}
            results = tuple(map(str, data["results"] if "results" in data else [data["result"]]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"{source}: not a pipeline: it needs result, objects and steps, each step with make, action and inputs "
                f"({type(error).__name__}: {error}). Write one with: lamdagent export STUDY best --to FOLDER"
            ) from error
        known = set(objects)
        for step in steps:
            if not step.names:
                raise ConfigError(f"{source}: step {step.make!r} takes nothing: its inputs are empty.")
            if missing := [name for name in step.names if name not in known]:
                raise ConfigError(f"{source}: step {step.make!r} takes {missing[0]!r}, which nothing before it makes.")
            known.add(step.make)
        if missing := [name for name in results if name not in known]:
            raise ConfigError(f"{source}: the result {missing[0]!r} is made by no step.")
        return cls(results=results, objects=objects, steps=steps)

    def used(self, kind: str) -> list[str]:
        """The names, in a study, of the provided objects of a kind."""
        return [self.called(name) for name, leaf in self.objects.items() if leaf.get("kind") == kind]

    def called(self, name: str) -> str:
        """What a study calls a provided object of the plan."""
        return str(self.objects[name].get("name", name))


def _again(own: Any, seed: Any) -> int:
    """Raises: TypeError: a seed is no whole number."""
    for one in (own, seed):
        if one is not None and not (isinstance(one, int) and not isinstance(one, bool)):
            raise TypeError(f"a seed is a whole number, not {one!r:.40}")
    return 0 if own is None or seed is None else max(0, seed - own)


def _text(value: Any) -> str:
    """Raises: TypeError: it is no text."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, not {value!r:.40}")
    return value


def plan_data(state: State, wanted: Iterable[ObjectId | Pipeline]) -> dict[str, Any]:
    """The plan, as data, that makes these models of a study again, in the order in which the study made them."""
    pipelines = [one if isinstance(one, Pipeline) else pipeline_of(state, one) for one in wanted]
    return {"seed": state.seed, **to_data(*pipelines, order=state.pool)}


def plan_of_trials(state: State) -> Plan:
    """All that a study did, also what failed: the plan of repeating it."""
    names = {obj.id: obj.name for obj in state.pool.values()}
    names |= {t.choice.action.id: f"trial-{t.number}" for t in state.trials if t.choice.action.id not in names}
    steps = [
        PlanStep(
            make=names[action.id],
            action=action.type,
            inputs={slot: tuple(names[i] for i in ids) for slot, ids in action.inputs.items()},
            again=max(0, action.seed - state.seed),
        )
        for action in (trial.choice.action for trial in state.trials)
    ]
    provided = {obj.name: {"kind": obj.kind} for obj in state.pool.values() if obj.made_by is None}
    return Plan(results=tuple(step.make for step in steps), objects=provided, steps=tuple(steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """Where a plan stands in a study: ids by name of what is there, what can be done now, and why the rest never can.

    What is neither waits for a step that is not done yet.
    """

    ids: Mapping[str, ObjectId] = field(default_factory=dict)
    ready: Sequence[tuple[PlanStep, Action]] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)


def follow(plan: Plan, state: State, space: ActionSpace) -> PlanStatus:
    """Hold a plan against a study. The same step of two pipelines is one action, and so is done once."""
    ids: dict[str, ObjectId] = {}
    unreachable: dict[str, str] = {}
    ready: dict[ObjectId, tuple[PlanStep, Action]] = {}
    made_here = {step.make for step in plan.steps}
    waiting: set[str] = set()
    for step in plan.steps:
        if step.action not in space.types:
            unreachable[step.make] = f"this study has no action type {step.action!r}"
        elif gone := [name for name in step.names if name in unreachable]:
            reason = unreachable[gone[0]]
            unreachable[step.make] = reason if reason.startswith("it needs ") else f"it needs {gone[0]}: {reason}"
        elif waiting.intersection(step.names):
            waiting.add(step.make)
        else:
            inputs, missing = _inputs(plan, step, state, space, ids, made_here)
            if missing:
                unreachable[step.make] = missing
                continue
            action, refusal = _feasible(step, inputs, state, space)
            if (number := state.tried.get(action.id)) is not None:
                outcome = state.trials[number].outcome
                if isinstance(outcome, Failed):
                    unreachable[step.make] = f"it {fault(outcome)}: {outcome.message}"
                elif outcome is None:
                    waiting.add(step.make)
                else:
                    ids[step.make] = action.id
            elif refusal is not None:
                unreachable[step.make] = f"it cannot be done: {refusal}"
            else:
                ready.setdefault(action.id, (step, action))
                waiting.add(step.make)
    provided = {obj.name: obj.id for obj in state.pool.values() if obj.made_by is None and obj.kind == "model"}
    ids |= {
        name: provided[leaf.get("name", name)]
        for name, leaf in plan.objects.items()
        if leaf.get("name", name) in provided
    }
    return PlanStatus(ids=ids, ready=tuple(ready.values()), unreachable=unreachable)


def _inputs(
    plan: Plan, step: PlanStep, state: State, space: ActionSpace, ids: Mapping[str, ObjectId], made_here: set[str]
) -> tuple[dict[str, list[ObjectId]], str | None]:
    """A step's inputs as ids, or what this study lacks."""
    slots = {slot.name: slot for slot in space.types[step.action].slots}
    provided, inputs = [obj for obj in state.pool.values() if obj.made_by is None], {}
    for slot, names in step.inputs.items():
        # Also what the slot does not accept: the refusal of the action then says why.
        here = {o.name: o.id for o in provided if slot in slots and is_for(o, step.action, slots[slot])}
        called = {name: plan.called(name) for name in names if name not in made_here}
        for own in called.values() if slot in slots and slots[slot].kind == "hyperparameters" else ():
            try:
                varied = space.setting(step.action, own)
            except ValueError as error:
                return {}, f"{own}: {error}"
            here |= {} if varied is None else {own: varied.id}
        if missing := [name for name, own in called.items() if own not in here]:
            kind = plan.objects[missing[0]].get("kind", "object")
            return {}, f"this study has no {kind} {called[missing[0]]!r} for slot {slot!r} of {step.action}"
        inputs[slot] = [here[called[name]] if name in called else ids[name] for name in names]
    return inputs, None


def _feasible(
    step: PlanStep, inputs: Mapping[str, Sequence[ObjectId]], state: State, space: ActionSpace
) -> tuple[Action, str | None]:
    """The action of these inputs and why it is refused; where the given order is refused, the one by id is tried."""
    given, by_id = (
        replace(action, seed=action.seed + step.again)
        for action in (
            space.action(step.action, inputs),
            space.action(step.action, {slot: sorted(ids) for slot, ids in inputs.items()}),
        )
    )
    for action in (given, by_id):
        if action.id in state.tried or space.why_invalid(action) is None:
            return action, None
    return given, space.why_invalid(given)
