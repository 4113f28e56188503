"""What a file of rows is, by its columns and answers: the guesses of `lamdagent init`, and the words that say why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamdagent.core.calls import calls_in
from lamdagent.core.errors import DataError, nearest
from lamdagent.core.metrics import METRICS
from lamdagent.core.numerals import last_values
from lamdagent.core.templates import names_in
from lamdagent.objects.datasets.formats import selector, shown_row, task_items, training_rows

LOOKED_AT = 500
"""Rows of a file that a guess rests on."""
MOST = 0.98
"""Share of the answers that must be of a kind."""
SHORT_WORDS = 8
ASKS = ("prompt", "question", "instruction", "query", "problem", "input", "source")
ANSWERS = ("completion", "answer", "answers", "output", "response", "solution", "target", "label")
CHOICES = ("choices", "options")
BESIDE = {"instruction": ("input", "context"), "question": ("context", "passage")}
"""What is asked about, where a row has it: after an instruction, before a question."""
TURNS = ("messages", "conversations", "system", "history", "tools")
"""Columns of conversations, which are read as they are."""
NUMBER = re.compile(r"[$€£]?\s?[-+\u2212]?[\d.,/:]+\s?%?(\s\w+){0,2}\.?")
"""A number, perhaps with a unit. Answers that end with one are told by the #### of GSM8K."""
Row = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RowsGuess:
    """How rows are read: the keys of an entry of `datasets` or `tasks`, why, and two rows as they will be."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    why: str
    shown: tuple[str, ...] = ()


def guess_training(rows: Sequence[Row], given: Mapping[str, str], *, chat: bool) -> RowsGuess:
    """How rows are trained on.

    Args:
        given: `prompt` and `completion` as the user names their columns.
        chat: the model has a chat template.
    Raises:
        DataError: it cannot be told; the message names the option that says it.
    """
    if given and set(given) != {"prompt", "completion"}:
        raise DataError(f"takes both prompt and completion, and no other key, not {', '.join(given)}: {SAY_COLUMNS}")
    columns = _asked_and_answered(rows, given, "completion", chat=chat) if given or not _as_they_are(rows) else {}
    if "completion" in columns:
        right = _right(rows, columns["completion"])
        columns["completion"] = right if chat else f" {right}" if "{{" in right else f" {{{{{right}}}}}"
    try:
        read = list(training_rows(rows, columns, chat=False))
    except DataError as error:
        raise DataError(f"{error} {SAY_COLUMNS}") from None
    shape = read[0][1]
    if shape == "preference":
        raise DataError(
            f"{rows[0][0]}: rows of preferences (prompt, chosen, rejected), which no action here trains on. To train on "
            "what was chosen: --data FILE:prompt=prompt,completion=chosen."
        )
    asked_in_chat = chat and shape == "prompt_completion"
    keys: dict[str, Any] = {**({"columns": columns} if columns else {}), **({"chat": True} if asked_in_chat else {})}
    why = f"{shape}, by the columns {_told_columns(rows, columns)}"
    why += "; in the model's chat template" if asked_in_chat else ""
    return RowsGuess(keys=keys, why=why, shown=tuple(shown_row(kept) for _, _, kept in read[:2]))


SAY_COLUMNS = "Say which columns are trained on: --data FILE:prompt=COLUMN,completion=COLUMN."
TASK_KEYS = ("prompt", "answer", "choices", "metric")


def guess_task(rows: Sequence[Row], given: Mapping[str, str], *, chat: bool) -> RowsGuess:
    """How rows are asked, in the words that `guess_training` trains on, and how answers are told right from wrong.

    Args:
        given: `prompt`, `answer`, `choices` and `metric` as the user names them.
        chat: the model has a chat template.
    Raises:
        DataError: it cannot be told; the message names the option that says it.
    """
    first = rows[0][1]
    if unknown := [key for key in given if key not in TASK_KEYS]:
        raise DataError(f"no key {unknown[0]!r}. {nearest(unknown[0], TASK_KEYS)}")
    columns = _asked_and_answered(rows, given, "answer", chat=chat)
    if not columns:
        raise DataError(
            f"{rows[0][0]}: which of the columns {', '.join(map(str, first))} asks, and which is the right answer? Say it: "
            "--task FILE:prompt=COLUMN,answer=COLUMN."
        )
    shared: dict[str, Any] = {"chat": True} if chat else {}
    choices = given.get("choices") or next((c for c in CHOICES if c in first), None)
    if choices is not None:
        by_index = all(isinstance(row.get(columns["answer"]), int) for _, row in rows)
        columns |= {"choices": choices, "answer_index" if by_index else "answer_text": columns.pop("answer")}
        metric, how = given.get("metric", "acc"), "the index from 0" if by_index else "the text"
        why = f"each row has {choices}, and the answer is {how} of the right one"
        shared |= {} if chat else {"target_delimiter": " "}
    else:
        metric, why = (given["metric"], "as you say") if "metric" in given else _metric(rows, columns)
        shared["max_new_tokens"] = _room(rows, columns)
    if metric not in METRICS:
        raise DataError(f"no metric {metric!r}. Known: {', '.join(METRICS)}.")
    why = f"{metric}: {why}; columns {_told_columns(rows, columns)}"
    return RowsGuess(keys={"columns": columns, "metric": metric, **shared}, why=why, shown=_shown(rows, columns))


def _asked_and_answered(rows: Sequence[Row], given: Mapping[str, str], answer: str, *, chat: bool) -> dict[str, str]:
    """What asks, as a column or a template that ends as a question does where there is no chat template, and the column
    that answers; nothing where one of them is not found."""
    prompt = given.get("prompt") or _first(rows, ASKS)
    answers = given.get(answer) or _first(rows, [name for name in ANSWERS if name != prompt])
    if prompt is None or answers is None:
        return {}
    if "{{" in prompt or prompt == "prompt":
        return {"prompt": prompt, answer: answers}
    beside = next((name for name in BESIDE.get(prompt, ()) if any(_has(row, name) for _, row in rows)), None)
    asks = f"{{{{{prompt}}}}}"
    if beside is not None and prompt == "question":
        asks = f"{{% if {beside} %}}{{{{{beside}}}}}\n\n{{% endif %}}{asks}"
    elif beside is not None:
        asks = f"{asks}{{% if {beside} %}}\n\n{{{{{beside}}}}}{{% endif %}}"
    whole = prompt if chat and beside is None else asks if chat else f"{asks}\nAnswer:"
    return {"prompt": whole, answer: answers}


def _as_they_are(rows: Sequence[Row]) -> bool:
    """Whether rows are trained on without a word on their columns: conversations, texts, prompts with completions."""
    first = rows[0][1]
    told = {"prompt", "completion"} <= first.keys() or any(name in first for name in (*TURNS, "text", "chosen"))
    if not told and _first(rows, ASKS) and _first(rows, ANSWERS):
        return False
    try:
        list(training_rows(rows, {}, chat=False))
    except DataError:
        return False
    return True


def _metric(rows: Sequence[Row], columns: Mapping[str, str]) -> tuple[str, str]:
    accepted = [item["answer"] for _, item in zip(rows, task_items(rows, columns), strict=True)]
    texts = [answer[0].strip() for answer in accepted]

    def most(kind: Callable[[str], bool]) -> bool:
        return sum(map(kind, texts)) >= MOST * len(texts)

    if most(lambda text: bool(last_values(text)) and ("####" in text or NUMBER.fullmatch(text) is not None)):
        return "number", "nearly every answer is a number, or ends with one"
    if most(lambda text: bool(calls_in(text)) and not text[0].isdigit()):
        return "call", "nearly every answer is a function call"
    if most(lambda text: len(text.split()) <= SHORT_WORDS):
        return "exact_match", f"nearly every answer has at most {SHORT_WORDS} words"
    raise DataError(
        f"{rows[0][0]}: answers are long texts, such as {texts[0][:80]!r}, and no metric tells right ones from wrong "
        "ones by their looks. Say one: --task FILE:metric=contains (or number, exact_match), or give rows with short "
        "answers."
    )


def _room(rows: Sequence[Row], columns: Mapping[str, str]) -> int:
    """Tokens for an answer: those of the longest that is known, at three characters each, and a few more."""
    longest = max(len(answer) for item in task_items(rows, columns) for answer in item["answer"])
    return min(512, 8 * (1 + (longest // 3 + 8) // 8))


def _right(rows: Sequence[Row], column: str) -> str:
    """What is trained on as the answer: the choice where a row gives its index, the first where it gives several."""
    values = [row.get(column) for _, row in rows]
    choices = next((c for c in CHOICES if c in rows[0][1]), None)
    if choices is not None and all(isinstance(value, int) for value in values):
        return f"{{{{{choices}[{column}]}}}}"
    if all(isinstance(value, list) and value for value in values):
        return f"{{{{{column}[0]}}}}"
    return column


def _has(row: Mapping[str, Any], name: str) -> bool:
    return row.get(name) not in (None, "")


def _first(rows: Sequence[Row], names: Sequence[str]) -> str | None:
    """The first of some columns that every row has something in."""
    return next((name for name in names if all(_has(row, name) for _, row in rows)), None)


def _told_columns(rows: Sequence[Row], columns: Mapping[str, str]) -> str:
    """The columns that are read, and those that are not."""
    there = [str(name) for name in rows[0][1]]
    if not columns:
        return ", ".join(there)
    read = {name for source in columns.values() for name in (names_in(source) if "{{" in source else {source})}
    unread = [name for name in there if name not in read]
    return ", ".join(name for name in there if name in read) + (f"; not used: {', '.join(unread)}" if unread else "")


def _shown(rows: Sequence[Row], columns: Mapping[str, str]) -> tuple[str, ...]:
    pick = selector(columns)
    return tuple(" → ".join(str(value)[:80] for value in pick(where, row).values()) for where, row in rows[:2])
