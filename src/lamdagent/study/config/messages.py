"""What is wrong with a value, in plain words and with file and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from lamdagent.core.config import NAME
from lamdagent.core.text import without_credentials
from lamdagent.study.config.yaml import Document, Path_

DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"
PATTERNS = {
    NAME: "expected a name of letters, digits, . _ - that begins with a letter or a digit, at most 80 characters",
    DEVICE: "expected auto, cpu, mps, cuda or one of several such as cuda:1",
}
NOWHERE_ELSE: Mapping[Path_, Path_] = {}
PLAIN = {
    "missing": "is missing",
    "dict_type": "expected a mapping of keys",
    "model_type": "expected a mapping of keys",
    "list_type": "expected a list",
    "string_type": "expected a text",
    "bool_type": "expected true or false",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "literal_error": "expected {expected}",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected {le} or less",
    "too_short": "expected {min_length} or more entries",
    "too_long": "expected at most {max_length} entries",
}


def in_words(
    error: ValidationError,
    data: Any,
    path: Sequence[str | int],
    document: Document,
    elsewhere: Mapping[Path_, Path_] = NOWHERE_ELSE,
) -> str:
    """A line for each problem that pydantic found in `data`, which stands at `path` of the document.

    Args:
        elsewhere: by a place in the data, where its value is written in the document instead, such as a shared setting.
    """
    found: dict[tuple[tuple[str | int, ...], str], list[str]] = {}
    secrets: list[str] = []
    for problem in error.errors(include_url=False):
        loc, given = (*path, *_place(problem, data)), problem["input"]
        if problem["type"] == "unknown_key":
            loc, given = (*loc, problem["ctx"]["key"]), None
        if problem["type"] == "has_credentials":
            secrets.append(str(given))
            given = None
        shown = f" (given: {given!r:.60})" if isinstance(given, str | int | float | bool) else ""
        for place, written in elsewhere.items():
            if loc[: len(place)] == place:
                loc, shown = (*written, *loc[len(place) :]), f"{shown} (as {'.'.join(map(str, place))})"
                break
        found.setdefault((loc, shown), []).append(_plain(problem))
    lines = "\n".join(
        f"{document.where(loc)}: {'.'.join(map(str, loc)) or 'study'}: {message}{shown}"
        for (loc, shown), messages in found.items()
        for message in _alternatives(messages)
    )
    for secret in secrets:  # an override names the line that a value stands in by itself
        lines = lines.replace(secret, "…")
    return without_credentials(lines)


def _plain(problem: Any) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return PATTERNS[context["pattern"]]
    if problem["type"] in PLAIN:
        return PLAIN[problem["type"]].format(**context)
    return str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _place(problem: Any, data: Any) -> list[str | int]:
    # Between the keys pydantic names the arm of a union (`list[float]`, `int`), which is no key of the data.
    place = []
    for i, part in enumerate(problem["loc"]):
        if isinstance(data, dict | list) and part in (data if isinstance(data, dict) else range(len(data))):
            data = data[part]
            place.append(part)
        elif problem["type"] == "missing" and i == len(problem["loc"]) - 1:
            place.append(part)
    return place


def _alternatives(messages: Sequence[str]) -> Sequence[str]:
    """What the arms of a union expect, as one message."""
    different = list(dict.fromkeys(messages))
    if not all(message.startswith("expected ") for message in different):
        return different
    return ["expected " + " or ".join(message.removeprefix("expected ") for message in different)]
