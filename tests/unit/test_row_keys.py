"""Every key of a row is used, counted as not used, or refused; missing values are missing in every kind of file."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lamdagent.actions._trl import examples_of
from lamdagent.core.errors import DataError
from lamdagent.objects.datasets.formats import task_items, training_rows
from lamdagent.objects.datasets.readers import Source, read_rows

HI, HELLO = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}


def kept(row: Mapping[str, Any], columns: Mapping[str, str] | None = None, unused: Counter[str] | None = None) -> Any:
    return next(training_rows([("f:1", row)], columns or {}, chat=False, unused=unused))[2]


def refused(row: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        kept(row, columns)
    assert str(caught.value).startswith("f:1: ")
    return str(caught.value)


def test_dollys_context_is_part_of_the_prompt() -> None:
    row = {"instruction": "When?", "context": "In 1924.", "response": "1924", "category": "closed_qa"}
    unused = Counter[str]()
    assert kept(row, unused=unused) == {"prompt": "When?\n\nIn 1924.\n\n", "completion": "1924"}
    assert unused == {"category": 1}


def test_system_and_history_become_turns() -> None:
    row = {
        "instruction": "And in winter?",
        "input": "",
        "output": "Twice.",
        "system": "You answer.",
        "history": [["How often?", "Hourly."]],
    }
    assert [(turn["role"], turn["content"]) for turn in kept(row)["messages"]] == [
        ("system", "You answer."), ("user", "How often?"), ("assistant", "Hourly."),
        ("user", "And in winter?"), ("assistant", "Twice."),
    ]  # fmt: skip


def test_a_system_text_and_tools_beside_a_conversation_are_kept() -> None:
    turns = [{"from": "human", "value": "Oslo?"}, {"from": "gpt", "value": "weather(Oslo)"}]
    row = kept({"conversations": turns, "system": "Only tools.", "tools": '[{"name": "weather"}]'})
    assert row["messages"][0] == {"role": "system", "content": "Only tools."}
    assert row["tools"] == [{"type": "function", "function": {"name": "weather"}}]
    assert examples_of(row)[0]["tools"] == row["tools"]


def test_tool_calls_and_reasoning_stay_with_their_turn() -> None:
    called = kept({"messages": [HI, {"role": "assistant", "content": None, "tool_calls": [CALL]}]})["messages"][1]
    assert called["tool_calls"][0]["function"] == {"name": "weather", "arguments": {"city": "Oslo"}}
    thought = kept({"messages": [HI, {**HELLO, "reasoning_content": "why not"}]})["messages"][1]
    assert thought["reasoning_content"] == "why not"


@pytest.mark.parametrize("off", [{"weight": 0}, {"train": False}, {"loss": False}, {"weight": 0.0}])
def test_a_turn_without_weight_is_read_and_not_learnt(off: dict[str, Any]) -> None:
    row = kept({"messages": [HI, {"role": "assistant", "content": "bad", **off}, HI, {**HELLO, "weight": 1}]})
    (example,) = examples_of(row)
    assert example["completion"] == [HELLO]
    assert example["prompt"] == [HI, {"role": "assistant", "content": "bad"}, HI]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": [HI, {"role": "assistant", "content": ""}]}, "an empty turn of the assistant"),
        ({"messages": [HI, {"role": "assistant", "content": " \n"}]}, "an empty turn of the assistant"),
        ({"messages": [{"role": "user", "content": ""}, HELLO]}, "an empty turn of the user"),
        ({"messages": [HI, {**HELLO, "weight": 0}]}, "nothing to learn"),
        ({"messages": [HI, {**HELLO, "weight": 0.5}]}, "'weight' of a message is 0 or 1"),
        ({"messages": [HI, {**HELLO, "function_call": {"name": "f"}}]}, "'function_call'"),
        ({"messages": [{**HI, "images": ["a.png"]}, HELLO]}, "'images'"),
        ({"messages": [HI, HELLO], "context": "the passage"}, "'context' is not used"),
        ({"messages": [HI, HELLO], "functions": [{"name": "f"}]}, "'functions' is not used"),
        ({"messages": [HI, HELLO], "tools": "not json"}, "'tools' is not JSON"),
        ({"prompt": "p", "completion": "c", "context": "the passage"}, "'context' is not used"),
        ({"prompt": "p", "completion": "c", "reasoning_content": "because"}, "'reasoning_content' is not used"),
        ({"prompt": "p", "chosen": "c", "rejected": "r", "system": "s"}, "'system' is not used"),
        ({"instruction": "hi", "input": ["a", "b"], "output": "hello"}, "'input' must be text, not ['a', 'b']"),
        ({"instruction": "hi", "output": "a", "history": "x"}, "'history' must be a list of pairs"),
        ({"prompt": "p", "completion": "ok \ud83d"}, "half of a surrogate pair"),
        ({"messages": [HI, {**HELLO, "content": "\udc00"}]}, "half of a surrogate pair"),
    ],
)
def test_what_cannot_be_trained_on_as_it_is_meant_is_refused(row: dict[str, Any], said: str) -> None:
    assert said in refused(row)


def test_a_task_row_with_half_an_emoji_is_refused() -> None:
    with pytest.raises(DataError, match="f:1: holds half of a surrogate pair"):
        list(task_items([("f:1", {"prompt": "emoji?", "answer": "ok \ud83d"})], {}))


def test_columns_that_nobody_named_are_counted_and_templates_name_theirs() -> None:
    unused = Counter[str]()
    row = {"q": "2+2?", "a": "4", "context": "sums", "empty": "", "nan": math.nan}
    assert kept(row, {"prompt": "{{q}}", "completion": "a"}, unused) == {"prompt": "2+2?", "completion": "4"}
    assert unused == {"context": 1}


def test_a_template_writes_nothing_for_what_is_missing_and_refuses_a_list() -> None:
    assert kept({"q": "hi", "more": math.nan}, {"text": "{{q}}{{more}}"}) == {"text": "hi"}
    assert "is no text" in refused({"q": ["a", "b"]}, {"text": "{{q}}"})
    assert kept({"q": ["a", "b"]}, {"text": "{{q | join('+')}}"}) == {"text": "a+b"}


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_a_missing_input_is_missing_in_every_kind_of_file(tmp_path: Path, kind: str) -> None:
    rows: list[dict[str, Any]] = [
        {"instruction": "hi", "input": value, "output": "hello"} for value in (math.nan, None)
    ]
    file = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "json":
        file.write_text(json.dumps(rows))
    elif kind == "csv":
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0])
            writer.writeheader()
            writer.writerows({**row, "input": ""} for row in rows)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({key: [row[key] for row in rows] for key in rows[0]}), file)
    read = training_rows(read_rows(Source(path=file.name, folder=tmp_path)), {}, chat=False)
    assert [row for _, _, row in read] == [{"prompt": "hi\n\n", "completion": "hello"}] * 2
