"""What training will take, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.training import NO_TRAINING, Training
from lamdagent.core.types import Object
from lamdagent.objects.datasets.size import (
    Size,
    examples_seen,
    foreseen,
    open_tokenizer,
    rows_of,
    size_like,
    size_of_part,
)
from lamdagent.study.templates.tiny.model import make_tokenizer

MODEL = Object(id="m", kind="model", name="m", meta={"root": "m", "parameters": 1000, "tokenizer": "t"})


def dataset(name: str = "d", rows: int = 100, **meta: Any) -> Object:
    return Object(id=name, kind="dataset", name=name, meta={"rows": rows, "format": "prompt_completion", **meta})


def takes(*datasets: Object, **given: Any) -> Training:
    plain: dict[str, Any] = {"epochs": 1.0, "max_steps": -1, "per_step": 8, "max_length": 1024, "packing": False}
    return foreseen(MODEL, datasets, **{**plain, **given})


@pytest.mark.parametrize(("steps", "seen"), [(0, 0), (1, 8), (12, 96), (13, 100), (14, 108), (26, 200)])
def test_the_last_step_of_a_pass_takes_what_is_left(steps: int, seen: int) -> None:
    assert examples_seen(steps, 100, 8) == seen


def test_rows_tokens_and_flops_follow_from_the_passes() -> None:
    sized = dataset(examples=100, characters=4000, tokens={"t": 1200})
    assert takes(sized) == Training(rows=100, tokens=1200, flops=6.0 * 1000 * 1200)
    assert takes(sized, epochs=3.0) == Training(rows=300, tokens=3600, flops=6.0 * 1000 * 3600)
    assert takes(sized, epochs=0.05).rows == 8, "a part of a pass is rounded up to whole steps, as the trainer does"
    assert takes(sized, max_steps=5, epochs=9.0).rows == 40


def test_tokens_are_guessed_from_characters_and_cut_and_not_known_without_any_size() -> None:
    assert takes(dataset(characters=4000)).tokens == 1000
    assert takes(dataset(characters=4000), max_length=5).tokens == 500
    assert takes(dataset()) == Training(rows=100, tokens=None, flops=None)


def test_several_datasets_add_up_and_an_even_mixture_repeats_the_small_ones() -> None:
    large, small = dataset("l", 100, tokens={"t": 1000}), dataset("s", 20, tokens={"t": 400})
    assert takes(large, small) == Training(rows=120, tokens=1400, flops=6.0 * 1000 * 1400)
    assert takes(large, small, even=True).rows == 200
    assert takes(large, small, even=True).tokens == 3000


def test_a_conversation_of_several_answers_is_one_row() -> None:
    size = Size()
    for _ in range(10):
        turns = [("user", "ab"), ("assistant", "cd"), ("user", "e"), ("assistant", "f")]
        size.add({"messages": [{"role": role, "content": text} for role, text in turns]})
    assert (size.examples, size.characters) == (20, 10 * (4 + 6))
    talks = dataset(rows=10, **size.meta({}))
    assert takes(talks, epochs=2.0).rows == 20
    assert takes(talks, max_steps=1).rows == 4, "eight answers are of four conversations"
    assert rows_of([talks], 20) == 10


def test_packed_rows_fill_sequences() -> None:
    sized = dataset(tokens={"t": 1200})
    assert takes(sized, packing=True, epochs=1.5) == Training(rows=150, tokens=1800, flops=6.0 * 1000 * 1800)
    assert takes(sized, packing=True, max_steps=3, per_step=2, max_length=100).tokens == 600
    assert takes(dataset(), packing=True, max_steps=3) == Training()


def test_a_tokenizer_is_asked_without_torch_and_an_example_ends_with_a_token(tmp_path: Path) -> None:
    assert open_tokenizer(tmp_path) is None
    make_tokenizer().save_pretrained(tmp_path)
    size = Size()
    size.add({"prompt": "one ", "completion": "two"})
    size.add({"text": "three"})
    assert size.meta({"t": open_tokenizer(tmp_path)}) == {"examples": 2, "characters": 12, "tokens": {"t": 14}}


def test_made_rows_have_as_many_tokens_a_character_as_those_of_the_pool(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "abcdefgh"}\n', encoding="utf-8")
    known = [dataset("a", characters=100, tokens={"t": 50}), dataset("b"), MODEL]
    assert size_like(tmp_path / "data.jsonl", known) == {"examples": 1, "characters": 8, "tokens": {"t": 4}}
    assert size_like(tmp_path / "data.jsonl", []) == {"examples": 1, "characters": 8}


def test_rows_that_are_left_out_take_their_share_of_the_size() -> None:
    meta = {"rows": 10, "examples": 20, "characters": 500, "tokens": {"t": 100}}
    assert size_of_part(meta, 5) == {"examples": 10, "characters": 250, "tokens": {"t": 50}}
    assert size_of_part({"rows": 10}, 5) == {}


def test_a_sum_is_not_known_where_a_part_is_not() -> None:
    assert Training.total([NO_TRAINING, Training(rows=3, tokens=None, flops=1.0)]) == Training(rows=3, flops=1.0)
    assert Training.total([]) == NO_TRAINING
    assert Training(rows=3).or_else(Training(rows=5, tokens=7)) == Training(rows=3, tokens=7)
