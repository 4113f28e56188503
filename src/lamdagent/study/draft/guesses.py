"""What a file of rows is, by its columns and answers: the guesses of `lamdagent init`, and the words that say why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.metrics import METRICS
from lamdagent.core.numerals import last_values
from lamdagent.objects.datasets.formats import selector, shown_row, task_items, training_rows

LOOKED_AT = 500
"""Rows of a file that a guess rests on."""
MOST = 0.98
"""Share of the answers that must be of a kind."""
SHORT_WORDS = 8
ASKS = ("prompt", "question", "instruction", "query", "problem", "input", "source")
ANSWERS = ("completion", "answer", "answers", "output", "response", "solution", "target", "label")
CHOICES = ("choices", "options")
NUMBER = re.compile(r"[$€£]?\s?[-+\u2212]?[\d.,/:]+\s?%?(\s\w+){0,2}\.?")
"""A number, perhaps with a unit. Answers that end with one are told by the #### of GSM8K."""
CALL = re.compile(r"\[?\s*[A-Za-z_][\w.]*\(.*\)\s*\]?|[\[{].*[\]}]", re.DOTALL)
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
    columns = dict(given)
    if not columns:
        columns = {} if _fits(rows) else _named(rows, ("prompt", ASKS), ("completion", ANSWERS))
    if not columns and not _fits(rows):
        try:
            list(training_rows(rows, {}, chat=False))
        except DataError as error:
            raise DataError(
                f"{error} Say which columns are trained on: --data FILE:prompt=COLUMN,completion=COLUMN."
            ) from None
    if columns:
        columns = {**columns, "completion": _right(rows, columns["completion"])}
    read = list(training_rows(rows, columns, chat=False))
    shape = read[0][1]
    if shape == "preference":
        raise DataError(
            f"{rows[0][0]}: rows of preferences (prompt, chosen, rejected), which no action here trains on. To train on "
            "what was chosen: --data FILE:prompt=prompt,completion=chosen."
        )
    asked_in_chat = chat and shape == "prompt_completion"
    if columns and not asked_in_chat and "{{" not in columns["prompt"]:
        right = columns["completion"]
        columns = {
            "prompt": f"{{{{{columns['prompt']}}}}}\nAnswer:",
            "completion": f" {right}" if "{{" in right else f" {{{{{right}}}}}",
        }
        read = list(training_rows(rows, columns, chat=False))
    keys: dict[str, Any] = {"columns": columns} if columns else {}
    if asked_in_chat:
        keys["chat"] = True
    why = f"{shape}, by the columns {', '.join(map(str, rows[0][1]))}"
    why += "; in the model's chat template" if asked_in_chat else ""
    return RowsGuess(keys=keys, why=why, shown=tuple(shown_row(kept) for _, _, kept in read[:2]))


def guess_task(rows: Sequence[Row], given: Mapping[str, str], *, chat: bool) -> RowsGuess:
    """How rows are asked, and by which metric answers are told right from wrong.

    Args:
        given: `prompt`, `answer`, `choices` and `metric` as the user names them.
        chat: the model has a chat template.
    Raises:
        DataError: it cannot be told; the message names the option that says it.
    """
    first = rows[0][1]
    columns = {key: given[key] for key in ("prompt", "answer", "choices") if key in given}
    if "prompt" not in columns or "answer" not in columns:
        columns = {**_named(rows, ("prompt", ASKS), ("answer", ANSWERS)), **columns}
    if "prompt" not in columns or "answer" not in columns:
        raise DataError(
            f"{rows[0][0]}: which of the columns {', '.join(map(str, first))} asks, and which is the right answer? Say it: "
            "--task FILE:prompt=COLUMN,answer=COLUMN."
        )
    choices = columns.get("choices") or next((c for c in CHOICES if c in first), None)
    if choices is not None:
        return _with_choices(rows, columns, choices, chat=chat)
    metric, why = (given["metric"], "as you say") if "metric" in given else _metric(rows, columns)
    if metric not in METRICS:
        raise DataError(f"--task: no metric {metric!r}. Known: {', '.join(METRICS)}.")
    keys = _asked(columns, chat=chat) | {"metric": metric, "max_new_tokens": _room(rows, columns)}
    return RowsGuess(keys=keys, why=f"{metric}: {why}", shown=_shown(rows, keys["columns"]))


def _with_choices(rows: Sequence[Row], columns: Mapping[str, str], choices: str, *, chat: bool) -> RowsGuess:
    by_index = all(isinstance(row[columns["answer"]], int) for _, row in rows)
    answer = "answer_index" if by_index else "answer_text"
    kept = {"prompt": columns["prompt"], "choices": choices, answer: columns["answer"]}
    if not chat and kept["prompt"] != "prompt":
        kept["prompt"] = f"{{{{{kept['prompt']}}}}}\nAnswer:"
    keys = {"columns": kept, "metric": "acc", **({"chat": True} if chat else {"target_delimiter": " "})}
    how = "the index from 0" if by_index else "the text"
    why = f"acc: each row has {choices}, and {columns['answer']} is {how} of the right one"
    return RowsGuess(keys=keys, why=why, shown=_shown(rows, kept))


def _metric(rows: Sequence[Row], columns: Mapping[str, str]) -> tuple[str, str]:
    accepted = [item["answer"] for _, item in zip(rows, task_items(rows, columns), strict=True)]
    texts = [answer[0].strip() for answer in accepted]

    def most(kind: Callable[[str], bool]) -> bool:
        return sum(map(kind, texts)) >= MOST * len(texts)

    if most(lambda text: bool(last_values(text)) and ("####" in text or NUMBER.fullmatch(text) is not None)):
        return "number", "nearly every answer is a number, or ends with one"
    if "call" in METRICS and most(lambda text: CALL.fullmatch(text) is not None):
        return "call", "nearly every answer is a function call"
    if most(lambda text: len(text.split()) <= SHORT_WORDS):
        return "exact_match", f"nearly every answer has at most {SHORT_WORDS} words"
    raise DataError(
        f"{rows[0][0]}: answers are long texts, such as {texts[0][:80]!r}, and no metric tells right ones from wrong "
        "ones by their looks. Say one: --task FILE:metric=contains (or number, exact_match), or give rows with short "
        "answers."
    )


def _asked(columns: Mapping[str, str], *, chat: bool) -> dict[str, Any]:
    kept = {key: columns[key] for key in ("prompt", "answer")}
    if chat:
        return {"columns": kept, "chat": True}
    if kept["prompt"] != "prompt":  # the same words as the rows that are trained on
        kept["prompt"] = f"{{{{{kept['prompt']}}}}}\nAnswer:"
    return {"columns": kept}


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


def _named(rows: Sequence[Row], *wanted: tuple[str, Sequence[str]]) -> dict[str, str]:
    """The first column of each list that every row has, none twice; fewer where one has none."""
    there = [name for name in rows[0][1] if all(row.get(name) not in (None, "") for _, row in rows)]
    found: dict[str, str] = {}
    for target, names in wanted:
        column = next((name for name in names if name in there and name not in found.values()), None)
        if column is not None:
            found[target] = column
    return found if len(found) == len(wanted) else {}


def _fits(rows: Sequence[Row]) -> bool:
    try:
        list(training_rows(rows, {}, chat=False))
    except DataError:
        return False
    return True


def _shown(rows: Sequence[Row], columns: Mapping[str, str]) -> tuple[str, ...]:
    pick = selector(columns)
    return tuple(" → ".join(str(value)[:80] for value in pick(where, row).values()) for where, row in rows[:2])
