"""Policies against each other on the tiny worlds at equal training rows, each step made by the bare loop.

    lamdagent init --template tiny-conflict conflict
    python benchmarks/searches.py conflict CACHE --policies screen,by-hand,random --seeds 3 --rows 36000
    python benchmarks/searches.py conflict CACHE --table          # all that was run, again as a table

The search is the product's own: its action space, its policies, its budget; only the jobs are done by `bare.py`, which makes
and scores a model in a fraction of the time. The seed is that of the search and of training. By hand may spend its whole
list. A search's pick is the leader on validation; the table has its objective on validation and on the sealed test, at half
of the rows and at all.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any, cast

from bare import BASE, Model, Sft, Ties, World

import lamdagent
from lamdagent.core.budget import Budget
from lamdagent.core.errors import Diverged
from lamdagent.core.events import ObjectAdded, StudyOpened
from lamdagent.core.jobs import Job
from lamdagent.core.protocols import Runner
from lamdagent.core.search import Search, run
from lamdagent.core.settings import EPOCHS, RATE
from lamdagent.core.state import State
from lamdagent.core.types import Action, Cost, Failed, Made, Object, Outcome, Score, TaskWeight
from lamdagent.evaluation.evaluator import score_of
from lamdagent.memories.table import Table
from lamdagent.objects.models.metadata import inherited
from lamdagent.policies.moves import trains
from lamdagent.study import registry
from lamdagent.study.initial_pool import load_pool
from lamdagent.study.journal import MemoryJournal
from lamdagent.study.parts import StudyParts


@dataclass
class Bare:
    """Does a search's jobs one at a time, by the bare loop."""

    world: World
    types: Any
    capacity: int = 1

    def __post_init__(self) -> None:
        self._jobs: list[Job] = []
        self.models: dict[str, Model] = {}

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
        job, began = self._jobs.pop(0), time.monotonic()
        objects = {obj.id: obj for obj in job.objects}
        if job.action is None:
            self.models[job.objects[0].id] = BASE
            return [(job.key, Made(object=job.objects[0], scores=self._scores(BASE)))]
        type = self.types[job.action.type]
        inputs = {slot: [objects[i] for i in ids] for slot, ids in job.action.inputs.items()}
        cost = Cost(wall_s=time.monotonic() - began, training=type.cost(inputs))
        self.models[job.action.id] = model = self._model(job.action, inputs, trains(type))
        try:
            scores = self._scores(model)
        except Diverged as error:
            return [(job.key, Failed(cause="diverged", message=str(error), cost=cost))]
        parent = next(obj for group in inputs.values() for obj in group if obj.kind == "model")
        made = Object(id=job.action.id, kind="model", name="", made_by=job.action.id, meta=inherited(parent.model))
        return [(job.key, Made(object=made, scores=scores, cost=cost))]

    def _model(self, action: Action, inputs: dict[str, list[Object]], training: bool) -> Model:
        (setting,) = inputs["hyperparameters"]
        name, values = setting.setting.get("of", setting.name), setting.setting["values"]
        models = tuple(self.models[obj.id] for group in inputs.values() for obj in group if obj.kind == "model")
        if not training:
            return Ties(models, name)
        datasets = tuple(obj.name for obj in inputs["dataset"])
        return Sft(models[0], datasets, name, values[EPOCHS], values[RATE], seed=action.seed)

    def _scores(self, model: Model) -> tuple[Score, ...]:
        base = None if model is BASE else self.world.scores(BASE)
        return tuple(
            score_of(self._task(task), "validation", items, None if base is None else base[task])
            for task, items in self.world.scores(model).items()
        )

    def _task(self, name: str) -> Any:
        return SimpleNamespace(name=name, ids=self.world.tasks[name].ids, clusters=lambda split: None)


def searched(folder: Path, world: World, kind: str, seed: int, rows: int, trials: int) -> dict[str, Any]:
    """One search: its pick at every change, with the rows that were spent, and what was done."""
    study = lamdagent.load_study(folder / "study.yaml")
    goals = tuple(TaskWeight(task=c.task, weight=c.weight, max_score=c.max_score) for _, c in study.tasks)
    opened = StudyOpened(config=study.dump(), seed=seed, goals=goals, guards=tuple(study.guards))
    types = StudyParts(study).action_types
    journal = MemoryJournal(opened, *(ObjectAdded(object=obj) for obj in load_pool(study, {}).objects))
    policy = registry.find("policies", kind)
    budget = Budget(train_rows=None if kind == "by-hand" else rows, trials=trials)
    runner = Bare(world, types)
    loop = Search(journal=journal, action_types=types, policy=policy(), memory=Table(), budget=budget)
    state = run(loop, cast(Runner, runner))
    return {"policy": kind, "seed": seed, "trials": len(state.trials), **_picks(state, world, runner)}


def _picks(state: State, world: World, runner: Bare) -> dict[str, Any]:
    spent, best, curve = 0, -1.0, []
    for trial in state.trials:
        assert trial.outcome is not None
        spent += trial.outcome.cost.training.rows or 0
        value = state.objective(trial.choice.action.id)
        if value is not None and value.value > best and not state.broken(trial.choice.action.id):
            best = value.value
            curve.append([spent, best, world.objective(runner.models[trial.choice.action.id], "test")])
    leader = state.ranked()[0][0]
    trial_of_leader = state.trial_of(leader.id)
    return {
        "rows": spent,
        "curve": curve,
        "reason": trial_of_leader.choice.reason if trial_of_leader else "the base model",
        "done": [f"{t.choice.action.type} {_said(state, t.choice.action)}" for t in state.trials],
    }


def _said(state: State, action: Action) -> str:
    return " ".join("+".join(state.pool[i].name for i in ids) for ids in action.inputs.values())


def at(result: dict[str, Any], rows: float) -> tuple[float, float] | None:
    """Objective of the pick after so many rows, on validation and test."""
    found = [point for point in result["curve"] if point[0] <= rows]
    return (found[-1][1], found[-1][2]) if found else None


def table(results: Sequence[dict[str, Any]], rows: int) -> str:
    marks = (f"{rows // 2:,} rows", f"{rows:,} rows", "its end")
    lines = ["| policy | seeds | rows | " + " | ".join(f"{mark}: validation, test" for mark in marks) + " |"]
    lines.append("|---|---|---|---|---|---|")
    for policy in dict.fromkeys(r["policy"] for r in results):
        own = [r for r in results if r["policy"] == policy]
        cells = [_mean([at(r, mark) for r in own]) for mark in (rows / 2, rows, float("inf"))]
        lines.append(f"| {policy} | {len(own)} | {fmean(r['rows'] for r in own):,.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(picks: Sequence[tuple[float, float] | None]) -> str:
    known = [pick for pick in picks if pick is not None]
    if len(known) < len(picks) or not known:
        return "-"
    return ", ".join(map(_with_error, zip(*known, strict=True)))


def _with_error(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" + (f" ± {stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--policies", default="screen,by-hand,random")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=36_000)
    parser.add_argument("--trials", type=int, default=80, help="the most trials of a search: merges take no rows")
    parser.add_argument("--table", action="store_true", help="only show what was run")
    args = parser.parse_args()
    world = World(args.folder, cache=args.cache, weights=False)
    log = args.cache / f"{world.name}.jsonl"
    for seed in range(0 if args.table else args.seeds):
        for kind in args.policies.split(","):
            result = searched(args.folder, world, kind, seed, args.rows, args.trials)
            with log.open("a") as out:
                out.write(json.dumps(result) + "\n")
            print(kind, seed, f"{result['rows']:,} rows", at(result, args.rows), result["reason"], flush=True)
    print(table([json.loads(line) for line in log.read_text().splitlines()], args.rows))


if __name__ == "__main__":
    main()
