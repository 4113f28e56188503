from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lamdagent.core.protocols import Task
from lamdagent.core.types import Object
from lamdagent.evaluation.tasks.lm_eval import LmEvalConfig, LmEvalTask
from lamdagent.evaluation.tasks.rows import RowsConfig, RowsTask
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.objects.models import Models
from lamdagent.runners.job import Toolkit
from lamdagent.testing import toy
from lamdagent.testing.contracts import ArtifactStoreContract, TaskContract

NAMED = """
task: mine
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {rows}}}}}
validation_split: validation
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 2}}
metric_list: [{{metric: exact_match}}]
"""


class TestLocal(ArtifactStoreContract):
    def store(self, folder: Path) -> LocalArtifacts:
        return LocalArtifacts(folder)


class TestToyTask(TaskContract):
    def task(self) -> toy.ToyTask:
        return toy.ToyTask("near-east", (1.5, 0.5))


class WithWeights(TaskContract):
    """Tasks that ask the tiny world's base model."""

    @pytest.fixture(autouse=True)
    def _world(self, world: Path, tmp_path: Path) -> None:
        self.base, self.home = world / "models" / "base", tmp_path
        self.rows = [json.loads(line) for line in (world / "tasks" / "reverse.validation.jsonl").open()][:12]
        self.parts: Any = SimpleNamespace(path=lambda given: tmp_path / given, batch_size=8, include_path=tmp_path)

    def model(self) -> Object:
        return Object(id="base", kind="model", name="base", uri=str(self.base))

    def toolkit(self, folder: Path) -> Toolkit:
        return replace(super().toolkit(folder), models=Models(device="cpu"))

    def write(self, name: str, rows: list[Any]) -> str:
        (self.home / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(self.home / name)


@pytest.mark.slow
class TestRows(WithWeights):
    def task(self) -> Task:
        path, test = self.write("asked.jsonl", self.rows[:8]), self.write("sealed.jsonl", self.rows[8:])
        config = RowsConfig(task="reverse", path=path, test=test, max_new_tokens=3, limit=6)
        return RowsTask(**config.arguments(self.parts))


@pytest.mark.slow
class TestRowsWithoutATestSide(WithWeights):
    def task(self) -> Task:
        config = RowsConfig(task="reverse", path=self.write("asked.jsonl", self.rows), max_new_tokens=3)
        return RowsTask(**config.arguments(self.parts))


@pytest.mark.slow
class TestLmEval(WithWeights):
    def task(self) -> Task:
        rows = [{"prompt": row["prompt"], "answer": row["answer"]} for row in self.rows]
        (self.home / "mine.yaml").write_text(NAMED.format(rows=self.write("named.jsonl", rows)))
        return LmEvalTask(**LmEvalConfig(task="mine", metric="exact_match").arguments(self.parts))
