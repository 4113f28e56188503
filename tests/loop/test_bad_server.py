"""A search whose language model is behind a server that misbehaves: what it says is read, what it lacks is estimated, what
it refuses is asked otherwise, and what stays wrong stops the search at once."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from lamdagent.core.budget import Budget
from lamdagent.core.errors import UserError
from lamdagent.core.search import Search, run
from lamdagent.core.state import State
from lamdagent.llm.chat import Chat
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.pydantic_ai import PydanticAi
from lamdagent.memories.table import Table
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.random import Random
from lamdagent.results.trial import llm_calls_for, trial_detail
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy
from lamdagent.ui.terminal.progress import SearchProgress
from tests.bad_server import Answer, BadServer, Body, HungUp, bad_server, completion, fitting


def searched(
    server: BadServer,
    folder: Path,
    *,
    budget: Budget = Budget(trials=2),
    sleep: Callable[[float], None] = lambda seconds: None,
    **settings: Any,
) -> State:
    """A toy search over a journal on the disk, whose agent asks the server through the real client."""
    config = ChatConfig.model_validate({"model": "mine", "base_url": server.url, "timeout_s": 5.0, **settings})
    chat = Chat(PydanticAi(config), budget=budget, answer_tokens=config.answer_tokens, sleep=sleep)
    folder.mkdir(exist_ok=True)
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    try:
        toy.open_toy(journal)
        search = Search(
            journal=journal,
            action_types=toy.ACTION_TYPES,
            policy=Agent(chat=chat, fallback=Random()),
            memory=Table(),
            budget=budget,
            chat=chat,
        )
        return run(search, toy.inline())
    finally:
        journal.close()


def good(body: Body) -> tuple[int, Any]:
    return 200, completion(fitting(body))


def saying(words: Callable[[str], str | None], **more: Any) -> Answer:
    return lambda body: (200, completion(words(fitting(body)), **more))


def refusing(*names: str, message: str) -> Answer:
    """Refuses a question that has one of these keys, whatever else it has."""

    def answer(body: Body) -> tuple[int, Any]:
        if any(name in body for name in names):
            return 400, {"error": {"message": message, "type": "invalid_request_error"}}
        return good(body)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        saying(lambda text: f"```json\n{text}\n```"),
        saying(lambda text: f"thinking\n</think>\n\n{text}"),
        saying(lambda text: text, created=10**15),
        saying(lambda text: text, created=-5),
        saying(lambda text: text, finish="eos"),
        saying(lambda text: text.replace("because", "half \\ud83d of")),
        saying(lambda text: text.replace("because", "\\u0000 \\u001b[2J")),
    ],
)
def test_an_answer_that_can_be_read_is_used_however_it_comes(answer: Answer, tmp_path: Path) -> None:
    with bad_server(answer) as server:
        state = searched(server, tmp_path)
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]


@pytest.mark.parametrize(
    "answer",
    [
        lambda body: (200, completion("", choices=[])),
        lambda body: (200, completion("[" * 2000)),
        lambda body: (200, completion(None)),
        lambda body: (200, {"error": {"message": "overloaded, token sk-0123456789 \udfff"}}),
        lambda body: (200, {"id": 7, "choices": [{"message": 3}]}),
        lambda body: (200, completion("x" * 1_100_000)),
        lambda body: (200, []),
        lambda body: (500, "{"),
        lambda body: (200, completion("{}", usage={"prompt_tokens": "many", "completion_tokens": -3})),
    ],
)
def test_whatever_comes_is_kept_with_its_reason_and_the_same_command_goes_on(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    with bad_server(good) as server:
        searched(server, tmp_path, budget=Budget(trials=1))
        server.answer = answer
        with contextlib.suppress(UserError):  # where none can be used; else the fallback chooses
            searched(server, tmp_path, budget=Budget(trials=2))
        server.answer = good
        state = searched(server, tmp_path, budget=Budget(trials=4))
    assert [trial.choice.by for trial in state.trials][-2:] == ["agent", "agent"]
    bad = [call for call in state.llm_calls if call.error is not None]
    assert bad
    assert not any("sk-0123456789" in f"{call.error}{call.answer}" for call in bad)


@pytest.mark.parametrize(
    ("answer", "change"),
    [
        (lambda body: (404, {"error": {"message": "model 'mine' not found"}}), "Is that model served there"),
        (lambda body: (404, "404 page not found"), "usually /v1"),
        (lambda body: (401, {"error": {"message": "Incorrect API key"}}), "OPENAI_API_KEY"),
        (lambda body: (403, {"error": {"message": "forbidden"}}), "OPENAI_API_KEY"),
        (lambda body: (402, {"error": {"message": "pay"}}), "quota or credit"),
        (lambda body: (422, {"error": {"message": "seed must be odd"}}), "seed must be odd"),
        (lambda body: (405, "no POST here"), "Change what it names"),
        (lambda body: (400, {"error": {"message": "maximum context length is 2048 tokens"}}), "policy.shown"),
        (lambda body: (400, {"error": {"message": "max_tokens: exceeds the available context size"}}), "policy.shown"),
        (lambda body: (200, "<html>Welcome to nginx</html>"), "No OpenAI-compatible server answers there"),
    ],
)
def test_an_error_that_stays_stops_at_once_with_what_to_change(answer: Answer, change: str, tmp_path: Path) -> None:
    with bad_server(answer) as server:
        with pytest.raises(UserError, match=r"(?s)mine.*run the same command again") as error:
            searched(server, tmp_path)
        assert change in str(error.value)
        assert len(server.asked) == 1
        server.answer = good
        state = searched(server, tmp_path)
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]
    assert state.llm_calls[0].error


def test_a_server_that_was_never_heard_stops_the_search_before_a_trial_is_drawn_at_random(tmp_path: Path) -> None:
    with bad_server(lambda body: (503, "starting")) as server:
        with pytest.raises(UserError, match=r"all 3 questions to 'mine' were left without an answer.*policy.base_url"):
            searched(server, tmp_path)
        assert len(server.asked) == 3, "one attempt is one request"
        server.answer = good
        assert len(searched(server, tmp_path).trials) == 2


def test_a_server_that_fails_later_leaves_the_choice_to_the_fallback_and_the_trial_says_why(tmp_path: Path) -> None:
    with bad_server(good) as server:
        answers = iter([good, good])
        server.answer = lambda body: next(answers, lambda body: (503, "gone"))(body)
        state = searched(server, tmp_path)
    assert [trial.choice.by for trial in state.trials] == ["agent", "random (fallback)"]
    assert "503" in state.trials[1].choice.reason
    shown = SearchProgress(Budget()).title(1, state)
    assert "chosen by random (fallback): no answer of mine could be used (ModelUnavailableError" in shown
    assert "chosen by" not in SearchProgress(Budget()).title(0, state)


@pytest.mark.parametrize(
    ("names", "message", "adapted"),
    [
        (("temperature",), "Unsupported value: 'temperature' does not support 0.0", ("no temperature",)),
        (("max_completion_tokens",), "extra key: max_completion_tokens", ("max_tokens",)),
        (("response_format",), "'response_format.type' must be 'text'", ("answer by a tool",)),
        (
            ("response_format", "tools"),
            "neither json_schema nor tools are served",
            ("answer by a tool", "answer in words"),
        ),
    ],
)
def test_what_a_provider_refuses_of_a_question_is_asked_otherwise_once_and_recorded(
    names: tuple[str, ...], message: str, adapted: tuple[str, ...], tmp_path: Path
) -> None:
    with bad_server(refusing(*names, message=message)) as server:
        state = searched(server, tmp_path)
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]
    assert {call.adapted for call in state.llm_calls} == {adapted}
    assert len(server.asked) == len(state.llm_calls) + len(adapted)
    shown = trial_detail("toy", state, state.trials[0], toy.toolkit().artifacts, transcript=True).sections()
    assert adapted[0] in repr(shown)


def test_a_parameter_that_is_refused_for_good_is_named_and_the_search_stops(tmp_path: Path) -> None:
    always = {"error": {"message": "temperature is not served here"}}
    with bad_server(lambda body: (400, always)) as server:
        with pytest.raises(UserError, match=r"temperature is not served here.*policy.temperature"):
            searched(server, tmp_path)
        assert len(server.asked) == 2


def thinking(body: Body) -> tuple[int, Any]:
    """A model that thinks for 900 tokens before it answers."""
    room = body.get("max_completion_tokens") or body["max_tokens"]
    return 200, completion("", finish="length") if room < 900 else completion(fitting(body))


def test_a_model_that_thinks_longer_than_its_answer_may_be_is_named_and_the_setting_gives_it_room(
    tmp_path: Path,
) -> None:
    with bad_server(thinking) as server:
        with pytest.raises(UserError, match=r"cut off at 500 tokens.*policy\.answer_tokens, to 2000 say"):
            searched(server, tmp_path)
        state = searched(server, tmp_path, answer_tokens=1000)
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]
    cut, used = state.llm_calls[0], state.llm_calls[-1]
    assert cut.finish == "length"
    assert (cut.error or "").startswith("it was cut off at 500 tokens")
    assert used.finish == "stop"


NONE: tuple[Any, ...] = (
    None,
    {},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": -1, "completion_tokens": -1, "total_tokens": -1},
)


@pytest.mark.parametrize("usage", NONE)
def test_tokens_that_a_server_does_not_report_are_estimated_marked_and_held_to_the_budget(
    usage: Any, tmp_path: Path
) -> None:
    budget = Budget(trials=30, llm_tokens=4000)
    with bad_server(saying(lambda text: text, usage=usage)) as server:
        state = searched(server, tmp_path, budget=budget)
    assert 0 < len(state.trials) < 10
    assert state.stopped is not None
    assert state.stopped.reason == "llm_tokens"
    for call in state.llm_calls:
        assert call.estimated
        assert call.tokens_in >= len(call.system + call.prompt) / 4
        assert call.tokens_out >= len(call.answer or "") / 4
    detail = trial_detail("toy", state, state.trials[0], toy.toolkit().artifacts)
    assert "estimated from the text" in repr(detail.sections())


def test_a_budget_in_usd_holds_where_no_usage_is_reported(tmp_path: Path) -> None:
    price = {"input": 1.0, "output": 2.0}
    budget = Budget(trials=30, usd=0.005)
    with bad_server(saying(lambda text: text, usage=None)) as server:
        state = searched(server, tmp_path, budget=budget, price=price)
    assert 0 < len(state.trials) < 10
    assert 0 < state.usd <= 0.005
    assert all(call.usd for call in llm_calls_for(state, state.trials[0]))


def test_reported_tokens_are_taken_as_they_are(tmp_path: Path) -> None:
    with bad_server(good) as server:
        state = searched(server, tmp_path)
    assert {(call.tokens_in, call.tokens_out, call.estimated) for call in state.llm_calls} == {(300, 20, False)}


def message(content: Any, **more: Any) -> Body:
    """A completion whose message is this."""
    finish = "tool_calls" if "tool_calls" in more else "stop"
    told = {"role": "assistant", "content": content, **more}
    return completion(None, choices=[{"index": 0, "message": told, "finish_reason": finish}])


def tool_call(text: str) -> Body:
    return message(
        None, tool_calls=[{"id": "1", "type": "function", "function": {"name": "answer", "arguments": text}}]
    )


def late(body: Body) -> tuple[int, Any]:
    time.sleep(1.5)
    return good(body)


READ: dict[str, Answer] = {
    "thinking in the text": saying(lambda text: f"<think>first {{maybe}}</think>{text}"),
    "thinking in a field": lambda body: (200, message(fitting(body), reasoning_content="first this, then that")),
    "thinking in another field": lambda body: (200, message(fitting(body), reasoning="first this, then that")),
    "all of it among the thoughts": lambda body: (200, message("", reasoning_content=f"so: {fitting(body)}")),
    "a fence": saying(lambda text: f"Here it is:\n```json\n{text}\n```\nGood luck!"),
    "a tool call": lambda body: (200, tool_call(fitting(body))),
    "content in parts": lambda body: (200, message([{"type": "text", "text": fitting(body)}])),
}
UNREAD: dict[str, Answer] = {
    "cut off": saying(lambda text: text[: len(text) // 2], finish="length"),
    "wrong types": saying(lambda text: json.dumps({key: [3] for key in json.loads(text)})),
    "a tool call that is none": lambda body: (200, tool_call("{")),
    "too many requests": lambda body: (429, {"error": {"message": "slow down"}}),
    "an error of the server": lambda body: (500, {"error": {"message": "out of memory"}}),
    "a time-out": late,
    "a connection that is cut": lambda body: (200, HungUp()),
    "nothing": saying(lambda text: ""),
    "a refusal": lambda body: (200, message(None, refusal="I cannot help with that.")),
    "withheld": saying(lambda text: "", finish="content_filter"),
}


def test_a_server_that_misbehaves_in_every_way_leaves_a_finished_study_with_honest_counts(tmp_path: Path) -> None:
    turns = iter([good, *READ.values(), *(answer for odd in UNREAD.values() for answer in (odd, good))])
    with bad_server(lambda body: next(turns, good)(body)) as server:
        state = searched(server, tmp_path, budget=Budget(trials=14), timeout_s=1.0)
    assert len(state.trials) == 14
    assert all(trial.outcome is not None for trial in state.trials)
    assert len(state.llm_calls) == len(server.asked)
    errors = [call.error for call in state.llm_calls]
    read = dict(zip(READ, errors[1:], strict=False))
    assert all(error is None or "already tried" in error for error in read.values()), read
    odd = errors[1 + len(READ) :][: 2 * len(UNREAD)]
    assert all(odd[::2]), dict(zip(UNREAD, odd[::2], strict=True))
    assert all(error is None or "already tried" in error for error in odd[1::2])
    silent = [call for call in state.llm_calls if call.answer is None]
    assert len(silent) >= 4
    assert all((call.tokens_in, call.tokens_out) == (0, 0) for call in silent)
    assert state.tokens == sum(call.tokens_in + call.tokens_out for call in state.llm_calls)
    by_fallback = [trial for trial in state.trials if trial.choice.fell_back]
    assert all("no answer of mine could be used" in trial.choice.reason for trial in by_fallback)


def test_a_server_that_says_when_to_come_back_is_left_alone_so_long(tmp_path: Path) -> None:
    waits: list[float] = []
    turns = iter([good, UNREAD["too many requests"]])
    with bad_server(lambda body: next(turns, good)(body)) as server:
        server.headers["Retry-After"] = "7"
        state = searched(server, tmp_path, sleep=waits.append)
    assert waits == [7.0]
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]


def test_thoughts_in_a_field_cost_tokens_also_where_none_are_reported(tmp_path: Path) -> None:
    def thinks(body: Body) -> tuple[int, Any]:
        return 200, {**message(fitting(body), reasoning_content="first this " * 100), "usage": None}

    with bad_server(thinks) as server:
        state = searched(server, tmp_path)
    assert all(call.tokens_out > 300 and call.estimated for call in state.llm_calls)
    assert not any("first this" in (call.answer or "") for call in state.llm_calls)


@pytest.mark.parametrize("key", ["", "  ", "\n"])
def test_an_empty_key_is_no_key_where_the_server_is_ones_own(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with bad_server(good) as server:
        assert len(searched(server, tmp_path).trials) == 2


def test_a_key_with_a_line_end_is_sent_without_it_and_one_that_no_header_carries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789\n")
    with bad_server(good) as server:
        searched(server, tmp_path)
        assert set(server.keys) == {"Bearer sk-0123456789"}
        monkeypatch.setenv("OPENAI_API_KEY", "schlüssel-0123")
        with pytest.raises(UserError, match="characters that no header can carry"):
            searched(server, tmp_path)


def test_an_answer_with_half_an_emoji_that_was_journalled_before_is_read_and_the_study_goes_on(tmp_path: Path) -> None:
    def half(text: str) -> str:
        answer = json.loads(text)
        return json.dumps({**answer, "reason": "good X choice"}).replace("X", "\\ud83d")

    with bad_server(saying(half)) as server:
        first = searched(server, tmp_path, budget=Budget(trials=1))
        assert any("\\ud83d" in (call.answer or "") for call in first.llm_calls)
        state = searched(server, tmp_path)
    assert "good \ufffd choice" in state.trials[0].choice.reason
    assert len(state.trials) == 2
