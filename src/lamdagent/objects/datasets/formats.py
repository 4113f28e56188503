"""The shapes that rows come in, and the four that they are kept in.

    prompt + completion           also alpaca columns: instruction (+ input) + output or response
    messages                      also sharegpt columns: conversations of {from, value}
    prompt + chosen + rejected    preferences
    text

`columns` renames on the way: a value is a column's name, or a Jinja template over the row's columns, as in lm-eval's
task files: `{prompt: "{{question}}\\nAnswer:", completion: " {{choices[answer]}}"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Number
from typing import Any, Literal

from lamdagent.core.errors import DataError, nearest

Shape = Literal["prompt_completion", "messages", "preference", "text"]
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
ACCEPTED = "prompt and completion; messages; conversations; instruction and output; prompt, chosen and rejected; text"


def training_rows(
    rows: Iterable[tuple[str, Mapping[str, Any]]], columns: Mapping[str, str], *, chat: bool
) -> Iterator[tuple[Shape, dict[str, Any]]]:
    """Rows in their kept shape.

    Args:
        chat: put prompt and completion into `messages`, so that the model's chat template is applied.
    Raises:
        DataError: a row lacks its columns, or holds something else than text in them.
    """
    pick = selector(columns)
    for where, row in rows:
        shape, kept = _shaped(pick(where, row), where)
        if chat and shape == "prompt_completion":
            turns = (("user", kept["prompt"]), ("assistant", kept["completion"]))
            shape, kept = "messages", {"messages": [{"role": r, "content": c.strip()} for r, c in turns]}
        yield shape, kept


def task_items(
    rows: Iterable[tuple[str, Mapping[str, Any]]], columns: Mapping[str, str], cluster: str | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of a task file as `{prompt, answer}` or `{prompt, choices, answer}`.

    `answer` is a list of accepted strings, or with `choices` the index of the right one.

    Args:
        cluster: the column that names what several rows were drawn with, kept as `cluster`; None where none does.
    Raises:
        DataError: a row lacks prompt, answer or cluster, or the answer is none of the choices, or neither text nor number.
    """
    pick = selector(columns)
    for where, row in rows:
        item = pick(where, row)
        if "prompt" not in item or "answer" not in item:
            raise DataError(
                f"{where}: a task's row needs prompt and answer; it has {', '.join(item)}. Map with columns."
            )
        if cluster is not None and item.get(cluster) is None:
            raise DataError(f"{where}: no column {cluster!r} (wanted as cluster). {nearest(cluster, item)}")
        drawn = {} if cluster is None else {"cluster": str(item[cluster])}
        prompt, answer, choices = _text(item, "prompt", where), item["answer"], item.get("choices")
        if choices is not None:
            yield {"prompt": prompt, "choices": choices, "answer": _index(answer, choices, where), **drawn}
        else:
            yield {"prompt": prompt, "answer": _accepted(answer, where), **drawn}


def selector(columns: Mapping[str, str]) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    """A function from a row to the named columns; without `columns`, to the whole row.

    Raises:
        DataError: a template cannot be read; or (when called) a row has no such column, or a template fails on it.
    """
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    templates = {}
    for target, source in columns.items():
        if "{{" in source or "{%" in source:
            try:
                templates[target] = environment.from_string(source)
            except TemplateError as error:
                raise DataError(f"columns: the template for {target!r} cannot be read: {error} ({source!r})") from error

    def pick(where: str, row: Mapping[str, Any]) -> dict[str, Any]:
        picked = {} if columns else dict(row)
        for target, source in columns.items():
            if target in templates:
                try:
                    picked[target] = templates[target].render(row)
                except (TemplateError, TypeError, LookupError) as error:
                    raise DataError(f"{where}: the template for {target!r} fails: {error}") from error
            elif source in row:
                picked[target] = row[source]
            else:
                raise DataError(f"{where}: no column {source!r} (wanted as {target!r}). {nearest(source, row)}")
        return picked

    return pick


def _shaped(row: dict[str, Any], where: str) -> tuple[Shape, dict[str, Any]]:
    if "messages" in row or "conversations" in row:
        turns = row["messages"] if "messages" in row else row["conversations"]
        return "messages", {"messages": _conversation(turns, where)}
    if {"prompt", "chosen", "rejected"} <= set(row):
        return "preference", {key: _text(row, key, where) for key in ("prompt", "chosen", "rejected")}
    if {"prompt", "completion"} <= set(row):
        return "prompt_completion", {key: _text(row, key, where) for key in ("prompt", "completion")}
    answer = next((key for key in ("output", "response") if key in row), None)
    if "instruction" in row and answer:
        given = f"{_text(row, 'instruction', where)}\n\n{row.get('input') or ''}".strip()
        return "prompt_completion", {"prompt": f"{given}\n\n", "completion": _text(row, answer, where)}
    if "text" in row:
        return "text", {"text": _text(row, "text", where)}
    raise DataError(f"{where}: the columns {', '.join(row)} are none of: {ACCEPTED}. Map them with columns.")


def _conversation(turns: Any, where: str) -> list[dict[str, str]]:
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{where}: messages must be a list with at least one message.")
    kept = [_turn(turn, where) for turn in turns]
    if not any(turn["role"] == "assistant" for turn in kept[1:]):
        raise DataError(f"{where}: messages need one of the assistant, after at least one other, to learn from.")
    return kept


def _turn(turn: Any, where: str) -> dict[str, str]:
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    content = turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
    if role not in ROLES or not isinstance(content, str):
        raise DataError(f"{where}: a message needs a role ({', '.join(ROLES)}) and text as content, not {turn!r:.80}.")
    return {"role": ROLES[role], "content": content}


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: {key!r} must be text, not {value!r:.60}.")
    return value


def _accepted(answer: Any, where: str) -> list[str]:
    answers = answer if isinstance(answer, list) else [answer]
    if not answers or not all(isinstance(a, str | Number) for a in answers):
        raise DataError(f"{where}: answer must be a text, a number, or a list of them, not {answer!r:.60}.")
    return [str(a) for a in answers]


def _index(answer: Any, choices: Any, where: str) -> int:
    if not isinstance(choices, list) or not all(isinstance(c, str) and c for c in choices):
        raise DataError(f"{where}: choices must be a list of texts, not {choices!r:.60}.")
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and answer.isdigit():
        answer = int(answer)
    if isinstance(answer, int) and 0 <= answer < len(choices):
        return answer
    raise DataError(f"{where}: answer {answer!r} is none of the {len(choices)} choices, nor an index of one (from 0).")
