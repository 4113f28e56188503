"""A language model that costs nothing: it answers from a script, or with the first thing its schema allows."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel

from lamdagent.core.budget import Budget
from lamdagent.llm.chat import Chat, Reply

Line = str | Reply | Exception | Callable[[str, type[BaseModel]], str]


class FakeClient:
    """Answers each question with the next line of a script; when that is used up, with `obliging`.

    A line is the answer's text, a whole reply, an exception to raise, or a function of the prompt and the schema. `asked`
    keeps (system, prompt) of every call.
    """

    model = "fake"

    def __init__(self, script: Iterable[Line] = (), *, usd_per_token: float | None = None) -> None:
        self._script, self._usd_per_token = list(script), usd_per_token
        self.asked: list[tuple[str, str]] = []
        self.schemas: list[dict[str, Any]] = []
        self.closed = False

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        self.asked.append((system, prompt))
        self.schemas.append(schema.model_json_schema())
        line = self._script.pop(0) if self._script else obliging
        if isinstance(line, Exception):
            raise line
        if isinstance(line, Reply):
            return line
        text = line if isinstance(line, str) else line(prompt, schema)
        tokens_in, tokens_out = len(prompt) // 4, len(text) // 4
        return Reply(text=text, tokens_in=tokens_in, tokens_out=tokens_out)

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return None if self._usd_per_token is None else (tokens_in + tokens_out) * self._usd_per_token

    def close(self) -> None:
        self.closed = True


def fake_chat(client: FakeClient, *, budget: Budget = Budget(), max_failures: int = 10, **more: Any) -> Chat:
    """A chat over a fake client that never waits."""
    return Chat(client, budget=budget, max_failures=max_failures, sleep=lambda seconds: None, **more)


def obliging(prompt: str, schema: type[BaseModel]) -> str:
    """An answer that fits the schema; which of the allowed values it names follows from the prompt."""
    return json.dumps(fitting(schema.model_json_schema(), prompt))


def fitting(schema: dict[str, Any], asked: str) -> dict[str, Any]:
    """An object that fits a JSON schema; which of the allowed values it has follows from what was asked."""
    # A draw for each field: with one for all, only a few combinations would ever be named.
    turns = {name: zlib.crc32(f"{name}:{asked}".encode()) for name in schema["properties"]}
    definitions = schema.get("$defs", {})
    return {name: _value(part, turns[name], definitions) for name, part in schema["properties"].items()}


def _value(part: dict[str, Any], turn: int, definitions: dict[str, Any]) -> Any:
    if "$ref" in part:
        part = definitions[part["$ref"].rpartition("/")[2]]
    if branches := part.get("anyOf") or part.get("oneOf"):
        return _value(branches[turn % len(branches)], turn, definitions)
    if "const" in part:
        return part["const"]
    if "enum" in part:
        return part["enum"][turn % len(part["enum"])]
    if part.get("type") == "array":
        names = part["items"].get("enum") or [part["items"]["const"]]
        start = turn % len(names)
        return (names[start:] + names[:start])[: part.get("minItems", 1)]
    if part.get("type") == "object":
        return fitting({**part, "$defs": definitions}, str(turn))
    others = {"null": None, "boolean": False, "number": part.get("minimum"), "integer": part.get("minimum")}
    return others[part["type"]] if part.get("type") in others else f"because {turn}"
