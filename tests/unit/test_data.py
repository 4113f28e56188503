from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import DataError
from lamdagent.objects.datasets.formats import task_items, training_rows
from lamdagent.objects.datasets.readers import Source, read_rows

ROWS = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(10)]
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(file: Path, split: str = "train") -> list[tuple[str, dict[str, Any]]]:
    return list(read_rows(Source(path=file.name, folder=file.parent, split=split)))


def shaped(
    *rows: dict[str, Any], chat: bool = False, columns: Mapping[str, str] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    made = training_rows(((f"f:{i}", row) for i, row in enumerate(rows, 1)), columns or {}, chat=chat)
    return [(shape, kept) for _, shape, kept in made]


def items(*rows: dict[str, Any], **columns: str) -> list[dict[str, Any]]:
    return list(task_items(((f"f:{i}", row) for i, row in enumerate(rows, 1)), columns))


def error_of(make: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        make()
    return str(caught.value)


# Reading


def test_every_kind_of_file_gives_the_same_rows(write: Write, tmp_path: Path) -> None:
    csv = "prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in ROWS)
    files = [write("a.jsonl", jsonl(ROWS)), write("a.json", json.dumps(ROWS)), write("a.csv", csv)]
    for file in files:
        assert [row for _, row in read(file)] == ROWS


def test_a_parquet_file_gives_its_rows_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert [row for _, row in read(tmp_path / "a.parquet", "train[2:4]")] == ROWS[2:4]
    (tmp_path / "a.parquet").write_bytes(b"PAR1 or not")
    assert "a.parquet: not a parquet file" in error_of(lambda: read(tmp_path / "a.parquet"))


def test_a_row_says_where_it_stands(write: Write) -> None:
    file = write("a.jsonl", "\n" + jsonl(ROWS[:1]) + "\n\n" + jsonl(ROWS[1:2]))
    assert [where for where, _ in read(file)] == [f"{file}:2", f"{file}:5"]
    assert [where for where, _ in read(write("a.json", json.dumps(ROWS[:2])))][1].endswith("a.json row 1")


@pytest.mark.parametrize(
    ("split", "kept"),
    [
        ("train", range(10)),
        ("whatever", range(10)),
        ("train[:3]", range(3)),
        ("train[3:5]", range(3, 5)),
        ("train[8:]", range(8, 10)),
        ("train[:]", range(10)),
        ("train[:99]", range(10)),
        ("train[:20%]", range(2)),
        ("train[50%:]", range(5, 10)),
        ("train[1:50%]", range(1, 5)),
    ],
)
def test_a_split_can_be_a_slice_of_a_local_file(split: str, kept: range, write: Write) -> None:
    assert [row for _, row in read(write("a.jsonl", jsonl(ROWS)), split)] == [ROWS[i] for i in kept]


def test_a_slice_stops_reading_where_it_ends(write: Write) -> None:
    file = write("a.jsonl", jsonl(ROWS[:2]) + "not JSON\n")
    assert len(read(file, "train[:2]")) == 2


@pytest.mark.parametrize("split", ["train[-3:]", "train[3]", "train[a:b]", "train+test", ""])
def test_a_split_that_is_no_slice_is_refused(split: str, write: Write) -> None:
    file = write("a.jsonl", jsonl(ROWS))
    assert "is not of the form train or train[10:20] or train[10%:]" in error_of(lambda: read(file, split))


FILES = {
    "a line that is no JSON": ("a.jsonl", '{"a": 1}\n{"a": \n', "a.jsonl:2: not JSON"),
    "a line that is no object": (
        "a.jsonl",
        '{"a": 1}\n[1]\n',
        "a.jsonl:2: expected an object with named columns, found list",
    ),
    "one object a line in .json": ("a.json", '{"a": 1}\n{"a": 2}\n', "a.json: not JSON (Extra data: line 2 column 1"),
    "an object for a list": ("a.json", '{"a": 1}', "a.json: expected a list of objects."),
    "a list of texts": ("a.json", '[{"a": 1}, "b"]', "a.json row 1: expected an object with named columns, found str"),
    "a cell too many": ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv row 1: has more or fewer cells than the header."),
    "a cell too few": ("a.csv", "a,b\n1\n", "a.csv row 0: has more or fewer cells than the header."),
    "no rows": ("a.jsonl", "\n\n", "a.jsonl: no rows in split 'train'."),
    "an unknown ending": ("a.txt", "text", "a.txt: expected a file ending in .jsonl, .json, .csv, .parquet."),
}


@pytest.mark.parametrize("mistake", FILES)
def test_a_file_that_cannot_be_read_is_told_with_its_line(mistake: str, write: Write) -> None:
    name, text, message = FILES[mistake]
    file = write(name, text)
    assert message in error_of(lambda: read(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert error_of(lambda: read(tmp_path / "none.jsonl")) == f"{tmp_path / 'none.jsonl'}: no such file."


def test_a_slice_beyond_the_end_has_no_rows(write: Write) -> None:
    file = write("a.jsonl", jsonl(ROWS))
    assert "no rows in split 'train[20:]'" in error_of(lambda: read(file, "train[20:]"))


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('{"a": "é"}\n'.encode("latin-1"))
    assert "cannot be read as UTF-8" in error_of(lambda: read(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(("name", "text"), [("a.csv", "\ufeffa,b\n1,2\n"), ("a.jsonl", '\ufeff{"a": "1", "b": "2"}\n')])
def test_a_byte_order_mark_is_not_part_of_the_data(name: str, text: str, write: Write) -> None:
    assert [row for _, row in read(write(name, text))] == [{"a": "1", "b": "2"}]


def test_a_name_without_a_file_is_one_of_the_hub(tmp_path: Path) -> None:
    assert Source(path="openai/gsm8k", folder=tmp_path).file is None
    assert Source(path="rows.jsonl", folder=tmp_path).file == tmp_path / "rows.jsonl"


# Training rows


def completed(prompt: str, completion: str) -> tuple[str, dict[str, Any]]:
    return "prompt_completion", {"prompt": prompt, "completion": completion}


def turns(**by_role: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in by_role.items()]


SHARED = [{"from": "system", "value": "s"}, {"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]
PAIR = {"prompt": "p", "chosen": "c", "rejected": "r"}
SHAPES: dict[str, tuple[dict[str, Any], tuple[str, dict[str, Any]]]] = {
    "prompt and completion": ({"prompt": "p", "completion": "c", "id": 1}, completed("p", "c")),
    "alpaca": ({"instruction": "do", "input": "this", "output": "done"}, completed("do\n\nthis\n\n", "done")),
    "alpaca without input": ({"instruction": "do", "input": "", "output": "done"}, completed("do\n\n", "done")),
    "alpaca with a response": ({"instruction": "do", "response": "done"}, completed("do\n\n", "done")),
    "messages": (
        {"messages": turns(user="u", assistant="a"), "id": 1},
        ("messages", {"messages": turns(user="u", assistant="a")}),
    ),
    "sharegpt": ({"conversations": SHARED}, ("messages", {"messages": turns(system="s", user="u", assistant="a")})),
    "preference": ({**PAIR, "id": 1}, ("preference", PAIR)),
    "text": ({"text": "t", "meta": 3}, ("text", {"text": "t"})),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_row_is_kept_in_one_of_four_shapes(name: str) -> None:
    row, kept = SHAPES[name]
    assert shaped(row) == [kept]


def test_chat_puts_prompt_and_completion_into_messages() -> None:
    chat = ("messages", {"messages": turns(user="p", assistant="c")})
    assert shaped({"prompt": " p\n", "completion": " c"}, chat=True) == [chat]
    assert shaped({"text": "t"}, chat=True) == [("text", {"text": "t"})]


def test_columns_rename_and_fill_templates() -> None:
    row = {"question": "2+2?", "answers": ["3", "4"], "right": 1}
    columns = {"prompt": "Q: {{question}}\nA:\n", "completion": " {{answers[right]}}"}
    assert shaped(row, columns=columns) == [("prompt_completion", {"prompt": "Q: 2+2?\nA:\n", "completion": " 4"})]
    assert shaped(row, columns={"text": "question"}) == [("text", {"text": "2+2?"})]
    assert shaped(row, columns={"text": "{% for a in answers %}{{a}};{% endfor %}"}) == [("text", {"text": "3;4;"})]


TRAINING_MISTAKES: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "no known columns": ({"q": "x", "a": "y"}, {}, "the columns q, a are none of: prompt and completion; messages;"),
    "a number for text": ({"text": 3}, {}, "'text' must be text, not 3."),
    "an empty completion": ({"prompt": "p", "completion": ""}, {}, "'completion' must be text, not ''."),
    "an unknown role": ({"messages": turns(bot="x")}, {}, "a message needs a role (human, user, gpt,"),
    "content that is no text": ({"messages": [{"role": "user", "content": None}]}, {}, "a message needs a role"),
    "no messages": ({"messages": []}, {}, "messages must be a list with at least one message."),
    "a message that is text": ({"messages": ["hello"]}, {}, "a message needs a role"),
    "a missing column": (
        {"question": "x"},
        {"text": "qestion"},
        "no column 'qestion' (wanted as 'text'). Did you mean",
    ),
    "a template over nothing": ({"a": "x"}, {"text": "{{b}}"}, "the template for 'text' fails: 'b' is undefined"),
    "a template beyond a list": ({"a": ["x"]}, {"text": "{{a[3]}}"}, "the template for 'text' fails"),
    "a template that breaks out": ({"a": "x"}, {"text": "{{a.__class__.__mro__}}"}, "the template for 'text' fails"),
}


@pytest.mark.parametrize("mistake", TRAINING_MISTAKES)
def test_a_row_that_cannot_be_trained_on_is_told_with_its_line(mistake: str) -> None:
    row, columns, message = TRAINING_MISTAKES[mistake]
    assert error_of(lambda: shaped(row, columns=columns)).startswith(f"f:1: {message}")


def test_rows_are_shaped_one_at_a_time() -> None:
    given: list[tuple[str, dict[str, Any]]] = [("f:1", {"text": "t"}), ("f:2", {"bad": 1})]
    rows = training_rows(iter(given), {}, chat=False)
    assert next(rows) == ("f:1", "text", {"text": "t"})
    assert error_of(lambda: next(rows)).startswith("f:2: ")


def test_a_template_that_does_not_parse_is_the_users_to_mend() -> None:
    assert "the template for 'text' cannot be read: " in error_of(lambda: shaped({"a": "x"}, columns={"text": "{{a"}))


@pytest.mark.parametrize("messages", [turns(user="hello?"), turns(assistant="hello?"), turns(assistant="a", user="u")])
def test_a_conversation_without_an_assistant_turn_is_refused(messages: list[dict[str, str]]) -> None:
    message = error_of(lambda: shaped({"messages": messages}))
    assert message == "f:1: messages need one of the assistant, after at least one other, to learn from."


# Task rows


@pytest.mark.parametrize(
    ("row", "item"),
    [
        ({"prompt": "p", "answer": "a"}, {"prompt": "p", "answer": ["a"]}),
        ({"prompt": "p", "answer": 7}, {"prompt": "p", "answer": ["7"]}),
        ({"prompt": "p", "answer": ["a", "b"]}, {"prompt": "p", "answer": ["a", "b"]}),
        ({"prompt": "p", "choices": ["x", "y"], "answer": 1}, {"prompt": "p", "choices": ["x", "y"], "answer": 1}),
        ({"prompt": "p", "choices": ["x", "y"], "answer": "1"}, {"prompt": "p", "choices": ["x", "y"], "answer": 1}),
        ({"prompt": "p", "choices": ["x", "y"], "answer": "x"}, {"prompt": "p", "choices": ["x", "y"], "answer": 0}),
        (
            {"prompt": "p", "choices": ["1", "0"], "answer_text": "0"},
            {"prompt": "p", "choices": ["1", "0"], "answer": 1},
        ),
        (
            {"prompt": "p", "choices": ["1", "0"], "answer_index": "0"},
            {"prompt": "p", "choices": ["1", "0"], "answer": 0},
        ),
        ({"prompt": "p", "choices": ["3", "4"], "answer": "4"}, {"prompt": "p", "choices": ["3", "4"], "answer": 1}),
        ({"prompt": "p", "choices": ["0", "1"], "answer": "1"}, {"prompt": "p", "choices": ["0", "1"], "answer": 1}),
    ],
)
def test_a_task_row_becomes_an_item(row: dict[str, Any], item: dict[str, Any]) -> None:
    assert items(row) == [item]


def test_columns_of_a_task_are_mapped_too() -> None:
    row = {"question": "q", "options": ["x", "y"], "label": 1}
    (item,) = items(row, prompt="Q: {{question}}", choices="options", answer="label")
    assert item == {"prompt": "Q: q", "choices": ["x", "y"], "answer": 1}


def test_an_index_that_a_template_renders_is_an_index_where_the_key_says_so() -> None:
    row = {"question": "q", "options": ["2", "0", "1"], "label": 2}
    assert items(row, prompt="question", choices="options", answer_index="{{label}}")[0]["answer"] == 2
    assert "Name the column answer_text" in error_of(
        lambda: items(row, prompt="question", choices="options", answer="{{label}}")
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "p", "target": "a"}, "f:1: a task's row needs prompt and answer; it has prompt, target."),
        ({"prompt": "", "answer": "a"}, "f:1: 'prompt' must be text, not ''."),
        ({"prompt": "p", "choices": ["x", "y"], "answer": "z"}, "f:1: answer 'z' is none of the 2 choices"),
        ({"prompt": "p", "choices": ["x", "y"], "answer": True}, "f:1: answer True is none of the 2 choices"),
        ({"prompt": "p", "choices": ["x", "y"], "answer_index": "x"}, "f:1: answer_index 'x' is none of the 2 choices"),
        ({"prompt": "p", "choices": ["x", "y"], "answer_text": "1"}, "f:1: answer_text '1' is none of the 2 choices"),
        (
            {"prompt": "p", "choices": ["1", "0"], "answer": "0"},
            "f:1: answer '0' is the text of choice 1 and the index of choice 0 (from 0). Name the column answer_text or",
        ),
        ({"prompt": "p", "choices": ["x"], "answer": "x"}, "f:1: choices must be two or more different texts"),
        (
            {"prompt": "p", "choices": ["x", "y", "x"], "answer": "x"},
            "f:1: the right choice 'x' stands among the choices twice.",
        ),
        ({"prompt": "p", "answer_index": 0}, "f:1: a task's row needs prompt and answer"),
        ({"prompt": "p", "choices": None, "answer_text": "x"}, "f:1: a task's row needs prompt and answer"),
        ({"prompt": "p", "answer": float("nan")}, "f:1: answer must be a text, a number, or a list of them, not nan."),
        ({"prompt": "p", "choices": ["x", "y"], "answer": 2}, "f:1: answer 2 is none of the 2 choices"),
        ({"prompt": "p", "choices": ["x", "y"], "answer": -1}, "f:1: answer -1 is none of the 2 choices"),
        ({"prompt": "p", "choices": ["x", 3], "answer": 0}, "f:1: choices must be a list of texts, not ['x', 3]."),
    ],
)
def test_a_task_row_that_makes_no_item_is_told_with_its_line(row: dict[str, Any], message: str) -> None:
    assert error_of(lambda: items(row)).startswith(message)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"tools": [{"type": "function", "function": "f"}]}, "'tools' must be a list of objects"),
        ({"tools": ["f"]}, "'tools' must be a list of objects"),
    ],
)
def test_tools_that_chat_templates_cannot_take_are_told_with_their_line(extra: dict[str, Any], message: str) -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert message in error_of(lambda: list(training_rows([("f:1", {"messages": talk, **extra})], {}, chat=False)))


@pytest.mark.parametrize(
    "function", [{"arguments": "{}"}, {"name": 3, "arguments": {}}, {"name": "f", "arguments": "{"}]
)
def test_a_tool_call_without_name_or_arguments_is_told_with_its_line(function: dict[str, Any]) -> None:
    answer = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    talk = [{"role": "user", "content": "a"}, answer]
    message = error_of(lambda: list(training_rows([("f:1", {"messages": talk})], {}, chat=False)))
    assert "f:1: a tool call needs a function with a name and JSON arguments" in message


@pytest.mark.parametrize("choices", ["x or y", 3, {"a": "x"}])
def test_choices_that_are_no_list_are_refused(choices: Any) -> None:
    message = error_of(lambda: items({"prompt": "p", "choices": choices, "answer": 0}))
    assert message == f"f:1: choices must be a list of texts, not {choices!r}."


@pytest.mark.parametrize("answer", [None, [], {"a": 1}, [None]])
def test_an_answer_that_is_neither_text_nor_number_is_refused(answer: Any) -> None:
    message = error_of(lambda: items({"prompt": "p", "answer": answer}))
    assert message == f"f:1: answer must be a text, a number, or a list of them, not {answer!r}."
