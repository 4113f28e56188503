"""Read a JSON object out of whatever a language model wrote around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from lamdagent.core.text import writable

Answer = TypeVar("Answer", bound=BaseModel)
DEEPEST = 40
MOST_STARTS = 200
"""So many braces of an answer are tried as the begin of an object."""
_THOUGHT = r"(?:think|thinking|thought|reasoning)"
_END_OF_THOUGHT = re.compile(rf"</{_THOUGHT}>", re.IGNORECASE)
_BEGIN_OF_THOUGHT = re.compile(rf"<{_THOUGHT}>", re.IGNORECASE)


def read(
    text: str, schema: type[Answer], check: Callable[[Answer], str | None] = lambda answer: None
) -> tuple[Answer | None, str | None]:
    """The answer that a text holds, or why it holds none.

    The text is the object itself, or has it in a fence, among words, or after what the model thought. Of several objects
    the last that fits the schema is the answer.
    """
    if not text.strip("\ufeff \t\r\n"):
        return None, "it was empty"
    try:
        found = objects_in(text)
    except ValueError as error:
        return None, f"it was not JSON ({error})"
    except RecursionError:
        return None, f"it was nested deeper than {DEEPEST} levels"
    wrong = None
    for value in reversed(found):
        try:
            answer = schema.model_validate(value)
        except ValidationError as error:
            wrong = wrong or "; ".join(_problem(p) for p in error.errors(include_url=False)[:20])[:600]
            continue
        refused = check(answer)
        return (None, refused) if refused else (answer, None)
    return None, wrong


def objects_in(text: str) -> list[Any]:
    """The JSON objects of a text in their order; where there is none, the value that the whole text is.

    Raises:
        ValueError: the text holds no JSON.
        RecursionError: it is nested too deeply to be read.
    """
    text = text.strip("\ufeff \t\r\n")
    try:
        whole = json.loads(text)
    except ValueError as error:
        spoken = _BEGIN_OF_THOUGHT.split(_END_OF_THOUGHT.split(text)[-1])[0]
        # The tag may stand in an answer, too.
        if found := _objects(spoken) or ([] if _BEGIN_OF_THOUGHT.match(text) else _objects(text)):
            return found
        thinking = not _END_OF_THOUGHT.search(text) and _BEGIN_OF_THOUGHT.search(text)
        raise ValueError("it ends before the thoughts do" if thinking else str(error)) from error
    return [_sound(whole)] if isinstance(whole, dict) else (_objects(text) or [_sound(whole)])


def _objects(text: str) -> list[Any]:
    """The objects in a text, looked for at its last braces: thoughts and formulas come before the answer."""
    decoder, found, end = json.JSONDecoder(), list[Any](), 0
    for at in [brace.start() for brace in re.finditer(r"\{", text)][-MOST_STARTS:]:
        if at < end:
            continue
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            continue
        found.append(_sound(value))
    return found


def _sound(value: Any, depth: int = 0) -> Any:
    """The value with texts that can be written."""
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, list):
        return [_sound(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {writable(key): _sound(one, depth + 1) for key, one in value.items()}
    return value


def _problem(problem: Any) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'the answer'}: {problem['msg']} (given: {problem['input']!r:.60})"
