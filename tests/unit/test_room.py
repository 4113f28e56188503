"""Prompts that are cut and answers that cannot be given are counted before the first score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_audit import brought
from tests.unit.test_rendering import tokenizer

from lamdagent.core.audit import Finding
from lamdagent.evaluation.tasks.room import without_room
from lamdagent.evaluation.tasks.rows import lm_eval_task


def found(
    folder: Path, items: list[dict[str, Any]], *, metric: str = "exact_match", answer: int = 4, positions: int = 16
) -> list[Finding]:
    """What is found of a task under a model that knows a character as a token, and has so many positions."""
    model = brought(folder, tokenizer(), positions=positions)
    task = lm_eval_task("t", items, metric=metric, max_new_tokens=answer, until=[], target_delimiter="")
    task.set_config("num_fewshot", 0)
    return list(without_room("t", metric, [(task, i) for i in range(len(items))], [(model, folder)], chat=False))


def question(tokens: int, answer: str = "b") -> dict[str, Any]:
    return {"prompt": "a" * tokens, "answer": [answer]}


def test_prompts_that_are_cut_are_counted_with_the_longest_of_them(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, [question(12), question(13), question(30), question(3)])
    assert finding.weight == "warning"
    assert "2 of 4 prompts do not fit the 16 tokens of model base beside an answer of 4" in finding.text
    assert "the longest has 30" in finding.text


def test_what_fits_is_not_spoken_of(tmp_path: Path) -> None:
    assert found(tmp_path, [question(12), question(1)]) == []


@pytest.mark.parametrize(("tokens", "words"), [(3, "give at most 13"), (40, "give less")])
def test_an_answer_that_leaves_no_room_for_a_prompt_is_refused(tmp_path: Path, tokens: int, words: str) -> None:
    (finding,) = found(tmp_path, [question(tokens)], answer=16)
    assert finding.weight == "refused"
    assert "an answer of 16 tokens" in finding.text and finding.text.endswith(words)


def test_items_whose_accepted_answers_are_longer_than_an_answer_may_be_are_counted(tmp_path: Path) -> None:
    items = [question(2, "babab"), question(2, "baba"), {"prompt": "a", "answer": ["babab", "b"]}]
    (finding,) = found(tmp_path, items)
    assert "no accepted answer of 1 of 3 items fits the 4 tokens" in finding.text


def test_a_choice_takes_room_too(tmp_path: Path) -> None:
    items = [{"prompt": "a" * n, "choices": ["b", "ba"], "answer": 0} for n in (14, 15, 16)]
    (finding,) = found(tmp_path, items, metric="acc")
    assert "1 of 3 prompts do not fit the 16 tokens of model base," in finding.text
