"""Ids cover every input of a result: one input is changed at a time, and another id expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.study_file import STUDY, Load

from lamdagent.core.errors import JournalError
from lamdagent.core.state import State
from lamdagent.core.types import ID_FORMULA, Object
from lamdagent.evaluation.tasks.task_files import task_files_id
from lamdagent.objects.models.hub import HubModel, folder_id, gguf_id, hub_id
from lamdagent.study.changes import changes

Edit = Callable[[Path], Any]


def write_model(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config", "generation_config", "tokenizer", "tokenizer_config", "special_tokens_map", "added_tokens"):
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "eos_token": "<end>"}))
    for name in ("chat_template.jinja", "merges.txt", "vocab.txt", "tokenizer.model", "model.safetensors", "README.md"):
        (folder / name).write_text(name)
    return folder


READ = [
    "model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "merges.txt", "vocab.txt", "tokenizer.model",
]  # fmt: skip


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("edit", [lambda f: f.write_text(f.read_text() + " "), lambda f: f.unlink()])
def test_a_models_id_covers_every_file_that_opening_it_reads(tmp_path: Path, name: str, edit: Edit) -> None:
    folder = write_model(tmp_path / "model")
    before = folder_id(folder, None)
    if name == "model.safetensors":
        (folder / name).write_text("other weights")
    else:
        edit(folder / name)
    assert folder_id(folder, None) != before


@pytest.mark.parametrize("name", ["special_tokens.json", "chat_template.json", "additional_chat_templates/tools.jinja"])
def test_a_file_that_is_added_gives_another_id(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "model")
    before = folder_id(folder, None)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    assert folder_id(folder, None) != before


def test_two_files_that_change_places_give_another_id(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    before = folder_id(folder, None)
    a, b = (folder / "vocab.txt").read_text(), (folder / "merges.txt").read_text()
    (folder / "vocab.txt").write_text(b), (folder / "merges.txt").write_text(a)
    assert folder_id(folder, None) != before


def test_a_models_id_covers_its_base_and_dtype_and_nothing_that_is_not_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    before = folder_id(folder, None)
    (folder / "README.md").write_text("another word")
    assert folder_id(folder, None) == before
    assert len({before, folder_id(folder, "base"), folder_id(folder, None, dtype="float16")}) == 3
    hub = HubModel(repo="a/b", commit="1")
    others = {hub_id(HubModel(repo="a/b", commit="2"), None, "auto"), hub_id(hub, "base", "auto")}
    assert len({hub_id(hub, None, "auto"), hub_id(hub, None, "float16"), *others}) == 4
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert gguf_id(tmp_path / "m.gguf", "auto") != gguf_id(tmp_path / "m.gguf", "float16")


def test_the_first_formula_is_kept_to_verify_older_studies_by(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    before = folder_id(folder, None, formula=1)
    (folder / "chat_template.jinja").write_text("another one")
    assert folder_id(folder, None, formula=1) == before


TASK = """\
task: rev
include: shared.yml
dataset_path: json
dataset_kwargs: {{data_files: {{validation: {data}}}}}
validation_split: validation
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: !function utils.exact}}]
"""


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    folder, data = tmp_path / "tasks", tmp_path / "rows.jsonl"
    (folder / "sub").mkdir(parents=True)
    data.write_text('{"prompt": "a", "answer": "b"}\n')
    (folder / "rev.yaml").write_text(TASK.format(data=data))
    (folder / "shared.yml").write_text("num_fewshot: 0\n")
    (folder / "utils.py").write_text("from sub.words import WORDS\ndef exact(**kw): return 1\n")
    (folder / "sub" / "words.py").write_text("WORDS = 1\n")
    (folder / "examples.jsonl").write_text("{}\n")
    (folder / "mine.yaml").write_text("group: mine\ntask: [rev]\n")
    (folder / "other.yaml").write_text("task: other\ndoc_to_text: x\n")
    return folder


def files_id(name: str, folder: Path) -> str | None:
    from lm_eval.tasks import TaskManager

    return task_files_id(name, TaskManager(include_path=str(folder), include_defaults=False).task_index, folder)


@pytest.mark.parametrize(
    "file", ["rev.yaml", "shared.yml", "utils.py", "sub/words.py", "examples.jsonl", "../rows.jsonl"]
)
def test_a_tasks_id_covers_its_file_its_code_its_examples_and_its_data(task_folder: Path, file: str) -> None:
    before = files_id("rev", task_folder), files_id("mine", task_folder)
    (task_folder / file).write_text((task_folder / file).read_text() + " \n")
    after = files_id("rev", task_folder), files_id("mine", task_folder)
    assert before[0] != after[0] and before[1] != after[1]


def test_another_tasks_file_changes_no_id_and_lm_evals_own_tasks_have_none_of_it(task_folder: Path) -> None:
    from lm_eval.tasks import TaskManager

    before = files_id("rev", task_folder)
    (task_folder / "other.yaml").write_text("task: other\ndoc_to_text: y\n")
    (task_folder / "third.yaml").write_text("task: third\ndoc_to_text: y\n")
    (task_folder / "runs" / "mine").mkdir(parents=True)  # of a study whose tasks lie beside it
    (task_folder / "runs" / "mine" / "journal.sqlite").write_bytes(b"x")
    assert files_id("rev", task_folder) == before
    assert task_files_id("gsm8k", TaskManager(include_path=str(task_folder)).task_index, task_folder) is None


def test_a_begun_study_is_refused_where_a_model_or_a_task_changed(load: Load) -> None:
    study = load(STUDY)
    model = Object(id="old", kind="model", name="base", uri="models/base", meta={"root": "old"})
    began = State(config=study.dump(), pool={"old": model}, id_formula=ID_FORMULA, task_ids={"own": "old"})
    task: Any = SimpleNamespace(name="own", ids={"validation": "new"})
    edited = Object(id="new", kind="model", name="base", uri="models/base", meta={"root": "new"})
    with pytest.raises(JournalError, match=r"model base .*: its content changed\n  task own: its content changed"):
        changes(study, began, [edited], [task])


def test_a_study_that_began_under_older_ids_is_refused_with_that_reason(load: Load) -> None:
    study = load(STUDY)
    with pytest.raises(JournalError, match="began under version 1 of ids"):
        changes(study, State(config=study.dump()), [], [])
