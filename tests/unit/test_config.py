from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lamdagent.core.errors import ConfigError, JournalError
from lamdagent.core.events import StudyOpened
from lamdagent.core.state import State
from lamdagent.core.types import TaskWeight
from lamdagent.study.changes import changes
from lamdagent.study.config import Document, Study, load_study
from lamdagent.study.config.schema import study_of
from lamdagent.study.parts import StudyParts

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


def test_an_override_that_begins_with_a_minus_takes_a_key_out(load: Load) -> None:
    assert list(load(STUDY, "-actions.ties").actions) == ["sft"]


def test_a_key_that_is_not_there_cannot_be_taken_out(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"there is no 'tie' to take out\. Did you mean 'ties'"):
        load_study(tmp_path / "study.yaml", ["-actions.tie"])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("guards=[{task: math, max_drop: 0.1}]", "one guard for each task of the study"),
        ("guards=[{task: own}, {task: own}]", "one guard for each task of the study"),
        ("evaluation={max_items: 100}", "max_items goes with items"),
        ("evaluation={items: 200, max_items: 100}", "max_items goes with items"),
        ("contamination=ignore", "contamination"),
    ],
)
def test_guards_and_evaluation_are_checked(tmp_path: Path, override: str, words: str) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        load_study(tmp_path / "study.yaml", [override])


def test_a_study_in_which_no_task_counts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    with pytest.raises(ConfigError, match="every task has weight 0"):
        load_study(tmp_path / "study.yaml", ["tasks.gsm8k.weight=0", "tasks.own.weight=0"])


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


def first_changed_line(text: str) -> int:
    pairs = zip(STUDY.splitlines(), text.splitlines(), strict=False)
    return next(number for number, (old, new) in enumerate(pairs, 1) if old != new)


UNKNOWN_KEYS = {
    "top": ("seed: 0", "sede: 0", "sede", "seed"),
    "model": ("path: models/base", "pth: models/base", "models.base.pth", "path"),
    "dataset": ("path: data/math.jsonl", "path: d.jsonl, colums: {}", "datasets.math.colums", "columns"),
    "task": ("weight: 2", "wieght: 2", "tasks.1.wieght", "weight"),
    "policy": ("{kind: random}", "{kind: random, temperature: 1}", "policy.temperature", None),
    "memory": ("{kind: table}", "{kind: table, bets: 1}", "memory.bets", "best"),
    "budget": ("{trials: 20}", "{trails: 20}", "budget.trails", "trials"),
    "action": ("models: [2, 3]", "model: [2, 3]", "actions.ties.model", "models"),
    "setting": (
        "learning_rate: 1e-5",
        "lerning_rate: 1",
        "actions.sft.hyperparameters.gentle.lerning_rate",
        "learning_rate",
    ),
    "peft": ("{r: 8}", "{lora_alhpa: 8}", "actions.sft.hyperparameters.firm.peft.lora_alhpa", "lora_alpha"),
    "execution": ("seed: 0", "execution: {worker: 2}", "execution.worker", "workers"),
}


@pytest.mark.parametrize("level", UNKNOWN_KEYS)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(
    level: str, refusal: Callable[..., str]
) -> None:
    old, new, dotted, near = UNKNOWN_KEYS[level]
    text, key = changed(old, new), dotted.split(".")[-1]
    message = refusal(text)
    assert message.startswith(f"study.yaml:{line_of(text, key + ':')}: {dotted}: unknown key {key!r}. ")
    assert f"Did you mean {near!r}? Known: " in message if near else "Known: " in message


MISTAKES = {
    "a word for a number": ("{trials: 20}", "{trials: many}", r"budget\.trials: .*whole number \(given: 'many'\)"),
    "a number for a word": ("study: mine", "study: 7", r"study: expected a text \(given: 7\)"),
    "a value out of range": (
        "{trials: 20}",
        "{trials: 0}",
        r"budget\.trials: expected 1 or more \(given: 0\)",
    ),
    "a value for a mapping": ("{kind: random}", "random", r"policy: expected a mapping of keys \(given: 'random'\)"),
    "a value for a list": ("models: [2, 3]", "models: two", r"actions\.ties\.models: expected a list \(given: 'two'\)"),
    "too few models": (
        "models: [2, 3]",
        "models: [1, 3]",
        r"actions\.ties\.models: a merge takes 2 or more models.*\[1, 3\]",
    ),
    "a density above 1": ("density: 0.5", "density: 1.5", r"actions\.ties\.hyperparameters\.half\.density: .*not 1.5"),
    "a device that is none": ("seed: 0", "execution: {device: gpu}", r"execution\.device: .*cuda.*\(given: 'gpu'\)"),
    "a dtype that is none": ("seed: 0", "execution: {dtype: fp8}", r"execution\.dtype: .*'bfloat16'.*\(given: 'fp8'\)"),
    "a name with a space": (
        "study: mine",
        "study: my study",
        r"study: expected a name of letters, digits, \. _ - .*\(given: 'my study'\)",
    ),
    "a missing path": ("{path: models/base}", "{}", r"models\.base\.path: is missing"),
    "a task without a metric": (
        ", metric: exact_match",
        "",
        r"tasks\.0\.metric: is missing",
    ),
    "a key for own rows only": (
        "metric: exact_match",
        "metric: acc, until: [x]",
        r"tasks\.0\.until: unknown key 'until'.* has no path, so it is taken for one of lm-eval's",
    ),
    "a runner without a kind": (
        "budget: {trials: 20}",
        "execution: {runner: {}}",
        r"execution\.runner needs a kind\. Known: .*process",
    ),
    "an unknown runner": (
        "budget: {trials: 20}",
        "execution: {runner: {kind: procces}}",
        r"unknown runner 'procces'\. Did you mean 'process'\?",
    ),
    "a policy without a kind": ("{kind: random}", "{}", r"policy needs a kind\. Known: .*random"),
    "an unknown policy": ("{kind: random}", "{kind: randm}", r"unknown policy 'randm'\. Did you mean 'random'\?"),
    "an unknown memory": ("{kind: table}", "{kind: tabel}", r"unknown memory 'tabel'\. Did you mean 'table'\?"),
    "an unknown action": ("  ties:", "  tie:", r"unknown action type 'tie'\. Did you mean 'ties'\? Known: sft, ties\."),
    "a base that is no model": ("models/base}", "models/base, base: bse}", r"no other model 'bse'"),
    "a task given twice": ("task: own", "task: gsm8k", r"task 'gsm8k' is given twice"),
    "a dataset called as a model": ("  math:", "  base:", r"'base' is the name of a model too"),
    "a tag": ("seed: 0", "seed: !zero 0", r"not YAML: .*'!zero'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(mistake: str, refusal: Callable[..., str]) -> None:
    old, new, pattern = MISTAKES[mistake]
    text = changed(old, new)
    message = refusal(text)
    assert message.startswith(f"study.yaml:{first_changed_line(text)}: ")
    assert re.search(pattern, message), message


def test_all_mistakes_of_a_file_are_told_at_once(refusal: Callable[..., str]) -> None:
    message = refusal(changed("{trials: 20}", "{trials: many, hours: -1}").replace("seed: 0", "seed: x"))
    assert [line.split(": ")[1] for line in message.splitlines()] == ["seed", "budget.trials", "budget.hours"]


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
    assert study.actions["sft"].hyperparameters["gentle"].learning_rate == value


@pytest.mark.parametrize("text", ["1e-5", "1e5", "12e3"])
def test_other_loaders_of_yaml_are_left_as_they_are(text: str) -> None:
    assert yaml.safe_load(text) == text


def test_text_that_looks_like_a_number_stays_text_in_quotes(refusal: Callable[..., str]) -> None:
    assert "expected a number (given: '1e-5')" in refusal(changed("1e-5", "'1e-5'"))


def test_equal_settings_of_an_action_are_refused_however_they_are_written(refusal: Callable[..., str]) -> None:
    text = changed("firm: {learning_rate: 1.0e-3, peft: {r: 8}}", "firm: {learning_rate: 0.00001, packing: false}")
    line = line_of(text, "firm:")
    assert refusal(text) == f"study.yaml:{line}: settings 'gentle' and 'firm' of sft are the same."


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
    assert study.actions["sft"].hyperparameters["gentle"].learning_rate == 1e-4
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


def test_a_dump_gives_the_same_study_again(load: Load) -> None:
    study = load()
    again = study_of(Document.of(study.file, {**study.dump(), "root": study.body.root}))
    assert again.dump() == study.dump()
    assert again.goals == study.goals
    assert again.actions == study.actions


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


def test_the_arms_of_a_union_are_told_as_one(refusal: Callable[..., str]) -> None:
    assert refusal(STUDY, "execution.batch_size=x").endswith(
        "execution.batch_size: expected a whole number or 'auto' (given: 'x')"
    )


@pytest.mark.parametrize(
    ("old", "new"), [("  base:", "  a/b:"), ("  math:", "  'm ath':"), ("      half:", "      '[h]':")]
)
def test_names_of_models_datasets_and_settings_are_plain_words(old: str, new: str, refusal: Callable[..., str]) -> None:
    message = refusal(changed(old, new))
    assert "expected a name of letters, digits, . _ - that begins with a letter or a digit (given: " in message
    assert message.startswith(f"study.yaml:{line_of(STUDY, old)}: ")


@pytest.mark.parametrize(("old", "new"), [("  base:", "  model-0:"), ("  math:", "  dataset-12:")])
def test_a_name_that_a_trial_will_give_is_refused(old: str, new: str, refusal: Callable[..., str]) -> None:
    assert "names of what trial N makes. Choose another name." in refusal(changed(old, new))


@pytest.mark.parametrize("name", ["model-a", "my-model-0", "model-0.5"])
def test_a_name_that_only_looks_like_one_is_accepted(name: str, load: Load) -> None:
    assert name in load(changed("  base:", f"  {name}:")).body.models


def test_an_override_reaches_names_with_dots(load: Load) -> None:
    text = changed("  base:", "  smol-1.7b:").replace("task: own", "task: own.rows")
    study = load(text, "models.smol-1.7b.path=elsewhere", "tasks.own.rows.weight=3")
    assert study.body.models["smol-1.7b"].path == "elsewhere"
    assert study.goals[1].weight == 3.0


def test_a_setting_may_be_called_like_a_type(refusal: Callable[..., str]) -> None:
    text = changed("gentle: {learning_rate: 1e-5}", "int: {learning_rate: high}")
    assert "hyperparameters.int.learning_rate" in refusal(text)


def test_jobs_run_in_worker_processes_unless_the_file_says_otherwise(load: Load) -> None:
    assert load().runner[0] == load().dump()["execution"]["runner"]["kind"] == "process"
    study = load(STUDY, "execution.runner=inline")
    assert study.runner[0] == study.dump()["execution"]["runner"]["kind"] == "inline"
    assert load_study(study.file, ["execution.runner.kind=inline"]).dump() == study.dump()


def test_what_a_worker_is_told_can_be_pickled_and_makes_the_same_study(load: Load) -> None:
    parts = StudyParts(load(STUDY, "execution.workers=2"))
    told = StudyParts.told(pickle.loads(pickle.dumps(parts.worker_spec)))
    assert told.study.dump() == parts.study.dump()
    assert told.study.folder == parts.study.folder


def test_where_jobs_run_may_change_in_mid_study_and_what_they_do_may_not(load: Load) -> None:
    began = State(config=load().dump())
    ways = "execution.runner.kind=inline", "execution.workers=2", "execution.timeout_min=1"
    assert [type(event) for event in changes(load(STUDY, *ways), began, [])] == [StudyOpened]
    with pytest.raises(JournalError, match=r"execution\.dtype: was auto, is float16"):
        changes(load(STUDY, "execution.dtype=float16"), began, [])


@pytest.mark.parametrize(
    ("policy", "kind"),
    [("{kind: auto}", "surrogate"), ("{kind: auto, model: local}", "agent"), ("{kind: surrogate}", "surrogate")],
)
def test_auto_is_an_agent_where_a_model_is_given_and_else_the_surrogate(load: Load, policy: str, kind: str) -> None:
    study = load(STUDY.replace("{kind: random}", policy))
    assert study.policy[0] == kind == study.dump()["policy"]["kind"]


def test_a_study_that_names_no_policy_is_searched_by_the_surrogate(load: Load) -> None:
    assert load(STUDY.replace("policy: {kind: random}\n", "")).policy[0] == "surrogate"
