"""What is read out of the text that a language model writes, and what is said where it holds no answer."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lamdagent.core.budget import Budget
from lamdagent.core.events import LLMCalled
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.spent import Spent
from lamdagent.llm.chat import Chat, NoReply, Reply
from lamdagent.llm.reading import read
from lamdagent.study.journal import from_json, kind_of, to_json
from lamdagent.testing.fake_chat import FakeClient, Line, obliging


class Choice(BaseModel):
    """What is asked for."""

    reason: str
    type: Literal["sft", "ties"]


GOOD = '{"reason": "as it helps", "type": "sft"}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}\n```\n",
        f"Sure! Here is my choice:\n\n{GOOD}\n\nLet me know if you need {{more}}.",
        f"<think>\nties, or {{}}?\n</think>\n\n{GOOD}",
        f"I would think of sft.\n</think>\n{GOOD}",
        f"<Thinking>Which?</Thinking>\n```json\n{GOOD}\n```",
        f'<think>First {{"reason": "a draft", "type": "ties"}}</think>{GOOD}',
        f'A draft: {{"reason": "a draft", "type": "ties"}}. Rather: {GOOD}',
        f'{GOOD} The schema was {{"type": "object"}}.',
        f"<|channel|>analysis<|message|>hm<|channel|>final<|message|>{GOOD}",
        f"\ufeff{GOOD}",
        r"By \frac{a}{b} " * 300 + GOOD,
        f'{GOOD[:-1]}, "note": "<think> is a tag"}} That is it.',
        f"\ufeff  ```json\r\n{GOOD}\r\n```",
        f"[{GOOD}]",
        '{"reason": "as it helps </think> {so}", "type": "sft"}',
    ],
)
def test_an_object_is_read_whatever_stands_around_it(text: str) -> None:
    answer, wrong = read(text, Choice)
    assert wrong is None
    assert answer is not None
    assert answer.type == "sft"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "it was empty"),
        ("\ufeff \n", "it was empty"),
        ("I would rather not.", "it was not JSON"),
        ("```json\n```", "it was not JSON"),
        (f"<think>{GOOD}", "it ends before the thoughts do"),
        (GOOD[:20], "it was not JSON"),
        (GOOD.replace("sft", "stf"), "type: Input should be 'sft' or 'ties'"),
        ("7", "the answer: "),
        ("[]", "the answer: "),
        ('"sft"', "the answer: "),
        ("[" * 100_000, "it was nested deeper than 40 levels"),
        ('{"a":' * 100_000, "it was nested deeper than 40 levels"),
        ('{"a":' * 60 + "1" + "}" * 60, "it was nested deeper than 40 levels"),
        ("{" * 100_000, "it was not JSON"),
        ("1" * 5000, "it was not JSON"),
        ('{"reason": 1e999, "type": "sft"}', "reason: Input should be a valid string"),
    ],
)
def test_a_text_without_an_answer_says_what_is_wrong(text: str, wrong: str) -> None:
    answer, said = read(text, Choice)
    assert answer is None
    assert wrong in (said or "")
    (said or "").encode()


def test_half_a_surrogate_pair_becomes_a_character_that_can_be_written_and_a_whole_one_stays() -> None:
    answer, _ = read(r'{"reason": "good \ud83d choice \ud83d\ude00", "type": "sft"}', Choice)
    assert answer is not None
    assert answer.reason == "good \ufffd choice \U0001f600"
    answer, _ = read(json.dumps({"reason": "\udc80", "type": "ties"}), Choice)
    assert answer is not None
    assert answer.reason.encode()


ODD = st.text(st.characters() | st.characters(categories=["Cs", "Cc"]) | st.sampled_from('{}[]"`<>/'), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ODD,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(ODD | st.sampled_from(["reason", "type"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=ODD | JSON.map(json.dumps), around=ODD, error=ODD)
def test_whatever_is_said_is_an_answer_or_a_reason_and_can_be_journalled_and_read_back(
    answer: str, around: str, error: str
) -> None:
    lines: list[Line] = [answer, around + answer, NoReply(error), IndexError(error), Reply(text=answer, finish=error)]
    calls: list[LLMCall] = []

    class Log:
        spent = Spent()

        def answered(self, key: str) -> LLMCall | None:
            return None

        def record(self, call: LLMCall) -> None:
            event = LLMCalled(call=call)
            assert from_json(kind_of(event), to_json(event)) == event
            calls.append(call)

    chat = Chat(
        FakeClient([obliging, *lines]), budget=Budget(), attempts=3, max_failures=99, sleep=lambda seconds: None
    )
    chat.bind(Log())
    for _ in range(3):
        found = chat.ask(purpose="type", system=error, prompt=answer, schema=Choice, max_tokens=10)
        assert found is None or found.reason.encode() is not None
    assert len(calls) >= 3
