"""How a study file is read: YAML, its lines, and what the command line puts in their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.study_file import STUDY, Load, changed

from lamdagent.core.errors import ConfigError
from lamdagent.core.types import TaskWeight
from lamdagent.study.config import load_study


def test_an_override_that_begins_with_a_minus_takes_a_key_out(load: Load) -> None:
    assert list(load(STUDY, "-actions.ties").actions) == ["sft"]


def test_a_key_that_is_not_there_cannot_be_taken_out(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"there is no 'tie' to take out\. Did you mean 'ties'"):
        load_study(tmp_path / "study.yaml", ["-actions.tie"])
    with pytest.raises(ConfigError, match=r"no entry of a list can be taken out; give it anew, as --set 'tasks=\[…\]'"):
        load_study(tmp_path / "study.yaml", ["-tasks.own"])


@pytest.mark.parametrize("text", ["- a\n- b\n", "", "just text\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str, refusal: Callable[..., str]) -> None:
    assert refusal(text) == "study.yaml:1: a study file is a mapping of keys, such as `study: my-first-search`."


@pytest.mark.parametrize(("text", "line"), [("study: [", 1), ("study: s\n\tb: c\n", 2), ("a: b: c\n", 1)])
def test_a_file_that_is_no_yaml_is_refused_with_its_line(text: str, line: int, refusal: Callable[..., str]) -> None:
    assert refusal(text).startswith(f"study.yaml:{line}: not YAML: ")


@pytest.mark.parametrize(
    ("old", "new", "dotted"),
    [
        ("seed: 0", "seed: 0\nseed: 1", "seed"),
        ("  math: {path: data/math.jsonl}", "  math: {path: a}\n  math: {path: b}", "datasets.math"),
        ("{density: 0.5}", "{density: 0.5, density: 0.6}", "actions.ties.hyperparameters.half.density"),
    ],
)
def test_a_key_given_twice_is_refused(old: str, new: str, dotted: str, refusal: Callable[..., str]) -> None:
    assert refusal(changed(old, new)).endswith(f": {dotted} is given twice.")


def test_a_file_that_is_not_there_tells_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .*lamdagent init --template tiny"):
        load_study(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("written", "value"), [("1e-5", 1e-5), ("2E-4", 2e-4), ("1.5e-3", 1.5e-3), ("1e+0", 1.0), ("3", 3.0)]
)
def test_numbers_are_read_as_people_write_them(written: str, value: float, load: Load) -> None:
    study = load(changed("learning_rate: 1e-5", f"learning_rate: {written}"))
    assert study.actions["sft"].hyperparameters.named["gentle"].learning_rate == value


@pytest.mark.parametrize("text", ["1e-5", "1e5", "12e3"])
def test_other_loaders_of_yaml_are_left_as_they_are(text: str) -> None:
    assert yaml.safe_load(text) == text


def test_text_that_looks_like_a_number_stays_text_in_quotes(refusal: Callable[..., str]) -> None:
    assert "expected a number (given: '1e-5')" in refusal(changed("1e-5", "'1e-5'"))


def test_overrides_change_values_lists_and_entries_by_task_name(load: Load) -> None:
    study = load(
        STUDY,
        "budget.trials=50",
        "tasks.own.weight=4",
        "tasks.0.limit=7",
        "actions.sft.hyperparameters.gentle.learning_rate=1e-4",
        "actions.ties.models=[3]",
        "execution.dtype=bfloat16",
        "budget.hours=null",
        "study=his",
    )
    assert study.body.budget.trials == 50
    assert study.goals == (TaskWeight(task="gsm8k"), TaskWeight(task="own", weight=4.0))
    assert study.tasks[0][1].limit == 7
    assert study.actions["sft"].hyperparameters.named["gentle"].learning_rate == 1e-4
    assert study.actions["ties"].models == [3]
    assert study.body.execution.dtype == "bfloat16"
    assert study.folder.name == "his"


def test_an_override_can_replace_an_entry_of_a_list(load: Load) -> None:
    assert [t.task for _, t in load(STUDY, "tasks.own={task: other, metric: acc}").tasks] == ["gsm8k", "other"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("budget", "expected KEY.KEY=VALUE, such as budget.trials=50."),
        ("=3", "expected KEY.KEY=VALUE"),
        (
            "budget.tokens=9",
            "budget.tokens: no such key: a language model's are llm_tokens, those trained on train_tokens",
        ),
        ("budget.trials=x", "budget.trials: expected a whole number (given: 'x')"),
        ("budget.trial=5", "budget.trial: unknown key 'trial'. Did you mean 'trials'?"),
        ("tasks.gsm9k.weight=3", "no entry 'gsm9k'. Did you mean 'gsm8k'? Known: gsm8k, own."),
        ("tasks.5.weight=3", "no entry '5'. Known: gsm8k, own."),
        ("actions.ties.models.0.x=3", "'x' is asked for inside a single value."),
        ("study.x=1", "study: expected a text"),
        ("policy.kind=[", "not YAML"),
        ("budget={trials: 1, trials: 2}", "budget.trials is given twice."),
    ],
)
def test_a_bad_override_is_told_as_it_was_given(override: str, message: str, refusal: Callable[..., str]) -> None:
    told = refusal(STUDY, override)
    assert told.startswith(f"--set {override}: ")
    assert message in told


def test_a_mistake_in_the_file_keeps_its_line_beside_overrides(refusal: Callable[..., str]) -> None:
    assert refusal(changed("seed: 0", "seed: x"), "budget.trials=5").startswith("study.yaml:2: seed: ")


def test_reading_a_study_writes_nothing(load: Load, refusal: Callable[..., str], tmp_path: Path) -> None:
    load()
    refusal(changed("seed: 0", "sede: 0"))
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


@pytest.mark.parametrize(
    ("line", "text"),
    [(len(STUDY.splitlines()) + 1, STUDY + "extra: 2024-13-45\n"), (2, "seed: 0\nstudy: a\x00b\n")],
    ids=["a date that is none", "a control character"],
)
def test_text_that_the_parser_stumbles_over_is_refused(line: int, text: str, refusal: Callable[..., str]) -> None:
    assert refusal(text).startswith(f"study.yaml:{line}: ")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes("study: né\n".encode("latin-1"))
    with pytest.raises(ConfigError):
        load_study(tmp_path / "study.yaml")


def test_a_yaml_merge_key_can_be_overridden(load: Load) -> None:
    text = changed("  base: {path: models/base}", "  base: &b {path: models/base}\n  two: {<<: *b, path: models/two}")
    assert load(text).body.models["two"].path == "models/two"


@pytest.mark.parametrize(
    ("models", "paths"),
    [
        ("{a: &a {path: x, revision: v}, b: &b {<<: *a, path: y}, c: *b, d: {<<: [*b, *a]}}", ["x", "y", "y", "y"]),
        ("{a: &a {path: x}, b: &b {path: y}, c: {<<: [*a, *b]}, d: {path: z, <<: *a}}", ["x", "y", "x", "z"]),
    ],
)
def test_merged_mappings_can_be_used_again(models: str, paths: list[str], load: Load) -> None:
    found = load(changed("\n  base: {path: models/base}", f" {models}")).body.models
    assert [model.path for model in found.values()] == paths


@pytest.mark.parametrize("value", ["{<<: 3, path: x}", "{<<: [3], path: x}"])
def test_only_mappings_can_be_merged(value: str, refusal: Callable[..., str]) -> None:
    told = refusal(changed("{path: models/base}", value))
    assert told == "study.yaml:4: << takes a mapping, or a list of them, to merge in."


def test_an_override_reaches_names_with_dots(load: Load) -> None:
    text = changed("  base:", "  smol-1.7b:").replace("task: own", "task: own.rows")
    study = load(text, "models.smol-1.7b.path=elsewhere", "tasks.own.rows.weight=3")
    assert study.body.models["smol-1.7b"].path == "elsewhere"
    assert study.goals[1].weight == 3.0
