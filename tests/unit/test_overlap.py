from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamdagent.evaluation.contamination.overlap import (
    CLIP,
    COMMON,
    EXAMPLES,
    WORDS,
    Evaluated,
    EvaluationItem,
    fields_of,
    scan,
    words,
)
from lamdagent.study.templates.tiny import write_data
from lamdagent.study.templates.tiny.worlds import TINY

QUESTION = (
    "Natalia sold clips to forty-eight of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether?"
)
HEADER = "Read the problem with care, think step by step, and give the answer alone on the last line of your reply."
TURNS = ("system", "user", "assistant", "user", "assistant")
plain = st.text("abcdefghij", min_size=1, max_size=5)
border = st.sampled_from([" ", ", ", "; ", "\n", "! "])


def item(prompt: str, answer: str = "", *, index: int = 0, task: str = "math", split: str = "test") -> EvaluationItem:
    return EvaluationItem(task=task, split=split, index=index, prompt=prompt, answer=answer)


def overlaps(of: EvaluationItem, *fields: str) -> bool:
    return bool(Evaluated([of]).find(fields))


def numbered(rng: Random, count: int) -> str:
    return " ".join(f"w{rng.randrange(10**6)}" for _ in range(count))


# 13 words in a row


@pytest.mark.parametrize(
    "told",
    [
        QUESTION,
        QUESTION.upper(),
        QUESTION.replace(" ", "  \n\t"),
        QUESTION.replace(",", " —").replace("?", "…").replace("-", " "),
        "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in QUESTION),  # full width
        QUESTION.replace("sold", "so\u00adld"),  # a soft hyphen, which nobody sees
        f"A riddle: {' '.join(QUESTION.split()[3:17])} - who knows?",
    ],
    ids=["same", "case", "spaces", "punctuation", "full width", "soft hyphen", "a part"],
)
def test_a_planted_item_is_found_however_it_is_written(told: str) -> None:
    assert overlaps(item(QUESTION), "Some other question?", told)


def test_thirteen_words_in_a_row_are_a_leak_and_twelve_are_not() -> None:
    told = QUESTION.split()
    assert len(words(" ".join(told[1:13]))) == WORDS  # forty-eight is two
    assert overlaps(item(QUESTION), f"before {' '.join(told[1:13])} after", "reply")
    assert not overlaps(item(QUESTION), f"before {' '.join(told[2:13])} after", "reply")


def test_thirteen_words_are_found_across_prompt_and_answer_and_in_the_answer() -> None:
    rng = Random(0)
    prompt, answer = numbered(rng, 20), numbered(rng, 20)
    assert overlaps(item(prompt, answer), prompt.split(" ", 13)[-1], " ".join(answer.split()[:6]))
    assert overlaps(item(prompt, answer), "Anything?", f"Sure: {answer}")
    assert not overlaps(item(prompt), "Anything?", f"Sure: {answer}")


def test_clean_rows_pass() -> None:
    rng = Random(0)
    index = Evaluated(item(numbered(rng, 30), index=i) for i in range(100))
    overlap = scan(((numbered(rng, 30), numbered(rng, 5)) for _ in range(200)), index)
    assert (overlap.scanned, list(overlap.rows), overlap.leaks, overlap.lines("d")) == (200, [], (), [])


@given(
    told=st.lists(plain, min_size=WORDS, max_size=30),
    before=st.lists(plain, max_size=30),
    after=st.lists(plain, max_size=30),
    between=border,
)
def test_an_item_put_into_random_words_is_always_found(
    told: list[str], before: list[str], after: list[str], between: str
) -> None:
    row = between.join([*before, *told, *after]).title()
    assert overlaps(item(" ".join(told)), row)


@given(told=st.text("ab", min_size=14, max_size=40), row=st.text("ab", max_size=60))
def test_a_row_is_found_just_if_it_shares_thirteen_words(told: str, row: str) -> None:
    shared = any(told[i : i + WORDS] in row for i in range(len(told) - WORDS + 1))
    assert overlaps(item(" ".join(told)), " ".join(row)) == shared


@given(st.permutations(range(20)), st.integers(0, 5))
def test_items_in_any_order_give_the_same_result(order: list[int], seed: int) -> None:
    rng = Random(seed)
    pool = [item(" ".join(rng.choices("abc", k=rng.choice((2, 16)))), index=i, task=f"t{i % 3}") for i in range(20)]
    rows = [(" ".join(rng.choices("abc", k=2)), " ".join(rng.choices("abc", k=60))) for _ in range(20)]
    assert scan(rows, Evaluated(pool[i] for i in order)) == scan(rows, Evaluated(pool))


# What is not telling


def test_a_shared_instruction_does_not_make_every_row_a_hit() -> None:
    rng = Random(0)
    own = [numbered(rng, 15) for _ in range(COMMON + 1)]
    index = Evaluated(item(f"{HEADER} {text}", index=i) for i, text in enumerate(own))
    assert not index.unguarded
    assert not index.find((f"{HEADER} {numbered(rng, 15)}", "reply"))
    assert [found.index for found in index.find((f"{HEADER} {own[7]}", "reply"))] == [7]


def test_what_is_common_in_one_task_is_still_telling_in_another() -> None:
    many = [item(f"{HEADER} {i}", index=i) for i in range(COMMON + 1)]
    index = Evaluated([*many, item(HEADER, task="other")])
    assert [found.task for found in index.find((HEADER, "reply"))] == ["other"]


@pytest.mark.parametrize("size", [4, 8, 12, 21])
def test_the_same_template_with_the_same_next_word_and_answer_is_no_leak(size: int) -> None:
    rng = Random(0)
    before, after = " ".join(HEADER.split()[:size]), " ".join(HEADER.split()[-size:])

    def prompt(name: str) -> str:
        return f"{before} {name} {numbered(rng, 20)} {name}. {after}"

    names = [f"Name{i}" for i in range(2 * COMMON)]
    index = Evaluated(item(prompt(name), f"{i % 7}", index=i) for i, name in enumerate(names))
    assert not scan(((prompt(name), f"{i}") for name in names for i in range(7)), index).leaks


def test_an_item_without_telling_words_in_a_row_is_found_by_its_prompt() -> None:
    index = Evaluated(item(f"{HEADER} {i}!", index=i) for i in range(COMMON + 1))
    assert not index.find((f"{HEADER} 50!", "reply"))
    assert [found.index for found in index.find((f"{HEADER} 7?", "reply"))] == [7]


@pytest.mark.parametrize("instruction", ["Write a story.", HEADER])
def test_a_prompt_that_is_only_an_instruction_needs_its_answer_too(instruction: str) -> None:
    index = Evaluated(item(instruction, f"Of cat {i}", index=i) for i in range(COMMON + 1))
    assert not index.unguarded
    assert not index.find((instruction, "Of a dog"))
    assert [found.index for found in index.find((instruction.lower(), "of cat 3!"))] == [3]


def test_items_that_nothing_can_find_are_named() -> None:
    brackets = [item("Close: " + "(" * i, index=i) for i in range(COMMON + 1)]
    index = Evaluated([*brackets, item("?!", "yes", task="odd"), item("What is it?", task="good")])
    assert [(left.task, left.index) for left in index.unguarded] == [
        *(("math", i) for i in range(COMMON + 1)),
        ("odd", 0),
    ]
    assert not index.find(("Close: ((", "))"))


# Short items


@pytest.mark.parametrize(
    "fields",
    [
        ("What is the capital of France?", "Paris"),
        ("what is  the CAPITAL of France", "Lyon"),
        ("Be brief.", "What is the capital of France?", "Paris."),
        ("What is the capital of France? Paris",),
        ("What is the capital of France?",),
        ("Hello!", "What is the capital of France? Paris!"),
    ],
    ids=["the same", "another answer", "after a system turn", "in one text", "the question alone", "as a completion"],
)
def test_a_short_item_is_found_as_a_whole_field(fields: tuple[str, ...]) -> None:
    assert overlaps(item("What is the capital of France?", "Paris"), *fields)


@pytest.mark.parametrize(
    "fields",
    [
        ("Tell me: what is the capital of France?", "Paris"),
        ("Which city lies on the Seine?", "Paris"),
        ("Ask me something.", "What is the capital of France?"),
    ],
    ids=["a part of a field", "the answer alone", "as the last field"],
)
def test_a_short_item_is_not_found_in_less(fields: tuple[str, ...]) -> None:
    assert not overlaps(item("What is the capital of France?", "Paris"), *fields)


def test_a_sum_is_not_the_difference_of_the_same_numbers() -> None:
    asked = item("What is 12 + 5?", "17")
    assert overlaps(asked, "What is 12+5 ?", "17")
    assert not overlaps(asked, "What is 12 - 5?", "7")
    assert words("12 × 5 − 3 = x") == words("12*5 -3 =x")
    assert words("a well-known *bold* </tag>") == ["a", "well", "known", "bold", "tag"]


@pytest.mark.parametrize("fields", [(), ("",), ("", ""), (" \n", "?!")])
def test_empty_texts_never_match(fields: tuple[str, ...]) -> None:
    index = Evaluated([item("", "", index=0), item("...", index=1), item("", "yes", index=2)])
    assert not index.find(fields)
    assert not index.find((*fields, "yes"))


# Other scripts


def test_a_chinese_or_japanese_character_is_a_word() -> None:
    told = "小明有十二个苹果他给了小红五个请问他还剩下几个苹果"
    assert overlaps(item(told), f"题目：{told[3:16]}。", "七")
    assert not overlaps(item(told), f"题目：{told[3:15]}。", "七")
    assert words("東京タワーへ go!") == [*"東京タワーへ", "go"]


def test_marks_and_accents_are_part_of_a_word() -> None:
    assert words("हिन्दी Cafe\u0301 STRASSE") == words("हिन्दी, CAFÉ: straße")
    assert len(words("हिन्दी")) == 1


# Rows


def test_every_kept_shape_gives_its_texts_in_the_order_of_reading() -> None:
    turns = [{"role": role, "content": str(i)} for i, role in enumerate(TURNS)]
    assert fields_of({"messages": turns}) == ("0", "1", "2", "3", "4")
    assert fields_of({"completion": "b", "prompt": "a"}) == ("a", "b")
    assert fields_of({"prompt": "a", "chosen": "b", "rejected": "c"}) == ("a", "b", "c")
    assert fields_of({"text": "a"}) == ("a",)


@pytest.mark.parametrize("turn", range(len(TURNS)))
def test_a_leak_is_found_in_any_turn_of_a_conversation(turn: int) -> None:
    contents = [f"turn {i}" for i in range(len(TURNS))]
    contents[turn] = f"So. {QUESTION}"
    messages = [{"role": role, "content": content} for role, content in zip(TURNS, contents, strict=True)]
    assert overlaps(item(QUESTION), *fields_of({"messages": messages}))


def test_the_result_counts_items_and_rows_of_each_side_and_shows_a_few() -> None:
    rng = Random(0)
    texts = [numbered(rng, 40) for _ in range(12)]
    sides = ["test"] * 6 + ["validation"] * 6
    index = Evaluated(item(t, index=i, split=s) for i, (t, s) in enumerate(zip(texts, sides, strict=True)))
    rows = [("clean",), (texts[5],), (texts[2], texts[9]), ("clean",), *((t,) for t in texts[:6])]
    overlap = scan(rows, index)
    assert overlap.scanned == 10
    assert list(overlap.rows) == [1, 2, 4, 5, 6, 7, 8, 9]
    test, validation = overlap.leaks
    assert (test.task, test.split, test.items, test.rows) == ("math", "test", (0, 1, 2, 3, 4, 5), 8)
    assert (validation.split, validation.items, validation.rows) == ("validation", (9,), 1)
    assert [(e.row, e.item) for e in test.examples] == [(1, 5), (2, 2), (4, 0)]
    assert len(test.examples) == EXAMPLES
    assert all(e.text in texts[e.item] for e in test.examples)


def test_a_leak_reads_as_a_line() -> None:
    index = Evaluated([item("What is it?", index=7), item("And that?", index=8)])
    overlap = scan([("clean",), ("what is it", "this"), ("What is IT", "that")], index)
    assert overlap.lines("chat") == [
        "dataset 'chat' overlaps task 'math' (test): 1 item in 2 rows, e.g. row 1 has item 7: \"what is it\""
    ]


def test_an_example_is_clipped() -> None:
    long = " ".join("x" * 20 + str(i) for i in range(WORDS))
    (leak,) = scan([(long,)], Evaluated([item(long)])).leaks
    assert len(leak.examples[0].text) == CLIP
    assert leak.examples[0].text.endswith("…")


def test_two_items_of_one_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"task 'math' \(test\) has two items 3"):
        Evaluated([item("a", index=3), item("b", index=3)])


def test_memory_does_not_grow_with_the_rows() -> None:
    rng = Random(0)
    index = Evaluated(item(numbered(rng, 20), index=i) for i in range(50))
    filler = [numbered(rng, 10) for _ in range(100)]

    def rows(count: int) -> Iterator[tuple[str, str]]:
        return ((filler[i % 100], f"{filler[i % 97]} {i}") for i in range(count))

    scan(rows(100), index)
    tracemalloc.start()
    try:
        assert scan(rows(50_000), index).scanned == 50_000
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


# The tiny world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_data(folder, seed=0)
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tiny_items(world: Path) -> Iterator[EvaluationItem]:
    for path in sorted((world / "tasks").iterdir()):
        task, split, _ = path.name.split(".")
        for i, row in enumerate(lines(path)):
            answer = row["choices"][row["answer"]] if "choices" in row else row["answer"]
            yield item(row["prompt"], answer, index=i, task=task, split=split)


def test_the_leak_planted_into_the_tiny_world_is_found_and_no_other(world: Path) -> None:
    rules = [*tiny_items(world)]
    index = Evaluated(rules)
    assert not index.unguarded
    planted = next(it for it in rules if (it.task, it.split, it.index) == ("call", "test", 17))
    for name in TINY.data.keys() - {"facts", "words", "general"}:
        rows = [fields_of(row) for row in lines(world / "data" / f"{name}.jsonl")]
        assert not scan(rows, index).leaks, name
        rows.insert(311, (planted.prompt.title(), planted.answer))
        overlap = scan(rows, index)
        assert list(overlap.rows) == [311]
        assert [(leak.task, leak.split, leak.items) for leak in overlap.leaks] == [("call", "test", (17,))]
