"""The loop written flat gives what the engine gives."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import lamdagent

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "flat_loop.py"
ACTIONS = [
    ("sft", "base", "reverse", "firm"),
    ("sft", "base", "call", "gentle"),
    ("ties", "model-0", "model-1", "half"),
    ("sft", "model-2", "facts", "firm"),
]
MADE = [f"model-{i}" for i in range(len(ACTIONS))]


@pytest.fixture
def small(world: Path, tmp_path: Path) -> Path:
    """The tiny world with the first rows of each file."""
    shutil.copytree(world / "models", tmp_path / "models")
    for folder, rows in (("data", 160), ("tasks", 32)):
        (tmp_path / folder).mkdir()
        for file in (world / folder).glob("*.jsonl"):
            (tmp_path / folder / file.name).write_text("".join(file.open().readlines()[:rows]))
    return tmp_path


def by_the_engine(world: Path, flat: dict[str, Any]) -> tuple[list[str], dict[str, dict[str, float]]]:
    """The digest of each made model's weights, and each item's value by name of the model and by item."""
    inputs: dict[str, Callable[..., dict[str, list[str]]]] = {
        "sft": lambda model, dataset, setting: {"model": [model], "dataset": [dataset], "hyperparameters": [setting]},
        "ties": lambda one, other, setting: {"models": [one, other], "hyperparameters": [setting]},
    }
    provided = {"base": "model", **dict.fromkeys(flat["DATASETS"], "dataset")}
    provided |= dict.fromkeys([*flat["SFT"], *flat["TIES"]], "hyperparameters")
    plan = {
        "result": MADE[-1],
        "objects": {name: {"kind": kind} for name, kind in provided.items()},
        "steps": [
            {"make": made, "action": type, "inputs": inputs[type](*names)}
            for made, (type, *names) in zip(MADE, ACTIONS, strict=True)
        ],
    }
    study = {
        "study": "engine",
        "models": {"base": {"path": "models/base"}},
        "datasets": {name: {"path": f"data/{name}.jsonl"} for name in flat["DATASETS"]},
        "actions": {"sft": {"hyperparameters": flat["SFT"]}, "ties": {"hyperparameters": flat["TIES"]}},
        "tasks": [
            {"task": task, "path": f"tasks/{task}.validation.jsonl", "max_new_tokens": tokens}
            for task, tokens in flat["TASKS"].items()
        ],
        "policy": {"kind": "replay", "from": "plan.yaml"},
        "budget": {"trials": len(ACTIONS)},
        "execution": {"device": "cpu", "threads": 1, "batch_size": 64},
    }
    (world / "plan.yaml").write_text(yaml.safe_dump(plan))
    (world / "study.yaml").write_text(yaml.safe_dump(study))
    state = lamdagent.run_study(world / "study.yaml", inline=True)
    artifacts = world / "runs" / "artifacts"
    ids = {obj.name: obj.id for obj in state.of_kind("model")}
    values = {
        name: {
            item["item"]: item["value"]
            for file in (artifacts / object_id / "scores").glob("*.validation.json")
            for item in json.loads(file.read_text())["items"]
        }
        for name, object_id in ids.items()
    }
    return [digest(artifacts / ids[name] / "weights") for name in MADE], values


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_the_flat_loop_gives_the_weights_and_the_item_scores_of_the_engine(small: Path) -> None:
    flat = runpy.run_path(str(EXAMPLE))
    actions = iter(ACTIONS)
    values = flat["loop"](small, small / "flat", len(ACTIONS), lambda menu, memory: menu[menu.index(next(actions))])
    digests, items = by_the_engine(small, flat)
    assert [digest(small / "flat" / made) for made in MADE] == digests
    assert {
        model: {f"{task}/{i}": value for task, found in by_task.items() for i, value in enumerate(found)}
        for model, by_task in values.items()
    } == items
    right = {model: sum(map(sum, by_task.values())) for model, by_task in values.items()}
    assert len(set(right.values())) > 2, f"every model answers alike: {right}"


def test_the_flat_loop_imports_nothing_of_the_engine() -> None:
    assert "import lamdagent" not in EXAMPLE.read_text() and "from lamdagent" not in EXAMPLE.read_text()
