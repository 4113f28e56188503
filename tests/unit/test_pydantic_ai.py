"""The client over pydantic-ai, on its own test models: what is sent, what comes back, what an error means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

pydantic_ai = pytest.importorskip("pydantic_ai")

from pydantic_ai import exceptions  # noqa: E402
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart  # noqa: E402
from pydantic_ai.models.function import AgentInfo, FunctionModel  # noqa: E402
from tests.study_file import STUDY  # noqa: E402

from lamdagent.core.errors import ConfigError, UserError  # noqa: E402
from lamdagent.core.text import told  # noqa: E402
from lamdagent.llm.chat import NoReply  # noqa: E402
from lamdagent.llm.config import ChatConfig  # noqa: E402
from lamdagent.llm.pydantic_ai import PydanticAi, open_model  # noqa: E402
from lamdagent.study.config import load_study  # noqa: E402


class Answer(BaseModel):
    """What is asked for."""

    type: str


def client(answer: Any, **settings: Any) -> tuple[PydanticAi, list[Any]]:
    seen: list[Any] = []

    def respond(messages: list[Any], info: AgentInfo) -> ModelResponse:
        seen.append((messages, info))
        if isinstance(answer, Exception):
            raise answer
        part = answer(info) if callable(answer) else TextPart(answer)
        return ModelResponse(parts=[part])

    made = PydanticAi(ChatConfig(model="openai:gpt-4o-2024-08-06", **settings), model=FunctionModel(respond))
    return made, seen


def ask(made: PydanticAi) -> Any:
    return made.complete(system="You plan.", prompt="Choose.", schema=Answer, max_tokens=50)


def test_a_question_carries_system_prompt_temperature_and_length() -> None:
    made, seen = client('{"type": "sft"}', output="native", temperature=0.5)
    assert json.loads(ask(made).text) == {"type": "sft"}
    ((messages, info),) = seen
    assert messages[0].instructions == "You plan."
    assert info.model_settings["temperature"] == 0.5
    assert info.model_settings["max_tokens"] == 50


def test_a_model_without_native_schemas_answers_by_a_tool_call() -> None:
    def call(info: AgentInfo) -> ToolCallPart:
        (tool,) = info.output_tools
        assert tool.parameters_json_schema["properties"]["type"]["type"] == "string"
        return ToolCallPart(tool.name, {"type": "ties"})

    made, _ = client(call, output="tool")
    assert json.loads(ask(made).text) == {"type": "ties"}


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ModelHTTPError(503, "m", "overloaded"),
        exceptions.ModelHTTPError(429, "m", "slow down"),
        TimeoutError("no answer"),
        ConnectionError("refused"),
    ],
)
def test_a_failure_that_may_pass_is_no_reply(error: Exception) -> None:
    made, _ = client(error, output="native")
    with pytest.raises(NoReply):
        ask(made)


def test_a_refused_key_is_for_the_user_to_mend() -> None:
    made, _ = client(exceptions.ModelAuthenticationError("m", "bad key"), output="native")
    with pytest.raises(UserError, match="Is the key in the environment the right one"):
        ask(made)


def test_a_known_model_has_a_price_and_an_own_server_has_the_one_that_is_given() -> None:
    made, _ = client("", output="native")
    assert made.price(1_000_000, 0) == pytest.approx(2.5)
    own = PydanticAi(ChatConfig(model="mine", base_url="http://127.0.0.1:9/v1"), model=object())
    assert own.price(1, 1) is None
    priced = ChatConfig.model_validate(
        {"model": "mine", "base_url": "http://127.0.0.1:9/v1", "price": {"input": 1.0, "output": 3.0}}
    )
    assert PydanticAi(priced, model=object()).price(1_000_000, 1_000_000) == pytest.approx(4.0)


def test_a_key_that_is_missing_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        open_model(ChatConfig(model="openai:gpt-4o-2024-08-06"))


def test_an_unknown_provider_is_told() -> None:
    with pytest.raises(UserError, match=r"policy\.model 'opnai:gpt-4o'"):
        open_model(ChatConfig(model="opnai:gpt-4o"))


def test_a_server_that_is_not_there_is_no_reply() -> None:
    settings = ChatConfig(model="mine", base_url="http://127.0.0.1:9/v1", timeout_s=2)
    with pytest.raises(NoReply):
        ask(PydanticAi(settings))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:hunter2@127.0.0.1/v1", "must not hold a user name, password"),
        ("https://127.0.0.1/v1?key=hunter2", "must not hold a user name, password"),
        ("https://127.0.0.1/v1#hunter2", "must not hold a user name, password"),
        ("user:hunter2@127.0.0.1/v1", "must not hold a user name, password"),
        ("127.0.0.1:8000/v1", "http://HOST"),
        ("http://127.0.0.1:8000/v1/chat/completions", "without /chat/completions"),
    ],
)
def test_an_address_that_carries_a_secret_or_is_none_is_refused_and_the_secret_is_not_repeated(
    url: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(STUDY, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"policy\.base_url") as error:
        load_study(file, [f"policy={{kind: agent, model: mine, base_url: '{url}'}}"])
    assert said in str(error.value)
    assert "hunter2" not in str(error.value)


def test_what_an_error_says_is_kept_on_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    error = ValueError("no\x1b[2J route to http://me:pa@ss@host/v1?key=abc with sk-0123456789 \ud83d\nand so on")
    assert told(error) == "ValueError: no [2J route to http://host/v1 with [SOME_API_KEY] \ufffd and so on"
