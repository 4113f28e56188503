"""A toy search with worker processes and artifacts on the disk, as a process that can be killed.

python toy_driver.py run FOLDER POLICY SLOTS      # the driver: goes on from where it was
python toy_driver.py worker                       # one of its workers
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import Context
from lamdagent.core.budget import Budget
from lamdagent.core.jobs import WorkerSpec
from lamdagent.core.protocols import Policy
from lamdagent.core.search import Search, run
from lamdagent.core.types import Object
from lamdagent.memories.table import Table
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.policies.evolution import Evolution
from lamdagent.policies.random import Random
from lamdagent.policies.screen.policy import Screen
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.policies.tpe import Tpe
from lamdagent.runners.job import Toolkit
from lamdagent.runners.process import Process
from lamdagent.study import worker
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy

TRIALS, STEP_S = 14, 0.15
POLICIES: dict[str, Callable[[], Policy]] = {
    "screen": Screen,
    "surrogate": lambda: Surrogate(candidates=500),
    "random": Random,
    "tpe": Tpe,
    "evolution": Evolution,
}


class SlowStep(toy.ToyStep):
    """A step that takes long enough to be killed in."""

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        time.sleep(STEP_S)
        return super().execute(inputs, seed, ctx)


def artifacts(folder: Path) -> LocalArtifacts:
    return LocalArtifacts(folder / "artifacts")


def opened(request: Any) -> Toolkit:
    types = {**toy.ACTION_TYPES, "step": SlowStep()}
    return replace(toy.toolkit(types), artifacts=artifacts(Path(request["open"]["study"]["folder"])))


def drive(folder: Path, policy: str, slots: int) -> None:
    artifacts(folder).sweep()
    spec = WorkerSpec(study={"folder": str(folder)}, file="study.yaml")
    command = [sys.executable, __file__, "worker"]
    runner = Process(spec, logs=folder / "logs", capacity=slots, command=command)
    with contextlib.closing(SqliteJournal(folder / "journal.sqlite", writer=True)) as journal:
        toy.open_toy(journal, seed=3, models=2)
        loop = Search(
            journal=journal,
            action_types=toy.ACTION_TYPES,
            policy=POLICIES[policy](),
            memory=Table(),
            budget=Budget(trials=TRIALS),
        )
        try:
            run(loop, runner)
        finally:
            runner.close()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        worker._open = opened
        worker.main()
    else:
        drive(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
