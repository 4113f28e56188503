"""`lamdagent init` with a user's own model, rows and tasks: what is guessed, said and refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.test_audit import brought
from tests.unit.test_rendering import CHAT, tokenizer
from typer.testing import CliRunner

from lamdagent.actions.sft import SftConfig
from lamdagent.core.errors import ConfigError, DataError
from lamdagent.core.metrics import METRICS
from lamdagent.study.config import load_study
from lamdagent.study.draft.cut import cut
from lamdagent.study.draft.settings import look_at, settings_for
from lamdagent.study.draft.write import draft, write_draft
from lamdagent.ui.cli.app import app

Rows = Sequence[Mapping[str, Any]]
SUMS: Rows = [{"question": f"What is {a} and {b}?", "answer": str(a + b)} for a in range(12) for b in range(12)]
WORDS: Rows = [{"prompt": f"say word {i}", "completion": f" w{i}"} for i in range(30)]


def write(file: Path, rows: Rows) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.fixture
def model(tmp_path: Path) -> str:
    brought(tmp_path / "model", tokenizer())
    return str(tmp_path / "model")


def drafted(tmp_path: Path, model: str, data: Rows, task: Rows, how: str = "") -> Any:
    files = write(tmp_path / "mine" / "train.jsonl", data), write(tmp_path / "asked" / "test.jsonl", task)
    made = draft(tmp_path / "study", [model], [files[0]], [files[1] + how])
    return yaml.safe_load(write_draft(made).read_text()), made


def test_questions_and_answers_become_a_study_that_loads(tmp_path: Path, model: str) -> None:
    study, made = drafted(tmp_path, model, WORDS, SUMS)
    (task,) = study["tasks"]
    assert task["metric"] == "number"
    assert task["columns"] == {"prompt": "{{question}}\nAnswer:", "answer": "answer"}
    assert study["datasets"]["mine"] == {"path": "../mine/train.jsonl"}
    assert any("number: nearly every answer is a number" in line for line in made.said)
    assert sum(line.startswith("    ") for line in made.said) == 4, "two rows of each file are shown"
    loaded = load_study(tmp_path / "study" / "study.yaml")
    assert [config.task for _, config in loaded.tasks] == ["asked"]


@pytest.mark.parametrize(
    ("rows", "metric"),
    [
        ([{"q": 0, "prompt": f"is {i} odd", "answer": "yes" if i % 2 else "no"} for i in range(60)], "exact_match"),
        ([{"question": f"{i}?", "answer": f"it is so, {i} of them #### {i}"} for i in range(60)], "number"),
        ([{"question": f"{i}?", "options": ["a", "b"], "answer": i % 2} for i in range(60)], "acc"),
        ([{"question": f"{i}?", "choices": ["a", "b"], "answer": "ab"[i % 2]} for i in range(60)], "acc"),
        ([{"query": f"turn {i}", "output": f"turn(by={i})"} for i in range(60)], "call"),
    ],
)
def test_the_metric_follows_from_what_answers_look_like(tmp_path: Path, model: str, rows: Rows, metric: str) -> None:
    study, _ = drafted(tmp_path, model, WORDS, rows)
    assert study["tasks"][0]["metric"] == (metric if metric in METRICS else "exact_match")
    load_study(tmp_path / "study" / "study.yaml")


@pytest.mark.parametrize(
    ("rows", "completion"),
    [
        ([{"question": f"{i}?", "choices": ["a", "b"], "answer": i % 2} for i in range(30)], " {{choices[answer]}}"),
        ([{"question": f"{i}?", "answer": ["yes", "yeah"]} for i in range(30)], " {{answer[0]}}"),
    ],
)
def test_of_choices_the_right_one_is_trained_on_and_of_several_answers_the_first(
    tmp_path: Path, model: str, rows: Rows, completion: str
) -> None:
    study, _ = drafted(tmp_path, model, rows, SUMS)
    assert study["datasets"]["mine"]["columns"] == {"prompt": "{{question}}\nAnswer:", "completion": completion}


def test_preferences_are_refused_with_what_could_be_trained_on(tmp_path: Path, model: str) -> None:
    rows = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(30)]
    with pytest.raises(DataError, match=r"rows of preferences .*--data FILE:prompt=prompt,completion=chosen"):
        drafted(tmp_path, model, rows, SUMS)


def test_what_cannot_be_guessed_is_an_error_that_names_the_flag(tmp_path: Path, model: str) -> None:
    long = [
        {"question": f"{i}?", "answer": "a long answer of many words that says all sorts of things"} for i in range(60)
    ]
    with pytest.raises(DataError, match=r"--task .*answers are long texts.*FILE:metric=contains"):
        drafted(tmp_path, model, WORDS, long)
    assert drafted(tmp_path, model, WORDS, long, ":metric=contains")[0]["tasks"][0]["metric"] == "contains"
    odd = [{"left": f"a{i}", "right": f"{i}"} for i in range(60)]
    with pytest.raises(DataError, match=r"--data .*FILE:prompt=COLUMN,completion=COLUMN"):
        drafted(tmp_path, model, odd, SUMS)
    with pytest.raises(DataError, match=r"--task .*FILE:prompt=COLUMN,answer=COLUMN"):
        drafted(tmp_path, model, WORDS, odd)
    assert drafted(tmp_path, model, WORDS, odd, ":prompt=left,answer=right")[0]["tasks"][0]["metric"] == "number"


def test_a_file_that_is_trained_on_and_asked_is_cut_and_its_sides_stay_out_of_training(
    tmp_path: Path, model: str
) -> None:
    both = write(tmp_path / "sums.jsonl", SUMS)
    study = yaml.safe_load(write_draft(draft(tmp_path / "study", [model], [both], [both], seed=3)).read_text())
    places = [study["datasets"]["sums"]["path"], study["tasks"][0]["path"], study["tasks"][0]["test"]]
    train, validation, test = (set((tmp_path / "study" / place).read_text().splitlines()) for place in places)
    assert len(validation) == round(0.15 * len(SUMS))
    assert train.isdisjoint(validation | test)
    assert validation.isdisjoint(test)
    assert len(train | validation | test) == len(SUMS)


def test_the_cut_keeps_equal_prompts_together_and_drops_what_is_near_from_the_test() -> None:
    story = "on a long and windy day the old man of the village went down to the river and counted"
    rows = [(f"f:{i}", {"prompt": f"{i}. {story if i < 6 else i} {i} fish", "answer": str(i)}) for i in range(100)]
    near = cut(rows, {}, seed=0, trained_on=False)
    assert near is not None
    told = [sum(story in row["prompt"] for row in side) for side in (near.validation, near.test)]
    assert near.dropped > 0
    assert told[1] == 0, "what shares 13 words with a validation item is in no test"
    twins = [("f:t", {"prompt": f"say {i % 50}", "answer": "x"}) for i in range(200)]
    sides = cut(twins, {}, seed=0, trained_on=False)
    assert sides is not None
    asked = [{row["prompt"] for row in side} for side in (sides.validation, sides.test)]
    assert asked[0].isdisjoint(asked[1])
    assert cut(twins, {}, seed=0, trained_on=False) == sides
    assert cut(twins, {}, seed=1, trained_on=False) != sides
    assert cut(rows[:30], {}, seed=0, trained_on=True) is None


def test_too_few_rows_for_a_task_are_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(DataError, match="30 rows are too few to cut a validation and a sealed test side"):
        drafted(tmp_path, model, WORDS, SUMS[:30])


def test_a_model_with_a_chat_template_is_trained_and_asked_through_it(tmp_path: Path) -> None:
    brought(tmp_path / "model", tokenizer(template=CHAT))
    study, _ = drafted(tmp_path, str(tmp_path / "model"), SUMS, SUMS[:100])
    assert study["datasets"]["mine"]["chat"] is True
    assert study["datasets"]["mine"]["columns"] == {"prompt": "question", "completion": "answer"}
    assert study["tasks"][0]["chat"] is True
    assert study["tasks"][0]["columns"]["prompt"] == "question"


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("org/model-135M", {"gentle", "firm", "lora"}),
        ("org/Model-1.5B-Instruct", {"lora_gentle", "lora_firm"}),
        ("org/model", {"lora_gentle", "lora_firm"}),
    ],
)
def test_settings_follow_from_the_size_of_the_model(name: str, kinds: set[str]) -> None:
    settings, why = settings_for([look_at(name, Path(name))])
    assert settings.keys() - {"free"} == kinds
    assert why
    SftConfig.model_validate({"hyperparameters": settings})


def test_rows_of_one_prompt_cannot_be_cut(tmp_path: Path, model: str) -> None:
    rows = [{"prompt": "Translate.", "answer": f"w{i}"} for i in range(300)]
    with pytest.raises(DataError, match="rows of one prompt on one side"):
        drafted(tmp_path, model, WORDS, rows)


def test_what_a_question_is_about_is_asked_and_trained_on_in_the_same_words(tmp_path: Path, model: str) -> None:
    alpaca = [{"instruction": "Translate.", "input": f"word {i}", "output": f"w{i}"} for i in range(90)]
    study, _ = drafted(tmp_path, model, alpaca, alpaca)
    asked = "{{instruction}}{% if input %}\n\n{{input}}{% endif %}\nAnswer:"
    assert study["datasets"]["mine"]["columns"] == {"prompt": asked, "completion": " {{output}}"}
    assert study["tasks"][0]["columns"] == {"prompt": asked, "answer": "output"}
    told = [{"context": f"It is {i}.", "question": "How much?", "answer": f"{i}", "id": i} for i in range(90)]
    study, made = drafted(tmp_path, model, told, told)
    assert study["tasks"][0]["columns"]["prompt"].startswith("{% if context %}{{context}}")
    assert any("columns context, question, answer; not used: id" in line for line in made.said)


def test_one_file_under_two_names_is_one_file_that_is_cut(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = write(tmp_path / "sums.jsonl", SUMS)
    monkeypatch.chdir(tmp_path)
    made = draft(tmp_path / "study", [model], ["./sums.jsonl"], [both])
    assert made.entries["datasets"]["sums"]["path"] == "data/sums.jsonl"
    assert not {str(row) for row in made.files["data/sums.jsonl"]} & {
        str(row) for side in ("validation", "test") for row in made.files[f"tasks/sums.{side}.jsonl"]
    }


@pytest.mark.parametrize(
    ("rows", "metric"),
    [
        ([{"question": f"{i}?", "answer": f"[{i}, 2]"} for i in range(60)], "exact_match"),
    ],
)
def test_what_only_looks_like_a_call_is_none(tmp_path: Path, model: str, rows: Rows, metric: str) -> None:
    assert drafted(tmp_path, model, WORDS, rows)[0]["tasks"][0]["metric"] == metric


@pytest.mark.parametrize(
    ("data", "task", "words"),
    [
        (":prompt=question", "", "takes both prompt and completion"),
        (":text=question", "", "takes both prompt and completion"),
        ("", ":anser=answer", "no key 'anser'. Did you mean 'answer'"),
        ("", ":metric=exact", "no metric 'exact'"),
    ],
)
def test_what_is_said_of_columns_must_be_whole(tmp_path: Path, model: str, data: str, task: str, words: str) -> None:
    file = write(tmp_path / "mine.jsonl", SUMS)
    with pytest.raises(DataError, match=re.escape(words)):
        draft(tmp_path / "study", [model], [file + data], [file + task])


def test_a_template_and_a_metric_that_the_user_gives_are_taken(tmp_path: Path, model: str) -> None:
    rows = [{"q": f"{i}?", "choices": ["a", "b"], "right": i % 2} for i in range(60)]
    study, _ = drafted(tmp_path, model, WORDS, rows, ":prompt={{q}} A:,answer=right,metric=acc_norm")
    assert study["tasks"][0]["columns"]["prompt"] == "{{q}} A:"
    assert study["tasks"][0]["metric"] == "acc_norm"


def test_names_that_yaml_reads_as_something_else_are_quoted(tmp_path: Path, model: str) -> None:
    null, odd = write(tmp_path / "null.jsonl", WORDS), write(tmp_path / "données.jsonl", WORDS)
    study = write_draft(draft(tmp_path / "2024", [model], [null, odd], [write(tmp_path / "t.jsonl", SUMS)]))
    loaded = load_study(study)
    assert loaded.body.study == "2024"
    assert set(loaded.body.datasets) == {"null", "donn-es"}


def test_each_of_the_three_is_asked_for_and_a_template_is_none_of_them(tmp_path: Path, model: str) -> None:
    rows = write(tmp_path / "rows.jsonl", WORDS)
    with pytest.raises(ConfigError, match="a study needs --task too"):
        draft(tmp_path / "study", [model], [rows], [])
    result = CliRunner().invoke(app, ["init", str(tmp_path / "s"), "--template", "tiny", "--model", model])
    assert "leave it out, or --model, --data and --task" in str(result.exception)
    with pytest.raises(DataError, match=r"--model \./nowhere: no such folder"):
        draft(tmp_path / "study", ["./nowhere"], [rows], [rows])
