"""A world small enough to search in milliseconds: models are points in the plane, tasks are distances.

`step` moves a model by a dataset's vector times a setting's rate; a point that leaves the world has diverged, and its
trial fails. `mean` merges two or three models. Nothing here is random, and nothing touches the disk:

    state = search(MyPolicy(), trials=20)

or, with every part in your own hands:

    open_toy(journal)
    loop = Search(journal=journal, action_types=ACTION_TYPES, policy=MyPolicy(), memory=Table())
    state = run(loop, Inline(toolkit()))

`makes_data=True` adds `blend`, which makes the dataset halfway between two others: what a search does with it shows in
the models that are trained on it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import ActionType, Context
from lamdagent.core.budget import Budget
from lamdagent.core.errors import Diverged
from lamdagent.core.events import Asked, Event, ObjectAdded, StudyOpened
from lamdagent.core.jobs import Progress
from lamdagent.core.observers import Observers
from lamdagent.core.protocols import Journal, Observer, Policy, Runner, Task
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.training import NO_TRAINING, Training, training_flops
from lamdagent.core.types import (
    SIDES,
    Cost,
    Example,
    Failed,
    Kind,
    Object,
    ObjectId,
    Outcome,
    Score,
    Slot,
    Split,
    TaskWeight,
    content_id,
)
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.runners.job import Toolkit

Watch = Callable[[int | str, Progress], None]
EDGE = 2.5  # a coordinate beyond it has diverged
ITEMS = 50
TOKENS_PER_ROW = 10  # a row has one, and a setting may say `epochs`
PARAMETERS = 2
NAP_S = 60.0
TEST_SHIFT = 0.1  # how far the test side's target lies from that of validation
STARTS = {"base": (0.0, 0.0), "other": (-1.0, 1.0), "third": (1.0, -1.0)}
DATASETS = {"east": (1.0, 0.0), "north": (0.0, 1.0), "south-west": (-0.5, -0.5)}
RATES = {"slow": 0.5, "fast": 1.0, "wild": 4.0}


def moves(dataset: Object) -> str | None:
    """Why `step` does not take a dataset; None if it does."""
    return None if any(dataset.meta["x"]) else f"dataset {dataset.name!r} moves nothing"


class ToyStep:
    """Move a model by a dataset's vector times the setting's rate."""

    name, version = "step", 1
    makes: Kind = "model"
    slots: tuple[Slot, ...] = (
        Slot(name="model", kind="model"),
        Slot(name="dataset", kind="dataset", accepts=moves),
        Slot(name="hyperparameters", kind="hyperparameters"),
    )

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        (dataset,), (setting,) = inputs["dataset"], inputs["hyperparameters"]
        rows = dataset.meta["rows"] * setting.meta["values"].get("epochs", 1)
        tokens = TOKENS_PER_ROW * rows
        return Training(rows=rows, tokens=tokens, flops=training_flops(PARAMETERS, tokens))

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (model,), (dataset,), (setting,) = inputs["model"], inputs["dataset"], inputs["hyperparameters"]
        rate = setting.meta["values"]["rate"]
        x = [a + rate * b for a, b in zip(model.meta["x"], dataset.meta["x"], strict=True)]
        training = self.cost(inputs)
        ctx.trained(rows=training.rows or 0, tokens=training.tokens, parameters=PARAMETERS)
        ctx.progress("train", 1, 1, loss=math.hypot(*x))
        if max(map(abs, x)) > EDGE:
            raise Diverged(f"the point is at {x}, beyond {EDGE}; try a lower rate")
        return {"x": x, "root": model.meta["root"]}


class ToyMean:
    """Merge two or three models that descend from one base into the point between them."""

    name, version = "mean", 1
    makes: Kind = "model"
    slots = (Slot(name="models", kind="model", at_least=2, at_most=3),)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        models = inputs["models"]
        if len({model.meta["root"] for model in models}) > 1:
            return f"{', '.join(model.name for model in models)} do not descend from one base model"
        if all(model.meta["x"] == models[0].meta["x"] for model in models):
            return f"{', '.join(model.name for model in models)} are the same point"
        return None

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        return NO_TRAINING

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        models = inputs["models"]
        ctx.progress("merge", 1, 1)
        x = [math.fsum(axis) / len(models) for axis in zip(*(model.meta["x"] for model in models), strict=True)]
        return {"x": x, "root": models[0].meta["root"]}


class ToyBlend:
    """Make the dataset halfway between two others."""

    name, version = "blend", 1
    makes: Kind = "dataset"
    slots = (Slot(name="datasets", kind="dataset", at_least=2, at_most=2),)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        first, second = inputs["datasets"]
        if first.meta["x"] == second.meta["x"]:
            return f"{first.name} and {second.name} are the same vector"
        return None

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        return NO_TRAINING

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        datasets = inputs["datasets"]
        ctx.progress("blend", 1, 1)
        x = [math.fsum(axis) / len(datasets) for axis in zip(*(d.meta["x"] for d in datasets), strict=True)]
        return _vector_meta(x)


class ToyNap:
    """Make a dataset after a long sleep: a job that runs until somebody stops it."""

    name, version = "nap", 1
    makes: Kind = "dataset"
    slots = (Slot(name="dataset", kind="dataset"),)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        ctx.progress("nap", 0)
        time.sleep(NAP_S)
        return _vector_meta(inputs["dataset"][0].meta["x"])


class ToyOpen:
    """An action type with any slots, which admits everything and is never executed."""

    name, version = "open", 1
    makes: Kind = "model"

    def __init__(self, *slots: Slot) -> None:
        self.slots = slots

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        raise NotImplementedError


class ToyTask:
    """Score a model by how near its point lies to a target: 1 on it, and 1/2 at a distance of 1."""

    items = ITEMS

    def __init__(self, name: str, target: tuple[float, float]) -> None:
        self.name, self._target = name, target
        self.ids: Mapping[Split, str] = {side: content_id([name, target, side]) for side in SIDES}

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        shift = TEST_SHIFT if split == "test" else 0.0
        target = [axis + shift for axis in self._target]
        value = 1 / (1 + math.dist(model.meta["x"], target) ** 2)
        spread = math.sqrt(value * (1 - value))  # that of items which are right or wrong
        return [value + spread * (-1) ** i for i in range(min(n or ITEMS, ITEMS))]

    has_test = True

    def check(self) -> None:
        """Nothing can be wrong with it."""

    def to_fetch(self) -> str | None:
        return None

    def about(self) -> str:
        return f"{self.items} items"

    def sizes(self) -> dict[Split, int]:
        return {"validation": self.items, "test": self.items}

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        yield from ((i, f"{self.name} {split} item {i}", "") for i in range(self.items))

    def examples(self, n: int, loaded: Any) -> Sequence[Example]:
        return [Example(prompt=prompt) for _, prompt, _ in itertools.islice(self.documents("validation"), n)]


ACTION_TYPES: Mapping[str, ActionType] = {"step": ToyStep(), "mean": ToyMean()}
DATA_ACTION_TYPES: Mapping[str, ActionType] = {**ACTION_TYPES, "blend": ToyBlend()}
TASKS: tuple[Task, ...] = (ToyTask("near-east", (1.5, 0.5)), ToyTask("near-north", (0.5, 1.5)))
GOALS = (TaskWeight(task="near-east", weight=2.0), TaskWeight(task="near-north"))


def point(name: str, x: Sequence[float], *, root: ObjectId | None = None) -> Object:
    """A model that the user provided; its own root unless another is named."""
    object_id = content_id(["model", name, list(x)])
    return Object(id=object_id, kind="model", name=name, uri=name, meta={"x": list(x), "root": root or object_id})


def vector(name: str, x: Sequence[float]) -> Object:
    """A dataset: where training on it moves a model."""
    object_id = content_id(["dataset", name, list(x)])
    return Object(id=object_id, kind="dataset", name=name, uri=name, meta=_vector_meta(x))


def _vector_meta(x: Sequence[float]) -> dict[str, Any]:
    return {"x": list(x), "rows": 1, "format": "vector"}


def rate(name: str, value: float, *, action: str = "step") -> Object:
    """A hyperparameter setting: how far `step` moves."""
    meta = {"action": action, "values": {"rate": value}}
    return Object(id=content_id(["hyperparameters", meta]), kind="hyperparameters", name=name, meta=meta)


def first_events(*, seed: int = 0, models: int = 1, makes_data: bool = False) -> tuple[Event, ...]:
    """How a toy study begins: up to three base models, three datasets, three settings."""
    objects = [
        *(point(name, x) for name, x in list(STARTS.items())[:models]),
        *(vector(name, x) for name, x in DATASETS.items()),
        *(rate(name, value) for name, value in RATES.items()),
    ]
    config: dict[str, Any] = {"study": "toy", "seed": seed}
    if makes_data:
        config["actions"] = list(DATA_ACTION_TYPES)
    opened = StudyOpened(config=config, seed=seed, goals=GOALS)
    return (opened, *(ObjectAdded(object=obj) for obj in objects))


def open_toy(journal: Journal, *, seed: int = 0, models: int = 1, makes_data: bool = False) -> None:
    """Begin a toy study in a journal that is empty; leave one that has begun as it is."""
    if next(iter(journal.read()), None) is None:
        journal.append(*first_events(seed=seed, models=models, makes_data=makes_data))


def action_types(state: State) -> Mapping[str, ActionType]:
    """The action types of a toy study: those that its config names, else `step` and `mean`."""
    names = state.config.get("actions", ACTION_TYPES)
    return {name: DATA_ACTION_TYPES[name] for name in names}


def space(state: State) -> ActionSpace:
    """What can be done in a toy study now."""
    return ActionSpace(state, action_types(state))


class Unwritten:
    """Artifacts in memory: an object of the toy world is all in its `meta`, so there are no files.

    It outlives a search as a disk does: a job whose action is in `records` is not executed again.
    """

    root = Path()

    def __init__(self) -> None:
        self.records: dict[ObjectId, dict[str, Any]] = {}

    def open(self, object_id: ObjectId) -> Path:
        return self.root / object_id

    def record(self, object_id: ObjectId) -> dict[str, Any] | None:
        return self.records.get(object_id)

    @contextlib.contextmanager
    def write(self, object_id: ObjectId, record: dict[str, Any]) -> Iterator[Path]:
        yield self.root
        self.records[object_id] = record

    def remove(self, object_id: ObjectId, *, scores: bool = True) -> None:
        self.records.pop(object_id, None)

    def values(self, object_id: ObjectId, score: Score) -> list[float] | None:
        return None

    def sweep(self) -> None:
        """Nothing is ever half written."""

    def damaged(self, object_id: ObjectId) -> list[str]:
        return [] if object_id in self.records else [f"{object_id}: missing"]


def toolkit(action_types: Mapping[str, ActionType] = {**DATA_ACTION_TYPES, "nap": ToyNap()}) -> Toolkit:
    """What `lamdagent.runners.job.work`, and so `lamdagent.runners.inline.Inline`, needs to run toy jobs."""
    return Toolkit(
        action_types=action_types,
        evaluation=Evaluation(tasks=TASKS, goals=GOALS),
        artifacts=Unwritten(),
        models=None,
        locate=lambda obj: Path(obj.uri),
    )


def inline(*, capacity: int = 1, watch: Watch = lambda key, progress: None) -> Runner:
    """Runs toy jobs in this process, one at each `wait`."""
    from lamdagent.runners.inline import Inline

    return Inline(toolkit(), capacity=capacity, watch=watch)


def search(
    policy: Policy,
    *,
    trials: int,
    seed: int = 0,
    models: int = 1,
    makes_data: bool = False,
    runner: Runner | None = None,
    observers: Sequence[Observer] = (),
) -> State:
    """Run a policy on a new toy study to the end of its budget."""
    from lamdagent.core.search import Search, run
    from lamdagent.memories.table import Table
    from lamdagent.study.journal import MemoryJournal

    journal = MemoryJournal(*first_events(seed=seed, models=models, makes_data=makes_data))
    types = DATA_ACTION_TYPES if makes_data else ACTION_TYPES
    loop = Search(journal=journal, action_types=types, policy=policy, memory=Table(), budget=Budget(trials=trials))
    return run(loop, runner or inline(), Observers(observers))


def grown(trials: int, *, seed: int = 0, models: int = 1, running: int = 0, makes_data: bool = False) -> State:
    """The state of a toy study after some random trials, and with some more that are running."""
    state: State = pickle.loads(_grown(trials, seed, models, makes_data))
    if not running:
        return state
    from lamdagent.policies.random import Random

    choices = Random().select(state, space(state), running)
    return reduce_events((Asked(number=trials + i, choice=choice) for i, choice in enumerate(choices)), state)


@lru_cache(maxsize=64)
def _grown(trials: int, seed: int, models: int, makes_data: bool) -> bytes:
    # Pickled, so that whoever changes what it is given spoils nothing for the next one.
    from lamdagent.policies.random import Random

    return pickle.dumps(search(Random(), trials=trials, seed=seed, models=models, makes_data=makes_data))


def without_costs(state: State) -> State:
    """A state without what differs from run to run: seconds, bytes, and the paths in a failure's log."""
    trials = tuple(replace(trial, outcome=_without_cost(trial.outcome)) for trial in state.trials)
    llm_calls = tuple(replace(call, wall_s=0.0) for call in state.llm_calls)
    return replace(state, trials=trials, llm_calls=llm_calls, wall_s=0.0)


def _without_cost(outcome: Outcome | None) -> Outcome | None:
    if isinstance(outcome, Failed):
        return replace(outcome, log_tail="", cost=Cost())
    return outcome and replace(outcome, cost=Cost())


def close(thing: object) -> None:
    """Close what can be closed."""
    if callable(ends := getattr(thing, "close", None)):
        ends()
