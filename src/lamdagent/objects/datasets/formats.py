"""The shapes that rows come in, and the four that they are kept in.

    prompt + completion           also alpaca columns: instruction (+ input or context) + output or response
    messages                      also sharegpt columns: conversations of {from, value}; with tools where there are any
    prompt + chosen + rejected    preferences
    text

Every column is used, counted as not used, or refused: what carries something to be learnt is never dropped. A `system`
or `history` beside prompt and completion makes turns of them.

`columns` renames on the way: a value is a column's name, or a Jinja template over the row's columns, as in lm-eval's
task files: `{prompt: "{{question}}\\nAnswer:", completion: " {{choices[answer]}}"}`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Number
from typing import Any, Literal

from lamdagent.core.errors import DataError, nearest
from lamdagent.core.templates import BadTemplate, Template, names_in
from lamdagent.core.text import SAMPLE_CHARS, sample_of
from lamdagent.objects.datasets.conversations import CARRIES, REASONING, conversation, missing, tools_of

Shape = Literal["prompt_completion", "messages", "preference", "text"]
ACCEPTED = "prompt and completion; messages; conversations; instruction and output; prompt, chosen and rejected; text"
TO_BE_LEARNT = frozenset(
    {
        "context",
        "input",
        "system",
        "system_prompt",
        "history",
        "tools",
        "functions",
        "tool_calls",
        "weight",
        *REASONING,
        *CARRIES,
    }
)
"""Columns that say what is to be learnt, or from what: a row that has one is refused where it is not used."""
SAMPLES = 2
"""Rows of a dataset that are kept as samples."""
SHOWN_PARTS = 4
ANSWERS = ("answer_text", "answer_index", "answer")
"""Columns by which a row with choices says which one is right; the first that is there counts."""


def training_rows(
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    columns: Mapping[str, str],
    *,
    chat: bool,
    unused: Counter[str] | None = None,
) -> Iterator[tuple[str, Shape, dict[str, Any]]]:
    """Rows in their kept shape, each with where it stands.

    Args:
        chat: put prompt and completion into `messages`, so that the model's chat template is applied.
        unused: counts the rows that have something in a column which is not used, by column.
    Raises:
        DataError: a row lacks its columns, holds something else than text in them, or has what is to be learnt in others.
    """
    pick, unused, named = selector(columns), Counter() if unused is None else unused, _columns_read(columns)
    for where, row in rows:
        picked = pick(where, row)
        shape, kept, used = _shaped(picked, where, unused)
        if chat and shape == "prompt_completion":
            turns = (("user", kept["prompt"]), ("assistant", kept["completion"]))
            shape, kept = "messages", {"messages": [{"role": r, "content": c.strip()} for r, c in turns]}
        for key, value in picked.items():
            if key not in used and not missing(value):
                _refuse_what_is_learnt(key, value, shape, used, where)
                unused[key] += 1
        if columns:
            unused.update(key for key, value in row.items() if key not in named and not missing(value))
        yield where, shape, _encodable(kept, where)


def shown_row(row: Mapping[str, Any]) -> str:
    """A training row to read: `prompt → answer`, each part cut so that both are seen."""
    if "messages" in row:
        parts = [f"{message['role']}: {message['content']}" for message in row["messages"]]
    else:
        parts = [value for value in row.values() if isinstance(value, str)]
    most = SAMPLE_CHARS // max(1, min(len(parts), SHOWN_PARTS))
    return " → ".join(sample_of(part, most) for part in parts[:SHOWN_PARTS])


def _refuse_what_is_learnt(key: str, value: Any, shape: Shape, used: set[str], where: str) -> None:
    if key in TO_BE_LEARNT and shape != "text" and not (key == "weight" and value == 1):
        raise DataError(
            f"{where}: {key!r} is not used in a row of {', '.join(sorted(used))}, and may be what is to be learnt, or from "
            "what. Say with columns what is trained on."
        )


def _columns_read(columns: Mapping[str, str]) -> set[str]:
    """The columns that a mapping takes, by name or in a template."""
    read = set(columns.values())
    for source in columns.values():
        try:
            read |= names_in(source)
        except BadTemplate:  # the row says so
            continue
    return read


def task_items(
    rows: Iterable[tuple[str, Mapping[str, Any]]], columns: Mapping[str, str], cluster: str | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of a task file as `{prompt, answer}` or `{prompt, choices, answer}`.

    `answer` is a list of accepted strings, or with `choices` the index of the right one. Of a row with choices, `answer`
    is read as the text of one or as its index, and refused where these are two; `answer_text` and `answer_index` say which.

    Args:
        cluster: the column that names what several rows were drawn with, kept as `cluster`; None where none does.
    Raises:
        DataError: a row lacks prompt, answer or cluster, or the answer is none of the choices, or neither text nor number.
    """
    pick = selector(columns)
    for where, row in rows:
        item = pick(where, row)
        choices = None if missing(item.get("choices")) else item["choices"]  # an empty cell of a table
        if "prompt" not in item or not any(key in item for key in (("answer",) if choices is None else ANSWERS)):
            raise DataError(
                f"{where}: a task's row needs prompt and answer; it has {', '.join(item)}. Map with columns."
            )
        if cluster is not None and item.get(cluster) is None:
            raise DataError(f"{where}: no column {cluster!r} (wanted as cluster). {nearest(cluster, item)}")
        drawn = {} if cluster is None else {"cluster": str(item[cluster])}
        prompt = _text(item, "prompt", where)
        if choices is not None:
            made = {"prompt": prompt, "choices": choices, "answer": _index(item, where), **drawn}
        else:
            made = {"prompt": prompt, "answer": _accepted(item["answer"], where), **drawn}
        yield _encodable(made, where)


def selector(columns: Mapping[str, str]) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    """A function from a row to the named columns; without `columns`, to the whole row.

    Raises:
        DataError: a template cannot be read; or (when called) a row has no such column, or a template fails on it.
    """
    templates = {}
    for target, source in columns.items():
        if "{{" in source or "{%" in source:
            try:
                templates[target] = Template(source, keep_trailing_newline=True, finalize=_filled_in)
            except BadTemplate as error:
                shown = f"({source!r:.200})"
                raise DataError(f"columns: the template for {target!r} cannot be read: {error} {shown}") from error

    def pick(where: str, row: Mapping[str, Any]) -> dict[str, Any]:
        picked = {} if columns else dict(row)
        for target, source in columns.items():
            if target in templates:
                try:
                    picked[target] = templates[target].render(row)
                except BadTemplate as error:
                    raise DataError(f"{where}: the template for {target!r} fails: {error}") from error
            elif source in row:
                picked[target] = row[source]
            else:
                raise DataError(f"{where}: no column {source!r} (wanted as {target!r}). {nearest(source, row)}")
        return picked

    return pick


def _filled_in(value: Any) -> Any:
    """What a template writes for a value: nothing for one that is missing.

    Raises:
        TypeError: it is a list or an object, which Python would write in its own spelling.
    """
    if isinstance(value, list | tuple | dict):
        raise TypeError(f"{value!r:.40} is no text; write it with a filter, such as `| join(', ')` or `| tojson`")
    return "" if missing(value) else value


def _encodable(kept: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        json.dumps(kept, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        bad = error.object[error.start : error.end]
        raise DataError(
            f"{where}: holds half of a surrogate pair ({bad!r}), as of an emoji that was cut; it is no Unicode text."
        ) from error
    return kept


def _shaped(row: dict[str, Any], where: str, unused: Counter[str]) -> tuple[Shape, dict[str, Any], set[str]]:
    """A row's shape, what is kept of it, and the columns that this used."""
    if "messages" in row or "conversations" in row:
        key = "messages" if "messages" in row else "conversations"
        return "messages", _as_messages(row, where, row[key], unused), {key, "system", "tools"}
    if {"prompt", "chosen", "rejected"} <= set(row):
        used = {"prompt", "chosen", "rejected"}
        return "preference", {key: _text(row, key, where) for key in ("prompt", "chosen", "rejected")}, used
    if {"prompt", "completion"} <= set(row):
        pair = (_text(row, "prompt", where), _text(row, "completion", where))
        return _pair_or_turns(row, where, pair, {"prompt", "completion"}, unused)
    answer = next((key for key in ("output", "response") if key in row), None)
    if "instruction" in row and answer:
        parts = [_text(row, "instruction", where), *(_optional(row, key, where) for key in ("input", "context"))]
        given = "\n\n".join(filter(None, parts)).strip()
        used = {"instruction", "input", "context", answer}
        return _pair_or_turns(row, where, (f"{given}\n\n", _text(row, answer, where)), used, unused)
    if "text" in row:
        return "text", {"text": _text(row, "text", where)}, {"text"}
    raise DataError(f"{where}: the columns {', '.join(row)} are none of: {ACCEPTED}. Map them with columns.")


def _pair_or_turns(
    row: Mapping[str, Any], where: str, pair: tuple[str, str], used: set[str], unused: Counter[str]
) -> tuple[Shape, dict[str, Any], set[str]]:
    """Prompt and completion, or turns where something was said before them."""
    if all(missing(row.get(key)) for key in ("system", "history", "tools")):
        return "prompt_completion", dict(zip(("prompt", "completion"), pair, strict=True)), used
    turns = [*_history(row, where), ("user", pair[0]), ("assistant", pair[1])]
    messages = [{"role": role, "content": text.strip()} for role, text in turns]
    return "messages", _as_messages(row, where, messages, unused), {*used, "system", "history", "tools"}


def _as_messages(row: Mapping[str, Any], where: str, turns: Any, unused: Counter[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {"messages": conversation(turns, where, unused)}
    if system := _optional(row, "system", where):
        if kept["messages"][0]["role"] == "system":
            raise DataError(f"{where}: has 'system' and a system turn; leave one out.")
        kept["messages"].insert(0, {"role": "system", "content": system})
    if not missing(row.get("tools")):
        kept["tools"] = tools_of(row["tools"], where)
    return kept


def _history(row: Mapping[str, Any], where: str) -> list[tuple[str, str]]:
    """Earlier turns, as alpaca rows have them: pairs of what was said and what was answered."""
    if missing(pairs := row.get("history")):
        return []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(said, str) for said in pair) for pair in pairs
    ):
        raise DataError(f"{where}: 'history' must be a list of pairs of texts, not {pairs!r:.60}.")
    return [(role, said) for pair in pairs for role, said in zip(("user", "assistant"), pair, strict=True)]


def _optional(row: Mapping[str, Any], key: str, where: str) -> str:
    """A column that may be missing; NaN is how tables write that."""
    value = row.get(key)
    return "" if missing(value) or (isinstance(value, str) and not value.strip()) else _text(row, key, where)


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where}: {key!r} must be text, not {value!r:.60}.")
    return value


def _accepted(answer: Any, where: str) -> list[str]:
    answers = answer if isinstance(answer, list) else [answer]
    if not answers or not all(isinstance(a, str | Number) and (a == "" or not missing(a)) for a in answers):
        raise DataError(f"{where}: answer must be a text, a number, or a list of them, not {answer!r:.60}.")
    return [str(a) for a in answers]


def _index(item: Mapping[str, Any], where: str) -> int:
    """Which choice a row calls right."""
    choices, key = item["choices"], next(key for key in ANSWERS if key in item)
    if not isinstance(choices, list) or not all(isinstance(c, str) and c for c in choices):
        raise DataError(f"{where}: choices must be a list of texts, not {choices!r:.60}.")
    if len(set(choices)) < 2:
        raise DataError(f"{where}: choices must be two or more different texts, not {choices!r:.60}.")
    answer = item[key]
    index = int(answer) if isinstance(answer, str) and re.fullmatch(r"\s*\d{1,9}\s*", answer) else answer
    whole = isinstance(index, int) and not isinstance(index, bool) and key != "answer_text"
    by_index = index if whole and 0 <= index < len(choices) else None
    by_text = choices.index(answer) if isinstance(answer, str) and answer in choices and key != "answer_index" else None
    if None not in (by_text, by_index) and by_text != by_index:
        raise DataError(
            f"{where}: answer {answer!r} is the text of choice {by_text} and the index of choice {by_index} (from 0). Name "
            "the column answer_text or answer_index, such as columns: {…, answer_index: answer}."
        )
    found = by_index if by_text is None else by_text
    if found is None:
        raise DataError(
            f"{where}: {key} {answer!r} is none of the {len(choices)} choices, nor an index of one (from 0)."
        )
    if choices.count(choices[found]) > 1:
        raise DataError(f"{where}: the right choice {choices[found]!r:.60} stands among the choices twice.")
    return int(found)
