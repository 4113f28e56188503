from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.study_file import STUDY, Load, changed, line_of

from lamdagent.core.errors import ConfigError, JournalError
from lamdagent.core.events import StudyOpened
from lamdagent.core.state import State
from lamdagent.core.types import ID_FORMULA
from lamdagent.study.changes import changes
from lamdagent.study.config import Document, load_study
from lamdagent.study.config.schema import study_of
from lamdagent.study.parts import StudyParts


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
        r"actions\.ties\.models: a merge takes 2 to 16 models.*\[1, 3\]",
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
    "an unknown action": (
        "  ties:",
        "  tie:",
        r"unknown action type 'tie'\. Did you mean 'ties'\? Known: merge, sft, ties\.",
    ),
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


def test_equal_settings_of_an_action_are_refused_however_they_are_written(refusal: Callable[..., str]) -> None:
    text = changed("firm: {learning_rate: 1.0e-3, peft: {r: 8}}", "firm: {learning_rate: 0.00001, packing: false}")
    line = line_of(text, "firm:")
    assert refusal(text) == f"study.yaml:{line}: settings 'gentle' and 'firm' of sft are the same."


def test_a_dump_gives_the_same_study_again(load: Load) -> None:
    study = load()
    again = study_of(Document.of(study.file, {**study.dump(), "root": study.body.root}))
    assert again.dump() == study.dump()
    assert again.goals == study.goals
    assert again.actions == study.actions


def test_the_arms_of_a_union_are_told_as_one(refusal: Callable[..., str]) -> None:
    assert refusal(STUDY, "execution.batch_size=x").endswith(
        "execution.batch_size: expected a whole number or 'auto' (given: 'x')"
    )


@pytest.mark.parametrize(
    ("old", "new"), [("  base:", "  a/b:"), ("  math:", "  'm ath':"), ("      half:", "      '[h]':")]
)
def test_names_of_models_datasets_and_settings_are_plain_words(old: str, new: str, refusal: Callable[..., str]) -> None:
    message = refusal(changed(old, new))
    assert (
        "expected a name of letters, digits, . _ - that begins with a letter or a digit, at most 80 characters (given: "
        in message
    )
    assert message.startswith(f"study.yaml:{line_of(STUDY, old)}: ")


@pytest.mark.parametrize(("old", "new"), [("  base:", "  model-0:"), ("  math:", "  dataset-12:")])
def test_a_name_that_a_trial_will_give_is_refused(old: str, new: str, refusal: Callable[..., str]) -> None:
    assert "names of what trial N makes. Choose another name." in refusal(changed(old, new))


@pytest.mark.parametrize("name", ["model-a", "my-model-0", "model-0.5"])
def test_a_name_that_only_looks_like_one_is_accepted(name: str, load: Load) -> None:
    assert name in load(changed("  base:", f"  {name}:")).body.models


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
    began = State(config=load().dump(), id_formula=ID_FORMULA)
    ways = "execution.runner.kind=inline", "execution.workers=2", "execution.timeout_min=1"
    assert [type(event) for event in changes(load(STUDY, *ways), began, [], [])] == [StudyOpened]
    with pytest.raises(JournalError, match=r"execution\.dtype: was auto, is float16"):
        changes(load(STUDY, "execution.dtype=float16"), began, [], [])


def test_what_a_dataset_and_a_task_are_about_may_change_in_mid_study(load: Load) -> None:
    began = State(config=load().dump(), id_formula=ID_FORMULA, prompts={"own": ("What is 1 + 1?",)})
    said = "datasets.math.about=Sums of two numbers.", "tasks.1.about=Sums."
    (event,) = changes(load(STUDY, *said), began, [], [])
    assert isinstance(event, StudyOpened)
    assert event.config["datasets"]["math"]["about"] == "Sums of two numbers."
    assert event.config["tasks"][1]["about"] == "Sums."
    assert event.prompts == {"own": ("What is 1 + 1?",)}


@pytest.mark.parametrize(
    ("policy", "kind"),
    [("{kind: auto}", "screen"), ("{kind: auto, model: local}", "agent"), ("{kind: surrogate}", "surrogate")],
)
def test_auto_is_an_agent_where_a_model_is_given_and_else_screen(load: Load, policy: str, kind: str) -> None:
    study = load(STUDY.replace("{kind: random}", policy))
    assert study.policy[0] == kind == study.dump()["policy"]["kind"]


def test_a_study_that_names_no_policy_is_searched_by_screen(load: Load) -> None:
    assert load(STUDY.replace("policy: {kind: random}\n", "")).policy[0] == "screen"
