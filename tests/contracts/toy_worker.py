"""A worker process as `lamdagent.study.worker` is one, but over the toy world, with actions that break it on purpose."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lamdagent.core.action_type import Context
from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.study import worker
from lamdagent.testing import toy


def halt(error: Exception) -> None:
    raise error


MISHAPS: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda: time.sleep(600),
    "memory": lambda: halt(MemoryError()),
    "full": lambda: halt(OSError(28, "No space left on device")),
    "user": lambda: halt(UserError("mend this first")),
    "breach": lambda: halt(ContractViolation("a plugin did this")),
}


class Mishap:
    """Does what its seed says."""

    name, version = "mishap", 1
    makes: Kind = "model"
    slots = (Slot(name="model", kind="model"),)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        print("about to fail", flush=True)
        MISHAPS[list(MISHAPS)[seed]]()
        return {}


if __name__ == "__main__":
    worker._open = lambda request: toy.toolkit({**toy.DATA_ACTION_TYPES, "nap": toy.ToyNap(), "mishap": Mishap()})
    worker.main()
