"""States of prompts: one of very many models, and one with sets of datasets, amounts, descriptions and samples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from lamdagent.core.budget import Budget
from lamdagent.core.events import Asked, Event, StudyOpened, Told
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Choice, Made, Object, Score
from lamdagent.policies.random import Random
from lamdagent.testing import mixtures, toy


def many_models(n: int) -> State:
    """A toy study with so many trained models, in chains, without a search: that would take minutes."""
    state, rng = toy.grown(0), random.Random(0)
    settings = [o for o in state.of_kind("hyperparameters") if o.name != "wild"]
    models: list[Object] = list(state.of_kind("model"))
    space = ActionSpace(state, toy.ACTION_TYPES)

    def events() -> Iterator[Event]:
        for number in range(n):
            model, dataset, setting = (
                rng.choice(models[-20:]),
                rng.choice(state.of_kind("dataset")),
                rng.choice(settings),
            )
            inputs = {"model": [model.id], "dataset": [dataset.id], "hyperparameters": [setting.id]}
            action = replace(space.action("step", {}), inputs={slot: tuple(ids) for slot, ids in inputs.items()})
            if any(m.id == action.id for m in models):
                action = replace(action, seed=number)
            made = Object(
                id=action.id,
                kind="model",
                name=f"model-{number}",
                made_by=action.id,
                meta={**model.meta, "x": [number / n, 0.0]},
            )
            models.append(made)
            values = [rng.random() for _ in toy.GOALS]
            scores = tuple(
                Score(task=g.task, split="validation", value=v, n=50, stderr=0.06)
                for g, v in zip(toy.GOALS, values, strict=True)
            )
            yield Asked(number=number, choice=Choice(action=action, reason="drawn", by="test"))
            yield Told(number=number, outcome=Made(object=made, scores=scores))

    return reduce_events(events(), state)


def mixture(trials: int = 8) -> State:
    """A study in which steps take several datasets and free amounts, and whose file describes datasets and tasks."""
    state = mixtures.search(Random(), budget=Budget(trials=trials))
    config = {
        "datasets": {"facts": {"about": "Capitals of the world."}, "words": {"about": None}},
        "tasks": [{"task": "facts", "about": "Which city is the capital?"}],
    }
    prompts = {"facts": ("Capital of France?", "Capital of Peru?"), "sort": ("sort: " + "cba " * 200,)}
    opened = StudyOpened(config=config, seed=0, goals=state.goals, prompts=prompts)
    pool = {
        i: replace(o, meta={**o.meta, "samples": [f"{o.name}? → yes"], "affinity": {"facts": 0.3, "sort": 0.1}})
        if o.kind == "dataset"
        else o
        for i, o in state.pool.items()
    }
    return reduce_events([opened], replace(state, pool=pool))
