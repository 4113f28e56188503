"""Score a model by how likely it finds the lines of a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from lamdagent.core.action_type import Context, Loaded
from lamdagent.core.config import Parts
from lamdagent.core.errors import DataError
from lamdagent.core.types import SIDES, Example, Object, Split, content_id
from lamdagent.evaluation.tasks.config import TaskConfig


class LikelihoodConfig(TaskConfig):
    """The mean likelihood of a token of each line: 1 where a model is sure of all of it."""

    path: str = Field(description="the lines of the validation side")
    test: str | None = Field(None, description="the lines of the sealed test")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        files = {"validation": parts.path(self.path), "test": parts.path(self.test) if self.test else None}
        return {"name": self.task, "files": files, "limit": self.limit}


class Likelihood:
    """The geometric mean, over a line's tokens, of their probabilities; in [0, 1]."""

    Config = LikelihoodConfig

    def __init__(self, name: str, files: Mapping[Split, Path | None], limit: int | None = None) -> None:
        self.name, self._files, self._limit = name, files, limit

    @cached_property
    def _lines(self) -> dict[Split, list[str]]:
        return {side: _lines_of(file) if (file := self._files[side]) else [] for side in SIDES}

    @cached_property
    def ids(self) -> Mapping[Split, str]:
        return {side: content_id(["likelihood", lines]) for side, lines in self._lines.items()}

    @property
    def has_test(self) -> bool:
        return self._files["test"] is not None

    def check(self) -> None:
        if both := set(self._lines["validation"]) & set(self._lines["test"]):
            raise DataError(f"task {self.name!r}: {min(both)!r} stands on both sides. Take it out of `path` or `test`.")

    def to_fetch(self) -> str | None:
        return None

    def about(self) -> str:
        return f"{self.sizes()['validation']} lines"

    def sizes(self) -> Mapping[Split, int]:
        return {side: len(lines[: self._limit]) for side, lines in self._lines.items()}

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        yield from ((place, line, "") for place, line in enumerate(self._lines[split]))

    def examples(self, n: int, loaded: Loaded) -> Sequence[Example]:
        return [Example(prompt=line) for line in self._lines["validation"][:n]]

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        if not (lines := self._lines[split][: self._limit][:n]):
            raise DataError(f"task {self.name!r} has no {split} side; it takes one from `test:`.")
        file = ctx.folder(model) / "scores" / f"{self.ids[split]}.{split}.json"
        items = json.loads(file.read_text())["items"] if file.exists() else []
        if len(items) < len(lines):
            loaded = ctx.models.load(model.id, ctx.weights(model))
            for line in lines[len(items) :]:
                items.append({"item": line, "value": _likelihood(loaded, line)})
                ctx.progress(f"score {self.name}", len(items), len(lines))
            _write(file, {"task": self.name, "items": items})
        return [item["value"] for item in items[: len(lines)]]


def _lines_of(file: Path) -> list[str]:
    try:
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}). A task of kind likelihood needs a text file."
        ) from error
    if not lines:
        raise DataError(f"{file}: no lines. Each one is an item.")
    return lines


def _likelihood(loaded: Loaded, line: str) -> float:
    import torch

    ids = loaded.tokenizer(line, return_tensors="pt").input_ids.to(loaded.model.device)
    with torch.no_grad():
        return float(torch.exp(-loaded.model(input_ids=ids, labels=ids).loss))


def _write(file: Path, record: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(record), encoding="utf-8")
    partial.rename(file)  # whole or not at all: two jobs may score the same model
