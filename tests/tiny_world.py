"""Fixtures: one tiny world for all tests that need a real model, and studies made from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

STUDY = """
study: slow
models:
  base: {path: models/base}
datasets:
  reverse: {path: data/reverse.jsonl, limit: 160}
  call: {path: data/call.jsonl, limit: 160}
actions:
  sft:
    hyperparameters:
      firm: {learning_rate: 1e-3, per_device_train_batch_size: 16}
      lora: {learning_rate: 3e-3, per_device_train_batch_size: 16, peft: {r: 8}}
  ties:
    models: [2]
    hyperparameters:
      half: {density: 0.5}
tasks:
  - {task: reverse, path: tasks/reverse.validation.jsonl, limit: 32, max_new_tokens: 6}
  - {task: largest, path: tasks/largest.validation.jsonl, limit: 32}
budget: {trials: 3}
execution: {device: cpu, threads: 1, batch_size: 32}
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny world, read only, made once: all of pytest's workers wait for the first of them to make it.

    `made.json` beside it says what making it did to the process.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "world"
    with FileLock(shared / "world.lock"):
        if not folder.exists():
            partial = shared / "world.partial"  # one that a failure left behind is no world
            shutil.rmtree(partial, ignore_errors=True)
            made = _write(partial)
            (partial / "made.json").write_text(json.dumps(made))
            partial.rename(folder)
    return folder


def _write(folder: Path) -> dict[str, Any]:
    import torch

    from lamdagent.study.templates.tiny import write

    torch.set_num_threads(2)  # what it must leave as it was; more threads than free cores are many times slower
    random_state, steps = torch.get_rng_state(), list[tuple[int, int]]()
    write(folder, report=lambda done, total: steps.append((done, total)))
    kept = torch.get_num_threads() == 2
    torch.set_num_threads(1)
    return {
        "steps": steps,
        "random_state_kept": torch.equal(torch.get_rng_state(), random_state),
        "threads_kept": kept,
    }


@pytest.fixture
def study(world: Path, tmp_path: Path) -> Path:
    """A study file of three trials in a folder of its own."""
    for part in ("models", "data", "tasks"):
        shutil.copytree(world / part, tmp_path / part)
    file = tmp_path / "study.yaml"
    file.write_text(STUDY)
    return file


Lamdagent = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lamdagent() -> Lamdagent:
    """Run the command line to its end."""

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lamdagent", *map(str, args)],
            capture_output=True, text=True, timeout=600, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=False,
        )  # fmt: skip

    return run
