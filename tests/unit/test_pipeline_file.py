"""What a pipeline.yaml says, and what is made of it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lamdagent.core.errors import ConfigError
from lamdagent.core.plan import PlanStatus
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.results.export.pipeline_file import read_recipe, strangers, study_data, weights_digest
from lamdagent.results.export.replayed import ReplayOutcome, replay_outcome
from lamdagent.study.config import Document, load_study
from lamdagent.study.initial_pool import load_pool
from lamdagent.ui.render.markdown import markdown

STEP = {"make": "model-3", "id": "x", "action": "sft", "seed": 7, "weights": "digest",
        "inputs": {"model": ["base"], "dataset": ["math"], "hyperparameters": ["gentle"]}}  # fmt: skip
RECIPE: dict[str, Any] = {
    "format": 2,
    "result": "model-3",
    "objects": {
        "base": {"kind": "model", "id": "b", "entry": {"path": "org/base", "revision": "abc"}},
        "math": {"kind": "dataset", "id": "m", "rows": 2, "entry": {"path": "rows.jsonl", "leave_out": [1]}},
        "gentle": {"kind": "hyperparameters", "id": "g", "action": "sft", "values": {"learning_rate": 1e-5}},
    },
    "steps": [STEP],
    "seed": 7,
    "dtype": "bfloat16",
    "actions": {"sft": {}},
    "versions": {"torch": "2.0"},
    "machine": {"threads": 2, "device": "cpu"},
}


def test_a_recipe_is_a_study_with_every_setting_and_absolute_local_paths(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 3)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "study.yaml").write_text(yaml.safe_dump(study_data(RECIPE, tmp_path)))
    study = load_study(tmp_path / "there" / "study.yaml")
    assert study.body.seed == 7
    assert study.body.execution.threads == 2
    assert study.body.execution.dtype == "bfloat16"
    assert study.body.models["base"].revision == "abc"
    assert study.body.models["base"].path == "org/base"
    assert study.body.datasets["math"].path == str((tmp_path / "rows.jsonl").resolve())
    assert study.actions["sft"].hyperparameters.named["gentle"].learning_rate == 1e-5


def test_rows_left_out_before_are_left_out_again(tmp_path: Path) -> None:
    lines = [f'{{"prompt": "{i}", "completion": "b"}}\n' for i in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    (tmp_path / "fewer.jsonl").write_text(lines[0] + lines[2])
    found = []
    for path, extra in (("rows.jsonl", {"leave_out": [1, 3]}), ("fewer.jsonl", {})):
        data = study_data(RECIPE, tmp_path) | {"models": {"base": {"path": "org/base"}}}
        data["datasets"] = {"math": {"path": str(tmp_path / path), **extra}}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(data))
        (dataset,) = load_pool(load_study(tmp_path / "study.yaml"), {}, offline=True).of_kind("dataset")
        found.append(dataset)
    assert found[0].id == found[1].id
    assert found[0].meta["rows"] == 2
    recipe = {**RECIPE, "objects": {"math": {**RECIPE["objects"]["math"], "id": found[0].id}}}
    assert strangers(recipe, found) == []
    recipe["objects"]["math"]["id"] = "other"
    (line,) = strangers(recipe, found[:1])
    assert line.startswith("dataset math:")
    assert "other was exported (2 rows then, 2 here)" in line


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("datasets.maths.path=x.jsonl", r"the pipeline uses no such. Did you mean 'math'\?"),
        ("models.large.path=x", "the pipeline uses no such. Known: base"),
        ("seed=3", "all else would make another model"),
        ("actions.sft.hyperparameters.gentle.learning_rate=1", "all else would make another model"),
    ],
)
def test_only_what_leaves_the_model_the_same_can_be_set(override: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        study_data(RECIPE, tmp_path, [override])


def test_a_file_of_an_earlier_release_says_what_to_do(tmp_path: Path) -> None:
    old = {key: value for key, value in RECIPE.items() if key != "format"}
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(old))
    with pytest.raises(ConfigError, match=r"it is of format 1.*Export it again: lamdagent export"):
        read_recipe(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        read_recipe(tmp_path / "nowhere.yaml")
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(RECIPE))
    assert read_recipe(tmp_path) == Document(tmp_path / "pipeline.yaml").data == RECIPE


def test_a_recipe_without_a_part_is_refused(tmp_path: Path) -> None:
    for key in ("seed", "dtype", "actions", "machine"):
        with pytest.raises(ConfigError, match=f"'{key}' is missing"):
            study_data({k: v for k, v in RECIPE.items() if k != key}, tmp_path)


def made(tmp_path: Path, versions: dict[str, str], machine: dict[str, Any], digest: str | None = None) -> ReplayOutcome:
    artifacts = LocalArtifacts(tmp_path)
    with artifacts.write("here", {"versions": versions, "machine": machine}) as folder:
        (folder / "model.safetensors").write_text("weights")
    step = {**STEP, "weights": digest or weights_digest(artifacts.record("here"))}
    followed = PlanStatus(ids={"model-3": "here"})
    return replay_outcome({**RECIPE, "steps": [step]}, [], followed, artifacts, model="there/model")


def test_equal_weights_are_said_to_be_bit_identical(tmp_path: Path) -> None:
    data = made(tmp_path, {"torch": "2.0"}, {"threads": 2, "device": "cpu"})
    assert data.identical is True
    assert (data.versions, data.machine) == ({}, {})
    assert "the weights are bit-identical to those exported" in markdown(data)


def test_other_weights_are_said_to_differ_with_the_versions_and_the_machine_that_do(tmp_path: Path) -> None:
    data = made(tmp_path, {"torch": "3.0"}, {"threads": 2, "device": "H100"}, digest="other")
    assert data.identical is False
    text = markdown(data)
    assert "not bit-identical; the first step that differs makes model-3 (sft)" in text
    assert "version torch: 2.0 then, 3.0 here" in text
    assert "machine device: cpu then, H100 here" in text
    assert "threads" not in text


def test_a_model_that_was_not_made_is_not_said_to_be_anything(tmp_path: Path) -> None:
    followed = PlanStatus(unreachable={"model-3": "it failed (oom): too large"})
    data = replay_outcome(RECIPE, [], followed, LocalArtifacts(tmp_path), model=None)
    assert data.identical is None
    assert data.sections()[0].parts == ["model-3 was not made: it failed (oom): too large"]
