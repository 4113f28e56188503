"""Hyperparameter settings: shared between actions by name, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lamdagent.actions.merge import MergeHyperparameters
from lamdagent.core.config import Config
from lamdagent.core.errors import ConfigError
from lamdagent.core.format import compared_settings
from lamdagent.core.settings import setting_object
from lamdagent.results.export.pipeline_file import study_data
from lamdagent.study import registry
from lamdagent.study.config import Study, load_study
from lamdagent.study.initial_pool import load_pool
from lamdagent.study.parts import StudyParts
from lamdagent.testing import toy
from lamdagent.ui.cli.app import app

INLINE = ("--set", "execution.runner.kind=inline")  # a worker knows no plug-in of a test
START = """\
study: mine
models: {base: {path: hub/base}}
datasets: {rows: {path: hub/rows}}
tasks: [{task: own, path: own.jsonl}]
policy: {kind: random}
"""
SHARED = (
    START
    + """\
settings:
  gentle: {learning_rate: 1e-5}
  lora: {peft: {r: 8}}
  half: {density: 0.5}
actions:
  sft:
    hyperparameters: [gentle, lora, {firm: {learning_rate: 1e-3}}]
  other:
    hyperparameters: [gentle]
  ties:
    hyperparameters: [half]
"""
)
IN_PLACE = (
    START
    + """\
actions:
  sft:
    hyperparameters:
      gentle: {learning_rate: 1e-5}
      lora: {peft: {r: 8}}
      firm: {learning_rate: 1e-3}
  other:
    hyperparameters: {gentle: {learning_rate: 1e-5}}
  ties:
    hyperparameters: {half: {density: 0.5}}
"""
)
Load = Callable[[str], Study]


class PlainConfig(Config):
    """An action without settings."""


class Blend(toy.ToyBlend):
    """Make the dataset halfway between two others."""

    Config = PlainConfig


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Reads a study beside which lies its task; `blend` and `other` are plug-ins' actions."""
    monkeypatch.setitem(registry.BUILT_IN["actions"], "other", registry.BUILT_IN["actions"]["sft"])
    monkeypatch.setitem(registry.BUILT_IN["actions"], "blend", f"{__name__}:Blend")
    (tmp_path / "own.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n' * 4, encoding="utf-8")

    def load(text: str) -> Study:
        (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
        return load_study(tmp_path / "study.yaml")

    return load


def test_a_shared_setting_is_as_if_it_were_written_in_each_action(load: Load) -> None:
    shared, in_place = load(SHARED), load(IN_PLACE)
    assert shared.dump() == in_place.dump(), "what is journalled, and so what may change in a running study"
    pools = [[(o.id, o.name) for o in load_pool(s, {}, offline=True).objects] for s in (shared, in_place)]
    assert pools[0] == pools[1]
    assert len({i for i, _ in pools[0]}) == len(pools[0]), "the same setting of two actions is two objects"


def test_a_worker_reads_shared_settings_from_what_it_is_told(load: Load) -> None:
    study = load(SHARED)
    assert StudyParts.told(StudyParts(study).worker_spec).study.dump() == study.dump()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "[half]",
            "[halve]",
            "16: actions.ties.hyperparameters: no setting 'halve' under settings. Did you mean 'half'?",
        ),
        ("[half]", "[half, {half: {}}]", "16: actions.ties.hyperparameters: setting 'half' is given twice."),
        (
            "[half]",
            "[3]",
            "16: actions.ties.hyperparameters: expected names of settings, or mappings of some (given: 3)",
        ),
        ("[half]", "[]", "16: actions.ties.hyperparameters: expected 1 or more entries"),
        ("[half]", "[gentle]", "7: settings.gentle.learning_rate: unknown key 'learning_rate'."),
        (
            "[half]",
            "[gentle]",
            "Known: density, normalize, tokenizer_source, weight. (as actions.ties.hyperparameters.gentle)",
        ),
        ("1e-5", "-1", "7: settings.gentle.learning_rate: expected more than 0.0 (given: -1) (as actions.sft.hyper"),
        ("{density: 0.5}", "0.5", "9: settings.half: expected a mapping of keys"),
    ],
)
def test_what_is_wrong_with_a_shared_setting_is_said_where_it_stands(
    load: Load, old: str, new: str, words: str
) -> None:
    assert SHARED.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        load(SHARED.replace(old, new))
    assert f"{words}" in str(caught.value)


def test_a_shared_setting_that_no_action_takes_is_refused(load: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(SHARED.replace("  half: {density: 0.5}\n", "  half: {density: 0.5}\n  wild: {learning_rate: x}\n"))
    assert str(caught.value).endswith(
        "study.yaml:10: settings.wild: no action takes it. Name it in the `hyperparameters: […]` of an action, or remove it."
    )
    load(SHARED)
    assert "ties" not in load_study(tmp_path / "study.yaml", ["-actions.ties"]).actions, (
        "an override may leave one over"
    )
    with pytest.raises(ConfigError, match=r"settings\.half: no action takes it"):
        load(SHARED.replace("  ties:\n    hyperparameters: [half]\n", ""))


def test_an_action_of_a_plug_in_needs_no_settings(load: Load, tmp_path: Path) -> None:
    for options in ("", "{}"):
        study = load(f"{START}actions:\n  blend: {options}\n")
        assert [obj.kind for obj in load_pool(study, {}, offline=True).objects] == ["model", "dataset"]
        assert StudyParts(study).action_types["blend"].slots == toy.ToyBlend.slots
    shown = CliRunner().invoke(app, ["run", str(tmp_path / "study.yaml"), "--dry-run", *INLINE])
    assert shown.exit_code == 0, shown.output
    assert "blend" in shown.output


def test_a_pipeline_with_an_action_without_settings_is_a_study_that_loads(load: Load, tmp_path: Path) -> None:
    recipe: dict[str, Any] = {
        "seed": 0,
        "dtype": "auto",
        "machine": {},
        "actions": {"blend": {}, "ties": {"models": [2]}},
        "objects": {"half": {"kind": "hyperparameters", "action": "ties", "values": {"density": 0.5}}},
        "steps": [],
    }
    assert study_data(recipe, tmp_path)["actions"] == {
        "blend": {},
        "ties": {"models": [2], "hyperparameters": {"half": {"density": 0.5}}},
    }


FREE = (
    START
    + """\
actions:
  sft:
    datasets: DATASETS
    hyperparameters:
      firm: {learning_rate: 1e-3}
      free: BOUNDS
"""
)


def with_free(bounds: str = "{num_train_epochs: [0.05, 8]}", datasets: str = "[1, all]") -> str:
    return FREE.replace("BOUNDS", bounds).replace("DATASETS", datasets)


def test_what_is_free_is_no_setting_but_what_the_action_type_lets_policies_choose(load: Load) -> None:
    study = load(with_free())
    assert [obj.name for obj in load_pool(study, {}, offline=True).of_kind("hyperparameters")] == ["firm"]
    sft = StudyParts(study).action_types["sft"]
    assert sft.freedom.bounds.num_train_epochs == [0.05, 8]  # type: ignore[attr-defined]
    assert [slot.count for slot in sft.slots] == ["1", "1 or more", "1"]
    assert load(with_free(datasets="[1, 9]")), "more than there are is no error"


@pytest.mark.parametrize(
    ("bounds", "datasets", "words"),
    [
        ("{num_train_epochs: [8, 1]}", "[1]", r"study\.yaml:11: .*free\.num_train_epochs: .*both above 0, not \[8"),
        ("{num_epochs: [1, 8]}", "[1]", r"unknown key 'num_epochs'\. Did you mean 'num_train_epochs'"),
        ("{learning_rate: [0, 1]}", "[1]", "both above 0"),
        ("{}", "[0, 2]", r"study\.yaml:8: actions\.sft\.datasets: .*1 or more datasets"),
        ("{}", "[all, 2]", "1 or more datasets"),
        ("{}", "[1, some]", "actions.sft.datasets"),
    ],
)  # fmt: skip
def test_bounds_that_cannot_be_are_refused_by_line(load: Load, bounds: str, datasets: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(with_free(bounds, datasets))


def test_free_is_the_name_of_no_setting(load: Load) -> None:
    with pytest.raises(ConfigError, match="'free' is a reserved word"):
        load(IN_PLACE.replace("half: {density", "free: {density"))
    with pytest.raises(ConfigError, match="expected 1 or more named settings"):
        load(with_free().replace("      firm: {learning_rate: 1e-3}\n", ""))


def test_settings_that_are_compared_say_only_what_is_set() -> None:
    given = {"soup": {"method": "linear", "weight": 1.0}, "stock": {"method": "model_stock"}}
    settings = [setting_object("merge", name, MergeHyperparameters.model_validate(v)) for name, v in given.items()]
    assert list(compared_settings(settings)[1].values()) == ["method=linear, weight=1", "method=model_stock"]
