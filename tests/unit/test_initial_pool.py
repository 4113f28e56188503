"""Ids of what the user brings."""

from __future__ import annotations

import json
from pathlib import Path

from lamdagent.actions.sft import Peft, SftHyperparameters, training_rows
from lamdagent.core.format import setting
from lamdagent.core.settings import setting_id, setting_object
from lamdagent.objects.datasets.formats import shown_row


def test_a_settings_id_follows_from_what_its_object_records() -> None:
    made = setting_object("sft", "lora", SftHyperparameters(learning_rate=1e-3, peft=Peft(r=8)))
    assert made.id == setting_id("sft", made.meta["given"])
    assert made.meta["values"]["peft"]["lora_alpha"] == 32
    assert setting(made) == "learning_rate=0.001, peft={r: 8}"


def test_writing_a_default_out_changes_no_id() -> None:
    plain, written = SftHyperparameters(peft=Peft()), SftHyperparameters(num_train_epochs=1.0, peft=Peft(r=16))
    assert setting_object("sft", "a", plain).id == setting_object("sft", "b", written).id
    assert setting_object("sft", "a", plain).id != setting_object("sft", "a", SftHyperparameters()).id
    assert setting(setting_object("sft", "a", plain)) == "peft=defaults"
    assert setting(setting_object("sft", "a", SftHyperparameters())) == "all defaults"


def test_a_line_separator_inside_a_text_does_not_split_its_row(tmp_path: Path) -> None:
    row = {"prompt": "one\u2028two\x85", "completion": "three"}
    (tmp_path / "data.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert training_rows(tmp_path / "data.jsonl") == [row]


def test_samples_show_prompt_and_answer_of_a_row_however_long_its_prompt_is() -> None:
    shown = shown_row({"prompt": "long " * 100, "completion": "right"})
    assert shown.endswith("… → right")
    assert len(shown) < 120
    messages = [{"role": "user", "content": "Hello\nthere"}, {"role": "assistant", "content": "Hi"}]
    assert shown_row({"messages": messages}) == "user: Hello there → assistant: Hi"
