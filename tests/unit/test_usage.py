"""Tokens as they are counted where a server reports none, or nonsense."""

from __future__ import annotations

from typing import Any

import pytest

from lamdagent.llm.usage import AROUND, estimated_tokens, used


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("the model", 3),
        ("0.512", 5),
        ('{"a": 1}\n', 8),
        ("模型", 4),
        ("🙂", 3),
        ("\ud83d", 2),
        ("é", 1),
    ],
)
def test_words_digits_marks_and_other_scripts_are_counted_apart(text: str, tokens: int) -> None:
    assert estimated_tokens(text) == AROUND + tokens
    assert estimated_tokens(text, "\n", text) == AROUND + 2 * tokens + 1


@pytest.mark.parametrize("reported", [None, 0, -1, 10**12, 3.5, "12", True])
def test_what_cannot_be_a_count_of_tokens_of_some_text_is_not_known(reported: Any) -> None:
    assert used(reported, at_least=1) is None


def test_a_count_is_taken_as_it_is_and_nothing_may_take_nothing() -> None:
    assert used(7, at_least=100) == 7
    assert used(0, at_least=0) == 0
