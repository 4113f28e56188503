"""Whether training rows give away what a model will be scored on: rows held against evaluation items, word by word.

Texts are compared as words: Unicode NFKC, lower case, punctuation and symbols as spaces, each Chinese or Japanese
character a word of its own. A sign before a number or a single letter stays with it (`12 + 5` is `12 +5`), so that a
sum is not the difference of the same numbers. An item and a row overlap if one of these holds:

    n-gram     13 words in a row of the item (prompt, then answer) stand in the row (its fields, one after the other)
    question   a field that another one follows, or the only field, is the item's prompt, whatever the answer
    whole      a field, or two neighbouring fields, is the item's prompt with its answer

The last two are for items of fewer than 13 words and compare whole fields, so that a common phrase is no leak. The
question alone is enough, because a model that was taught another answer to it is not scored on something new either; the
last field does not count as a question, because a completion such as `Paris` asks nothing.

What stands in more than 10 items of a task is not telling. An n-gram with 8 words in a row of that kind matches nothing:
a shared instruction, a few-shot header or a passage with many questions, even with the next word or the answer `42`
behind it, must not make a hit of every row in the same template. Neither does a prompt that is only an instruction, nor
items that differ in punctuation alone. An item that has no telling n-gram is still found by its prompt or as a whole;
items that nothing can find are `Evaluated.unguarded`.

Not found: paraphrases, translations, a short question put into another template, and whatever a language written
without spaces (Thai, Khmer) holds within one phrase.

Source: GPT-3 (arXiv 2005.14165, appendix C): n-grams of 13 words, of 8 at the least where items are short, without
those that are in more than 10 documents; lm-eval's docs/decontamination.md; Tülu 3 (arXiv 2411.15124) holds prompts
against prompts by n-grams of 8.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, pairwise
from typing import Any
from zlib import crc32

WORDS = 13
PART = 8
COMMON = 10
EXAMPLES = 3
CLIP = 120
_CLUE = 4  # words
_CLUES = 2**24
_SIGNS = "-+*/=<>^"
_OTHER_SIGNS = {"−": "-", "×": "*", "÷": "/"}
_OPERAND = r"(?:\d|[a-z]\b)"
_LOOSE = re.compile(rf"[{_SIGNS}](?! *{_OPERAND})")
_BOUND = re.compile(rf"([{_SIGNS}]) *")
_SPACELESS = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]"
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EvaluationItem:
    """One question of one side of a task. `answer` is the right one, empty where there is none."""

    task: str
    split: str
    index: int
    prompt: str
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlapExample:
    """A row and an item that overlap, and the words that both hold, at most 120 characters of them."""

    row: int
    item: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """What rows hold of one side of a task: `items` are the indices found, rising; `rows` counts the rows."""

    task: str
    split: str
    items: tuple[int, ...]
    rows: int
    examples: tuple[OverlapExample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What the rows of a dataset hold of the evaluation: `rows` numbers the rows that overlap, from 0, rising."""

    scanned: int
    rows: array[int]
    leaks: tuple[Leak, ...]

    def lines(self, dataset: str) -> list[str]:
        """A line for each side of a task that leaks, in the order of task and split; none where the rows are clean."""
        return [_line(dataset, leak) for leak in self.leaks]


class Evaluated:
    """The items of every task, indexed by their telling texts; their order does not matter.

    `size` counts the items; `unguarded` are those that no row can overlap. Holds about 165 bytes for each n-gram, and
    16 MB: 107 MB for 10,000 items of 60 words.

    Raises:
        ValueError: two items of the same task, split and index.
    """

    def __init__(self, items: Iterable[EvaluationItem]) -> None:
        worded = [(item, words(item.prompt), words(item.answer)) for item in sorted(items)]
        for (item, _, _), (other, _, _) in pairwise(worded):
            if (item.task, item.split, item.index) == (other.task, other.split, other.index):
                raise ValueError(f"task {item.task!r} ({item.split}) has two items {item.index}.")
        self._ngrams: dict[str, tuple[EvaluationItem, ...]] = {}
        self._questions: dict[str, tuple[EvaluationItem, ...]] = {}
        self._wholes: dict[str, tuple[EvaluationItem, ...]] = {}
        for _, of_task in groupby(worded, key=lambda words_of: words_of[0].task):
            task = list(of_task)
            common = _common(prompt + answer for _, prompt, answer in task)
            _index(self._ngrams, ((item, _telling(prompt + answer, common)) for item, prompt, answer in task))
            _index(self._questions, ((item, [" ".join(prompt)]) for item, prompt, _ in task if prompt))
            _index(self._wholes, ((item, [" ".join(prompt + answer)]) for item, prompt, answer in task if prompt))
        found = {item for index in (self._ngrams, self._questions, self._wholes) for item in chain(*index.values())}
        self._clues = _clues(prompt + answer for _, prompt, answer in worded)
        self.size = len(worded)
        self.unguarded = tuple(item for item, _, _ in worded if item not in found)

    def find(self, fields: Iterable[str]) -> dict[EvaluationItem, str]:
        """The items that a row overlaps, each with the words that both hold.

        Args:
            fields: the row's texts in order: prompt and completion, or the turns of a conversation, or one text.
        """
        worded = [w for w in map(words, fields) if w]
        texts = [" ".join(w) for w in worded]
        found: dict[EvaluationItem, str] = {}
        for index, keys in (
            (self._ngrams, self._likely(list(chain(*worded)))),
            (self._questions, texts[:-1] or texts),
            (self._wholes, chain(texts, map(" ".join, pairwise(texts)))),
        ):
            for key in keys:
                for item in index.get(key, ()):
                    found.setdefault(item, key)
        return found

    def _likely(self, worded: Sequence[str]) -> Iterator[str]:
        """The row's n-grams that an item may hold: one spans a clue at every tenth word, wherever it starts."""
        last = len(worded) - WORDS
        for at in range(0, last + WORDS - _CLUE + 1, WORDS - _CLUE + 1):
            if self._clues[_clue(worded[at : at + _CLUE])]:
                for start in range(max(0, at + _CLUE - WORDS), min(at, last) + 1):
                    yield " ".join(worded[start : start + WORDS])


def scan(rows: Iterable[Iterable[str]], index: Evaluated) -> Overlap:
    """Hold every row, as its fields (see `fields_of`), against every item, in one pass over the rows.

    Keeps the numbers of the rows that overlap (8 bytes each), the indices of the items found, and 3 examples for each
    side of a task.
    """
    scanned = 0
    hits = array("Q")
    tallies: dict[tuple[str, str], _Tally] = {}
    for number, fields in enumerate(rows):
        scanned += 1
        if found := index.find(fields):
            hits.append(number)
            for item in sorted(found):
                tally = tallies.setdefault((item.task, item.split), _Tally())
                tally.add(number, item.index, found[item])
    leaks = tuple(tallies[side].leak(*side) for side in sorted(tallies))
    return Overlap(scanned=scanned, rows=hits, leaks=leaks)


def fields_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of a row in one of the four kept shapes (see `objects.datasets.formats`), in the order in which they are
    read. Of a row in a plug-in's own shape, which holds something else than text or has none of their columns: all its
    texts."""
    if "messages" in row:
        found: tuple[Any, ...] = tuple(turn.get("content") for turn in row["messages"] if isinstance(turn, Mapping))
    else:
        found = tuple(row[key] for key in ("prompt", "completion", "chosen", "rejected", "text") if key in row)
    return found if found and all(isinstance(text, str) for text in found) else tuple(_texts(row))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(part)


def words(text: str) -> list[str]:
    """The words of a text as they are compared."""
    text = unicodedata.normalize("NFKC", text).casefold().translate(_KEPT)
    return _BOUND.sub(r" \1", _LOOSE.sub(" ", text)).split()


@dataclass(slots=True)
class _Tally:
    items: set[int] = field(default_factory=set)
    rows: int = 0
    last_row: int = -1
    examples: list[OverlapExample] = field(default_factory=list)

    def add(self, row: int, item: int, text: str) -> None:
        self.rows += row != self.last_row
        self.last_row = row
        if item not in self.items:
            self.items.add(item)
            if len(self.examples) < EXAMPLES:
                self.examples.append(OverlapExample(row=row, item=item, text=_clipped(text)))

    def leak(self, task: str, split: str) -> Leak:
        items, examples = tuple(sorted(self.items)), tuple(self.examples)
        return Leak(task=task, split=split, items=items, rows=self.rows, examples=examples)


class _Kept(dict[int, str]):
    """For `str.translate`: letters, digits, marks and signs stay; what cannot be seen goes; the rest is a space."""

    def __missing__(self, code: int) -> str:
        char = _OTHER_SIGNS.get(chr(code), chr(code))
        category = unicodedata.category(char)
        if char in _SIGNS or category[0] in "LNM":
            kept = f" {char} " if _SPACELESS.match(char) else char
        else:
            kept = "" if category == "Cf" else " "
        self[code] = kept
        return kept


_KEPT = _Kept()


def _grams(worded: Sequence[str], size: int) -> Iterator[str]:
    return (" ".join(worded[i : i + size]) for i in range(len(worded) - size + 1))


def _common(texts: Iterable[Sequence[str]]) -> set[str]:
    """Every 8 words in a row that stand in more than 10 texts."""
    counts = Counter(chain.from_iterable(set(_grams(worded, PART)) for worded in texts))
    return {gram for gram, count in counts.items() if count > COMMON}


def _telling(worded: Sequence[str], common: Container[str]) -> Iterator[str]:
    """The n-grams that hold nothing common."""
    held = [gram in common for gram in _grams(worded, PART)]
    return (gram for i, gram in enumerate(_grams(worded, WORDS)) if not any(held[i : i + WORDS - PART + 1]))


def _index(index: dict[str, tuple[EvaluationItem, ...]], keyed: Iterable[tuple[EvaluationItem, Iterable[str]]]) -> None:
    """Add the items of a task under each of their keys, but for the keys that more than 10 of them have."""
    owners: dict[str, tuple[EvaluationItem, ...]] = {}
    for item, keys in keyed:
        alone = (item,)
        for key in set(keys):
            have = owners.get(key, ())
            if len(have) <= COMMON:  # one more than is telling is enough to know
                owners[key] = have + alone
    for key, holders in owners.items():
        if len(holders) <= COMMON:
            index[key] = index.get(key, ()) + holders


def _clues(texts: Iterable[Sequence[str]]) -> bytearray:
    """1 at the hash of every 4 words in a row of the texts that have n-grams: most rows are passed over by these."""
    clues = bytearray(_CLUES)
    for worded in texts:
        if len(worded) >= WORDS:
            for at in range(len(worded) - _CLUE + 1):
                clues[_clue(worded[at : at + _CLUE])] = 1
    return clues


def _clue(worded: Sequence[str]) -> int:
    return crc32(" ".join(worded).encode()) % _CLUES


def _line(dataset: str, leak: Leak) -> str:
    first = leak.examples[0]
    return (
        f"dataset {dataset!r} overlaps task {leak.task!r} ({leak.split}): {_count(len(leak.items), 'item')} in "
        f'{_count(leak.rows, "row")}, e.g. row {first.row} has item {first.item}: "{first.text}"'
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _clipped(text: str) -> str:
    return text if len(text) <= CLIP else text[: CLIP - 1] + "…"
