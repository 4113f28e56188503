"""A world in which sets of datasets and amounts of training decide, small enough for thousands of searches.

A model is a level in [0, 1] for each skill. Training moves the levels of the skills that its rows are about towards the
share of these rows that is right, the nearer the more passes; skills that no row is about fade a little. A learning
rate beyond what the model bears destroys all levels. A dataset may be right, wrong, or about nothing that is scored.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from lamdagent.core.action_type import ActionType, Context
from lamdagent.core.budget import Budget
from lamdagent.core.config import Config
from lamdagent.core.events import Event, ObjectAdded, StudyOpened
from lamdagent.core.observers import Observers
from lamdagent.core.protocols import Journal, Policy
from lamdagent.core.settings import Free, Freedom, setting_object
from lamdagent.core.state import State
from lamdagent.core.training import NO_TRAINING, Training
from lamdagent.core.types import ALL, SIDES, Example, Kind, Object, Slot, Split, TaskWeight, content_id
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.runners.job import Toolkit
from lamdagent.testing import toy

ITEMS = 200
SKILLS = ("reverse", "sort", "call", "facts")
RATES = {"gentle": 2e-4, "firm": 1e-3, "harsh": 8e-3}
BEARS = 4e-3  # the learning rate from which on training destroys
HALF = 400.0  # rows of a skill, at the firm rate, that bring a level half of its way
FADES = 6000.0  # rows about other skills that leave 1/e of what a level is above nothing
FREE = Free(num_train_epochs=[0.05, 8], learning_rate=[1e-5, 1e-2])


class MixSetting(Config):
    """How `mix` trains."""

    learning_rate: float = Field(1e-3, gt=0)
    num_train_epochs: float = Field(1.0, gt=0)
    max_steps: int = -1


class Mix:
    """Train a model on a mixture."""

    name, version = "mix", 1
    makes: Kind = "model"
    slots = (
        Slot(name="model", kind="model"),
        Slot(name="dataset", kind="dataset", at_most=ALL),
        Slot(name="hyperparameters", kind="hyperparameters"),
    )

    def __init__(self, free: Free = FREE) -> None:
        self.freedom = Freedom(bounds=free, of=MixSetting)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        (setting,) = inputs["hyperparameters"]
        rows = setting.setting["values"]["num_train_epochs"] * sum(d.dataset["rows"] for d in inputs["dataset"])
        return Training(rows=math.ceil(rows), tokens=math.ceil(10 * rows), flops=60_000.0 * rows)

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (model,), datasets, (setting,) = inputs["model"], inputs["dataset"], inputs["hyperparameters"]
        values = setting.setting["values"]
        rate, epochs = values["learning_rate"], values["num_train_epochs"]
        rows = epochs * sum(d.dataset["rows"] for d in datasets)
        luck = random.Random(content_id([model.id, [d.id for d in datasets], setting.id, seed]))
        ctx.trained(rows=math.ceil(rows), tokens=math.ceil(10 * rows), parameters=1000)
        levels = []
        for k, level in enumerate(model.meta["levels"]):
            about = [(d.dataset["rows"] * d.meta["about"][k], d.meta["right"][k]) for d in datasets]
            seen = sum(n for n, _ in about) * epochs
            right = sum(n * share for n, share in about) / max(sum(n for n, _ in about), 1e-9)
            speed = min(rate / 1e-3, 2.0) * (1.0 if rate < BEARS else 0.0)
            level = level * math.exp(-(rows - seen) / FADES * min(rate / 1e-3, 4.0))
            level += (right - level) * (1 - 0.5 ** (seen * speed / HALF))
            level = level * (1.0 if rate < BEARS else 0.1) + luck.gauss(0, 0.01)
            levels.append(min(max(level, 0.0), 1.0))
        return {"levels": levels, "root": model.meta["root"], "parameters": 1000}


class LevelTask(toy.ToyTask):
    """Asks 200 items, of which a model gets those right that are easier than its level."""

    items = ITEMS

    def __init__(self, k: int) -> None:
        self.name, self._k = SKILLS[k], k
        self.ids = {side: content_id([self.name, side]) for side in SIDES}
        self._hardness = {side: [random.Random(f"{k}{side}{i}").random() for i in range(ITEMS)] for side in SIDES}

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        level = model.meta["levels"][self._k]
        return [float(item < level) for item in self._hardness[split][: n or ITEMS]]

    def examples(self, n: int, loaded: Any) -> Sequence[Example]:
        return []


class MixMean(toy.ToyMean):
    """Merge models into the mean of their levels."""

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        return NO_TRAINING

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        models = inputs["models"]
        levels = [sum(ls) / len(ls) for ls in zip(*(m.meta["levels"] for m in models), strict=True)]
        return {"levels": levels, "root": models[0].meta["root"], "parameters": 1000}


ACTION_TYPES: Mapping[str, ActionType] = {"mix": Mix(), "mean": MixMean()}
TASKS = tuple(LevelTask(k) for k in range(len(SKILLS)))
GOALS = tuple(TaskWeight(task=skill) for skill in SKILLS)


def data(name: str, rows: int, about: Mapping[str, float], right: float = 1.0) -> Object:
    """A dataset: which share of its rows is about each skill, and which share of those is right."""
    meta = {"rows": rows, "format": "prompt_completion", "about": [about.get(s, 0.0) for s in SKILLS]}
    meta["right"] = [right] * len(SKILLS)
    return Object(id=content_id(["dataset", name, meta]), kind="dataset", name=name, uri=name, meta=meta)


CLEAN = (
    *(data(skill, 1200, {skill: 1.0}) for skill in SKILLS),
    data("words", 1200, {}),
    data("general", 1200, dict.fromkeys(SKILLS, 0.1)),
)
CONFLICT = (
    *(data(skill, 500, {skill: 1.0}) for skill in SKILLS),
    *(data(f"{skill}_wrong", 700, {skill: 1.0}, right=0.0) for skill in SKILLS),
    data("general", 1200, dict.fromkeys(SKILLS, 0.1)),
)


def first_events(
    datasets: Sequence[Object] = CLEAN, *, seed: int = 0, levels: float = 0.3, rates: Mapping[str, float] = RATES
) -> tuple[Event, ...]:
    """How a study of mixtures begins: a base model, datasets, settings."""
    base_id = content_id(["model", "base", levels])
    base = Object(
        id=base_id, kind="model", name="base", uri="base",
        meta={"levels": [levels] * len(SKILLS), "root": base_id, "parameters": 1000},
    )  # fmt: skip
    settings = [setting_object("mix", name, MixSetting(learning_rate=rate)) for name, rate in rates.items()]
    config = {"study": "mixtures", "seed": seed}
    opened = StudyOpened(config=config, seed=seed, goals=GOALS)
    return (opened, *(ObjectAdded(object=obj) for obj in (base, *datasets, *settings)))


def search(
    policy: Policy,
    datasets: Sequence[Object] = CLEAN,
    *,
    budget: Budget,
    seed: int = 0,
    capacity: int = 1,
    rates: Mapping[str, float] = RATES,
    free: Free = FREE,
    journal: Journal | None = None,
) -> State:
    """Run a policy on a study of mixtures, a new one where no journal is given, to the end of its budget."""
    from lamdagent.core.search import Search, run
    from lamdagent.memories.table import Table
    from lamdagent.runners.inline import Inline
    from lamdagent.study.journal import MemoryJournal

    journal = journal or MemoryJournal(*first_events(datasets, seed=seed, rates=rates))
    types = {**ACTION_TYPES, "mix": Mix(free)}
    loop = Search(journal=journal, action_types=types, policy=policy, memory=Table(), budget=budget)
    return run(loop, Inline(toolkit(types), capacity=capacity), Observers())


def toolkit(action_types: Mapping[str, ActionType] = ACTION_TYPES) -> Toolkit:
    """What runs jobs of this world in this process."""
    return Toolkit(
        action_types=action_types,
        evaluation=Evaluation(tasks=TASKS, goals=GOALS),
        artifacts=toy.Unwritten(),
        models=None,
        locate=toy.toolkit().locate,
    )
