"""Turns of a conversation: every key of a turn is used, counted as not used, or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.text import parse_json

ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
    "tool": "tool", "observation": "tool", "function_call": "assistant",
}  # fmt: skip
REASONING = ("reasoning_content", "reasoning", "thinking")
LOSS_SWITCHES = ("weight", "train", "loss")
KEPT = ("name", "tool_call_id", *REASONING)
"""Keys of a turn that chat templates know. The audit looks whether the model's own renders them."""
MEDIA = ("image", "images", "video", "videos", "audio", "audios")
CARRIES = (*MEDIA, "function_call", "mask", "masks")
"""Keys of a turn that change what is to be learnt, and that nothing here trains on."""


def missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, an empty text or list."""
    return value is None or value != value or (isinstance(value, str | list | dict) and not value)


def conversation(turns: Any, where: str, unused: Counter[str]) -> list[dict[str, Any]]:
    """The turns of a row as a chat template takes them. A turn of the assistant that is not learnt has `weight: 0`.

    Raises:
        DataError: a turn is empty, has no role that is known, or carries what nothing here trains on; or nothing is learnt.
    """
    if not isinstance(turns, list) or not turns:
        raise DataError(f"{where}: messages must be a list with at least one message.")
    kept = [turn for given in turns if (turn := _turn(given, where, unused)) is not None]
    answers = [turn for turn in kept[1:] if turn["role"] == "assistant"]
    if not answers:
        raise DataError(f"{where}: messages need one of the assistant, after at least one other, to learn from.")
    if all(turn.get("weight") == 0 for turn in answers):
        raise DataError(f"{where}: every turn of the assistant has weight 0, so there is nothing to learn.")
    return kept


def tools_of(value: Any, where: str) -> list[Any]:
    """The tools of a row as chat templates take them: given as a list, or as JSON text of one.

    Raises:
        DataError: it is neither.
    """
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise DataError(f"{where}: 'tools' is not JSON ({error}).") from error
    if not isinstance(value, list) or not all(
        isinstance(tool, dict) and isinstance(tool.get("function", tool), dict) for tool in value
    ):
        raise DataError(f"{where}: 'tools' must be a list of objects, or JSON text of one, not {value!r:.60}.")
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in value]


def _turn(turn: Any, where: str, unused: Counter[str]) -> dict[str, Any] | None:
    """None for a system turn without text: it says nothing."""
    role = turn.get("role", turn.get("from")) if isinstance(turn, dict) else None
    content = turn.get("content", turn.get("value")) if isinstance(turn, dict) else None
    calls = turn.get("tool_calls") if isinstance(turn, dict) else None
    if role == "function_call":
        content, calls = "", [content]
    if missing(content) and (not missing(calls) or role == "system"):
        content = ""
    if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
        raise DataError(f"{where}: a message needs a role ({', '.join(ROLES)}) and text as content, not {turn!r:.80}.")
    kept: dict[str, Any] = {"role": ROLES[role], "content": content}
    if not missing(calls):
        kept["tool_calls"] = _calls(calls, where)
    kept |= {key: turn[key] for key in KEPT if not missing(turn.get(key))}
    if not content.strip() and kept["role"] not in ("tool", "system") and "tool_calls" not in kept:
        raise DataError(f"{where}: an empty turn of the {kept['role']}; give it a text, or take the row out.")
    if kept["role"] == "assistant" and not _learnt(turn, where):
        kept["weight"] = 0
    known = {"role", "from", "content", "value", "tool_calls", *KEPT, *LOSS_SWITCHES}
    for key in turn.keys() - known:
        if key in CARRIES and not missing(turn[key]):
            raise DataError(f"{where}: a message has {key!r}, which is not trained on; take it out or train elsewhere.")
        if not missing(turn[key]):
            unused[f"messages[].{key}"] += 1
    return kept if kept["role"] != "system" or content.strip() else None


def _learnt(turn: Mapping[str, Any], where: str) -> bool:
    """What `weight: 0` (OpenAI), `train: false` (axolotl) and `loss: false` say of a turn."""
    for key in LOSS_SWITCHES:
        if missing(value := turn.get(key)):
            continue
        if value not in (0, 1):  # True and False are 1 and 0
            raise DataError(f"{where}: {key!r} of a message is 0 or 1, true or false, not {value!r:.40}.")
        if not value:
            return False
    return True


def _calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Tool calls with their arguments as objects: templates write them as JSON themselves."""
    if not isinstance(calls, list):
        raise DataError(f"{where}: 'tool_calls' must be a list, not {calls!r:.60}.")
    return [_call(call, where) for call in calls]


def _call(call: Any, where: str) -> dict[str, Any]:
    try:
        call = parse_json(call) if isinstance(call, str) else call
        function = call.get("function", call)
        if not isinstance(function.get("name"), str):
            raise TypeError("no name")
        arguments = function.get("arguments")
        function = {**function, "arguments": parse_json(arguments) if isinstance(arguments, str) else arguments}
        return {**call, "type": "function", "function": function} if "function" in call else _wrapped(function)
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f"{where}: a tool call needs a function with a name and JSON arguments, not {call!r:.80}."
        ) from error


def _wrapped(function: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": dict(function)}
