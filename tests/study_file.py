"""A study file with every section, and fixtures that read it and what it was changed to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lamdagent.core.errors import ConfigError
from lamdagent.study.config import Study, load_study

STUDY = """\
study: mine
seed: 0
models:
  base: {path: models/base}
datasets:
  math: {path: data/math.jsonl}
actions:
  sft:
    hyperparameters:
      gentle: {learning_rate: 1e-5}
      firm: {learning_rate: 1.0e-3, peft: {r: 8}}
  ties:
    models: [2, 3]
    hyperparameters:
      half: {density: 0.5}
tasks:
  - {task: gsm8k, metric: exact_match}
  - {task: own, path: tasks/own.jsonl, weight: 2}
policy: {kind: random}
memory: {kind: table}
budget: {trials: 20}
"""


Load = Callable[..., Study]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(text: str = STUDY, *overrides: str) -> Study:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.yaml", overrides)

    return load


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """The message a study file is refused with, without the folder it lies in."""

    def refusal(text: str = STUDY, *overrides: str) -> str:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load_study(tmp_path / "study.yaml", overrides)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return refusal


def changed(old: str, new: str) -> str:
    assert STUDY.count(old) == 1
    return STUDY.replace(old, new)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1
