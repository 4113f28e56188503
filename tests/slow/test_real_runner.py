"""The contract of a runner over the real one: worker processes that train and score the tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

import lamdagent
from lamdagent.core.jobs import Job, Prepared, PrepareRequest
from lamdagent.core.types import Action, Object
from lamdagent.runners.prepare import prepare
from lamdagent.runners.process import Process
from lamdagent.study.parts import StudyParts
from lamdagent.testing.contracts.runner import RunnerLifeContract

pytestmark = pytest.mark.slow

TASK = "{task: reverse, path: tasks/reverse.validation.jsonl, limit: 4, max_new_tokens: 6}"
FOREVER = "{learning_rate: 1e-3, per_device_train_batch_size: 1, num_train_epochs: 100000}"
SMALL = [
    "datasets.reverse.limit=16",
    "-datasets.call",
    f"tasks=[{TASK}]",
    f"actions.sft.hyperparameters.forever={FOREVER}",
]


class TestProcess(RunnerLifeContract):
    within_s = 240.0  # the first job of a worker waits for torch

    @pytest.fixture(autouse=True)
    def _open(self, study: Path) -> None:
        with lamdagent.open_study(lamdagent.load_study(study, SMALL), inline=True) as opened:
            self.parts = opened.parts
            self.pool = tuple(opened.search.state.pool.values())

    def runner(self, folder: Path, *, capacity: int = 1) -> Process:
        return Process(self.parts.worker_spec, logs=folder / "logs", capacity=capacity)

    def jobs(self, count: int) -> list[Job]:
        return [self.job(number, "firm", seed=number) for number in range(count)]

    def long_job(self) -> Job:
        return self.job("long", "forever")

    def request(self) -> tuple[PrepareRequest, Prepared]:
        request = PrepareRequest(datasets={"reverse": self.named("reverse").id})
        return request, prepare(request, StudyParts(self.parts.study).toolkit)

    def job(self, key: int | str, setting: str, seed: int = 0) -> Job:
        inputs = {"model": "base", "dataset": "reverse", "hyperparameters": setting}
        filled = {slot: (self.named(name).id,) for slot, name in inputs.items()}
        action = Action(type="sft", version=self.parts.action_types["sft"].version, inputs=filled, seed=seed)
        return Job(key=key, action=action, objects=self.pool)

    def named(self, name: str) -> Object:
        return next(obj for obj in self.pool if obj.name == name)
