"""A real language model behind a real OpenAI-compatible server: SmolLM2-135M under llama.cpp, schemas enforced by it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from lamdagent.core.errors import UserError
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.llama_cpp import Local, smollm2

pytest.importorskip("xllamacpp")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("local llm")]  # two servers at once share the cores


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return smollm2()
    except UserError as error:
        pytest.skip(str(error))


class Answer(BaseModel):
    """A choice with a reason."""

    reason: str = Field(json_schema_extra={"maxLength": 40})
    type: str = Field(json_schema_extra={"enum": ["sft", "ties"]})


def test_the_server_holds_a_small_model_to_the_schema(weights: Path) -> None:
    client = Local(ChatConfig(model="local", gguf=str(weights)), home=Path())
    try:
        reply = client.complete(system="Answer in JSON.", prompt="Choose sft or ties.", schema=Answer, max_tokens=100)
    finally:
        client.close()
    answer = json.loads(reply.text)
    assert answer["type"] in ("sft", "ties")
    assert len(answer["reason"]) <= 40
    assert reply.tokens_in
    assert reply.finish == "stop"
    assert client.price(1, 1) == 0.0


def test_the_server_answers_nobody_without_its_key_and_lets_no_page_read_it(weights: Path) -> None:
    client = Local(ChatConfig(model="local", gguf=str(weights)), home=Path())
    try:
        address = client._server.listening_address
        for path in ("/slots", "/props", "/metrics", "/v1/models", "/v1/chat/completions"):
            asked = urllib.request.Request(address + path, headers={"Origin": "http://elsewhere.example"})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(asked, timeout=20)
            assert refused.value.code == 401, path
            assert not refused.value.headers["Access-Control-Allow-Origin"], path
    finally:
        client.close()


def test_a_study_with_a_local_agent_runs_and_keeps_its_train_of_thought(
    study: Path, lamdagent: Any, weights: Path
) -> None:
    memory = "memory={kind: reflection, max_tokens: 60}"
    done = lamdagent(
        "run", study, "--json", "--policy.kind", "agent", "--policy.model", "local", "--set", memory, "--trials", "2"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert all(trial["by"] == "agent" for trial in trials)
    assert all(trial["tokens"] > 0 and trial["usd"] == 0.0 and trial["memory"] for trial in trials)
    shown = lamdagent("show", study, "1", "--transcript").stdout
    assert "Question 1, objects" in shown  # one type can be done, so it is not asked for
    assert '"reason"' in shown
    assert "Memory before" in lamdagent("show", study, "1").stdout
