"""Function calls in a text, read as structure: names and arguments, however they are written.

    get_weather(city="Oslo", days=3)                                       Python-like, one or a list of them
    {"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}      JSON, `parameters` too, or a text of JSON in it
    [{"get_weather": {"city": ["Oslo", "oslo"], "days": [3, ""]}}]         BFCL's answers: alternatives, "" for left out

Source of the last: Berkeley Function-Calling Leaderboard, whose checker compares strings without case and `,./-_*^` and
spaces, and numbers by value.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_CALLS = 16
DEEPEST = 200  # brackets in brackets, as in Python
_BEGINS = re.compile(r"\{|(?<![A-Za-z0-9_])[A-Za-z_][\w.]*\(")
_TOKENS = re.compile(
    r'"""(?:\\.|[^\\])*?"""|'
    r"'''(?:\\.|[^\\])*?'''|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'(?:\\.|[^'\\\n])*'|#[^\n]*|[()\[\]{}]",
    re.DOTALL,
)
"""Texts and comments, in which brackets close nothing, and brackets."""
_KEYS = {"name", "arguments", "parameters", "args", "id", "type", "call_id", "function"}
"""Keys of a call as JSON: an object with others is no call."""
_WRAPPING = re.compile(r"```\w*|</?tool_calls?>|<\|?/?(?:tool_call|python_tag|function_call)\|?>")
_IGNORED = re.compile(r"[ ,./\-_*^]")
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True, slots=True)
class Call:
    """A function's name and its arguments, those without a name by their place: `0`, `1`, …

    `alternatives` says that each argument is a list of values that count, as BFCL writes answers.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    alternatives: bool = False


def calls_in(text: str) -> list[Call]:
    """The calls in a text, in their order; none where it holds none, or more than 16."""
    text = _WRAPPING.sub(" ", text).strip()
    found = _of_json(text)
    if found is None:
        found = _of_python(text)
    if found is None:
        found = _inside(text)
    return found if len(found) <= MOST_CALLS else []


def same_calls(given: Sequence[Call], wanted: Sequence[Call]) -> bool:
    """Whether these are the wanted calls, in any order, each once."""
    if len(given) != len(wanted) or not wanted:
        return False
    fitting = [[i for i, call in enumerate(given) if _same(call, one)] for one in wanted]
    taken: dict[int, int] = {}

    def placed(one: int, looked_at: set[int]) -> bool:
        """Whether a wanted call has one of its own, those that have one already moved where that is needed."""
        for i in fitting[one]:
            if i not in looked_at:
                looked_at.add(i)
                if i not in taken or placed(taken[i], looked_at):
                    taken[i] = one
                    return True
        return False

    return all(placed(one, set()) for one in range(len(wanted)))


def _same(given: Call, wanted: Call) -> bool:
    if given.name != wanted.name:
        return False
    if wanted.alternatives:
        return _fits(given.arguments, wanted.arguments)
    return given.arguments.keys() == wanted.arguments.keys() and all(
        _equal(value, wanted.arguments[key]) for key, value in given.arguments.items()
    )


def _fits(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether each argument is one of its alternatives, and none is missing that may not be left out."""
    needed = {key for key, choices in wanted.items() if "" not in _listed(choices)}
    return (
        needed <= given.keys() <= wanted.keys()
        and all(any(_is_one(value, choice) for choice in _listed(wanted[key])) for key, value in given.items())
    )  # fmt: skip


def _is_one(value: Any, choice: Any) -> bool:
    """Whether a value is an alternative; mappings inside one have alternatives of their own."""
    if isinstance(choice, Mapping):
        return isinstance(value, Mapping) and _fits(value, choice)
    if isinstance(choice, list):
        same_size = isinstance(value, list) and len(value) == len(choice)
        return same_size and all(_is_one(v, c) for v, c in zip(value, choice, strict=True))
    if isinstance(value, str) and isinstance(choice, str):
        return _plain(value) == _plain(choice)
    return _equal(value, choice)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(a == b)


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


def _listed(choices: Any) -> list[Any]:
    return choices if isinstance(choices, list) else [choices]


def _of_json(text: str) -> list[Call] | None:
    """The calls that a JSON value is; None where the text is no JSON, or no call."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    made = [_of_object(one) for one in (value if isinstance(value, list) else [value])]
    found = [call for call in made if call is not None]
    return found if found and len(found) == len(made) else None


def _of_object(value: Any) -> Call | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict) and value.keys() <= _KEYS:
        value = value["function"]
    if isinstance(value.get("name"), str) and value.keys() <= _KEYS:
        given: Any = next((value[key] for key in ("arguments", "parameters", "args") if key in value), {})
        if isinstance(given, str):
            try:
                given = json.loads(given or "{}")
            except (ValueError, RecursionError):
                return None
        return Call(value["name"], given) if isinstance(given, dict) else None
    if len(value) == 1:
        ((name, given),) = value.items()
        if isinstance(given, dict):
            listed = bool(given) and all(isinstance(choices, list) for choices in given.values())
            return Call(name, given, alternatives=listed)
    return None


def _of_python(text: str) -> list[Call] | None:
    """The calls that a Python expression is; None where the text is none, or no call."""
    try:
        tree = ast.parse(text, mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
        return [_of_node(node) for node in nodes] or None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _of_node(node: ast.AST) -> Call:
    """Raises: ValueError: it is no call, or has arguments that are no values."""
    if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(node)
    arguments = {str(i): _value(argument) for i, argument in enumerate(node.args)}
    return Call(ast.unparse(node.func), arguments | {str(k.arg): _value(k.value) for k in node.keywords})


def _value(node: ast.AST) -> Any:
    """Raises: ValueError: it is no value."""
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(one) for one in node.elts]
    if isinstance(node, ast.Dict):
        return {
            str(_value(k)): _value(v) for k, v in zip(node.keys, node.values, strict=True) if k is not None
        }  # fmt: skip
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(node)
    return value


def _inside(text: str) -> list[Call]:
    """The calls among words, in their order; what stands inside one is a part of it."""
    found, end = list[Call](), 0
    for begin in _BEGINS.finditer(text):
        if begin.start() >= end:
            calls, after = (_json_at if begin.group() == "{" else _python_at)(text, begin.start())
            found, end = [*found, *calls], after
    return found


def _json_at(text: str, start: int) -> tuple[list[Call], int]:
    """The calls in the JSON object that begins here, and where it ends."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return [], start
    found, waiting = list[Call](), [value]
    while waiting:
        one = waiting.pop()
        if (call := _of_object(one)) is not None:
            found.append(call)
        elif isinstance(one, dict | list):
            waiting += reversed(list(one.values()) if isinstance(one, dict) else one)
    return found, end if found else start


def _python_at(text: str, start: int) -> tuple[list[Call], int]:
    """The call in Python that begins here, and where the bracket that closes it ends."""
    depth = 0
    for token in _TOKENS.finditer(text, start):
        depth += (token.group() in "([{") - (token.group() in ")]}")
        if depth == 0 and token.group() in ")]}":
            return _of_python(text[start : token.end()]) or [], token.end()
        if depth > DEEPEST:
            break
    return [], start
