"""A worker process as `lamdagent.study.worker` is one, but over the toy world, with actions that break it on purpose."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lamdagent.core.action_type import ActionType, Context
from lamdagent.core.budget import Budget
from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.llm.chat import Reply
from lamdagent.runners.calls import CallFolder
from lamdagent.runners.job import Toolkit
from lamdagent.study import worker
from lamdagent.testing import toy
from lamdagent.testing.advised import ToyAdvised
from lamdagent.testing.fake_chat import FakeClient, fake_chat


def halt(error: Exception) -> None:
    raise error


def killed_once() -> None:
    """Killed in the first worker of a driver, and not in the next."""
    marker = Path(tempfile.gettempdir()) / f"mishap-of-{os.getppid()}"
    if marker.exists():
        marker.unlink()
    else:
        marker.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)


MISHAPS: dict[str, Callable[[], object]] = {
    "exit": lambda: os._exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "killed once": killed_once,
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
        return dict(inputs["model"][0].meta)


class KeyedClient(FakeClient):
    """Answers whoever has a key in the environment, and notes each question in a file."""

    def __init__(self, asked: str) -> None:
        super().__init__()
        self._file = Path(asked)

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        if not os.environ.get("TOY_LLM_KEY"):
            raise UserError("TOY_LLM_KEY is not set")
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{prompt}\n")
        return super().complete(system=system, prompt=prompt, schema=schema, max_tokens=max_tokens)


def opened(request: Any) -> Toolkit:
    """The toy world; with an action that asks, where the driver says where its answers are kept."""
    types: dict[str, ActionType] = {**toy.DATA_ACTION_TYPES, "nap": toy.ToyNap(), "mishap": Mishap()}
    study = request["open"]["study"]
    if "calls" not in study:
        return toy.toolkit(types)
    types["advised"] = ToyAdvised(fake_chat(KeyedClient(study["asked"]), budget=Budget(llm_tokens=study["tokens"])))
    return replace(toy.toolkit(types), calls=CallFolder(Path(study["calls"])))


if __name__ == "__main__":
    worker._open = opened
    worker.main()
