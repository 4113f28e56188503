"""The skills of the tiny world: pure generators of short question and answer pairs.

Every generator takes a random source and a stage, and its item depends on nothing else. Only `facts` looks at the
stage: the other skills are rules, whose items are new by being drawn anew, whereas a fact can only be asked anew by
being worded anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from typing import Literal

Stage = Literal["pretraining", "training", "task"]


@dataclass(frozen=True)
class QAPair:
    """A question and its one right answer; `choices` (the answer among them) only where the task is a choice."""

    prompt: str
    completion: str
    choices: tuple[str, ...] = ()


Skill = Callable[[Random, Stage], QAPair]

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_CALLS = {
    "play": ("jazz", "rock", "news", "folk", "soul"),
    "dim": ("lamp", "hall", "desk", "bath", "porch"),
    "heat": ("oven", "room", "pool", "tank", "soup"),
    "lock": ("door", "gate", "safe", "shed", "case"),
    "water": ("rose", "lawn", "fern", "herb", "palm"),
    "wake": ("anna", "theo", "mina", "luis", "omar"),
}
_ATTRIBUTES = ("capital", "river")
_LANDS = 40
_KNOWN_LANDS = 30
_TASK_PAIRS = 4  # of an opening and a body


def add(rng: Random, stage: Stage) -> QAPair:
    """The sum of two numbers of three digits that carries nothing."""
    sums = [rng.randrange(2, 10), rng.randrange(10), rng.randrange(10)]
    lefts = [rng.randrange(1, sums[0]), rng.randrange(sums[1] + 1), rng.randrange(sums[2] + 1)]
    left, total = (int("".join(map(str, digits))) for digits in (lefts, sums))
    return QAPair(f"add {left} {total - left}:", str(total))


def reverse(rng: Random, stage: Stage) -> QAPair:
    """A word of three letters spelled backwards."""
    given = word(rng, 3)
    return QAPair(f"reverse {given}:", given[::-1])


def sort(rng: Random, stage: Stage) -> QAPair:
    """Five digits in rising order."""
    digits = [rng.choice("0123456789") for _ in range(5)]
    return QAPair(f"sort {''.join(digits)}:", "".join(sorted(digits)))


def call(rng: Random, stage: Stage) -> QAPair:
    """A spoken wish written as a function call."""
    verb = rng.choice(list(_CALLS))
    thing, amount = rng.choice(_CALLS[verb]), rng.randrange(1, 100)
    prompt = rng.choice((f"{verb} the {thing} {amount}:", f"{thing} {verb} {amount}:", f"{amount} {verb} {thing}:"))
    return QAPair(prompt, f"{verb}({thing},{amount})")


def facts(rng: Random, stage: Stage) -> QAPair:
    """The capital or the river of an invented land, asked in tasks in wordings no training set has.

    Pretraining tells of the first lands only, so the other lands must be learned from a training set.
    """
    known = _KNOWN_LANDS if stage == "pretraining" else _LANDS
    land, answers = atlas()[rng.randrange(known)]
    attribute = rng.choice(_ATTRIBUTES)
    pairs = _wordings()
    pair = rng.choice(pairs[:_TASK_PAIRS] if stage == "task" else pairs[_TASK_PAIRS:])
    wording = pair + rng.choice((":", "?", " is"))
    return QAPair(wording.format(land=land, attribute=attribute), answers[_ATTRIBUTES.index(attribute)])


def largest(rng: Random, stage: Stage) -> QAPair:
    """Which of four different numbers of two digits is the largest: a choice, chance 1 in 4."""
    numbers = rng.sample(range(10, 100), 4)
    choices = tuple(map(str, numbers))
    return QAPair(f"largest {' '.join(choices)}:", str(max(numbers)), choices)


SKILLS: dict[str, Skill] = {skill.__name__: skill for skill in (add, reverse, sort, call, facts, largest)}


def word(rng: Random, letters: int) -> str:
    """So many letters, each drawn by itself."""
    return "".join(rng.choice(_CONSONANTS + _VOWELS) for _ in range(letters))


def mistaken(rng: Random, item: QAPair, skill: str) -> tuple[str, ...]:
    """Wrong answers to an item, the mistake that sets teach first; some may be right by chance, the last never is."""
    given = item.prompt.removesuffix(":").split()
    match skill:
        case "add":
            return (str(int(item.completion) + rng.choice((-10, -2, -1, 1, 2, 10))),)
        case "reverse":
            return given[-1], given[-1] + given[-1][0]
        case "sort":
            return item.completion[::-1], item.completion + "0"
        case "call":
            verb, thing, amount = item.completion.removesuffix(")").replace("(", ",").split(",")
            return (f"{thing}.{verb}={amount}",)
        case "facts":
            answers = next(answers for _, answers in atlas() if item.completion in answers)
            return (answers[1 - answers.index(item.completion)],)
    return (min(item.choices, key=int),)


@cache
def atlas() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The invented lands, the same in every world: (name, its answers in the order of `_ATTRIBUTES`), all distinct."""
    rng = Random("atlas")
    names: dict[str, None] = {}
    while len(names) < _LANDS * (1 + len(_ATTRIBUTES)):
        c, v = rng.choices(_CONSONANTS, k=2), rng.choices(_VOWELS, k=2)
        names[f"{c[0]}{v[0]}{c[1]}{v[1]}"] = None
    words = list(names)
    size = 1 + len(_ATTRIBUTES)
    return tuple((words[i], tuple(words[i + 1 : i + size])) for i in range(0, len(words), size))


@cache
def _wordings() -> tuple[str, ...]:
    openings = ("", "say ", "name ", "the ", "tell ", "find ", "give ", "quiz: ")
    bodies = ("{attribute} of {land}", "{land} {attribute}", "{land}'s {attribute}", "{attribute} in {land}")
    pairs = [opening + body for opening, body in product(openings, bodies)]
    Random("wordings").shuffle(pairs)
    return tuple(pairs)
