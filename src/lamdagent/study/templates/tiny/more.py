"""More skills, for worlds that are drawn: rules on short words and digits, each with the mistake that sets teach."""

from __future__ import annotations

from random import Random

from lamdagent.study.templates.tiny.skills import QAPair, Skill, Stage, word


def double(rng: Random, stage: Stage) -> QAPair:
    """Every letter of a word twice."""
    given = word(rng, 4)
    return QAPair(f"double {given}:", "".join(letter * 2 for letter in given))


def following(rng: Random, stage: Stage) -> QAPair:
    """The letter that follows in the alphabet, for each letter of a word; a follows z."""
    given = word(rng, 3)
    return QAPair(f"following {given}:", "".join(_shifted(letter, 1) for letter in given))


def swap(rng: Random, stage: Stage) -> QAPair:
    """A word with its first and last letter exchanged."""
    given = word(rng, 4)
    return QAPair(f"swap {given}:", given[-1] + given[1:-1] + given[0])


def vowels(rng: Random, stage: Stage) -> QAPair:
    """The vowels of a word that has some."""
    given = word(rng, 5)
    while not any(letter in "aeiou" for letter in given):
        given = word(rng, 5)
    return QAPair(f"vowels {given}:", "".join(letter for letter in given if letter in "aeiou"))


def take(rng: Random, stage: Stage) -> QAPair:
    """The difference of two numbers of three digits that borrows nothing."""
    upper = [rng.randrange(2, 10), rng.randrange(10), rng.randrange(10)]
    lower = [rng.randrange(1, upper[0]), rng.randrange(upper[1] + 1), rng.randrange(upper[2] + 1)]
    left, right = (int("".join(map(str, digits))) for digits in (upper, lower))
    return QAPair(f"take {left} {right}:", str(left - right))


def ends(rng: Random, stage: Stage) -> QAPair:
    """The first and the last letter of a word."""
    given = word(rng, 5)
    return QAPair(f"ends {given}:", given[0] + given[-1])


def even(rng: Random, stage: Stage) -> QAPair:
    """The even ones of six digits, which have some."""
    given = "".join(rng.choice("0123456789") for _ in range(6))
    while not any(digit in "02468" for digit in given):
        given = "".join(rng.choice("0123456789") for _ in range(6))
    return QAPair(f"even {given}:", "".join(digit for digit in given if digit in "02468"))


def repeat(rng: Random, stage: Stage) -> QAPair:
    """A word as often as a number says."""
    given, times = word(rng, 3), rng.randrange(1, 5)
    return QAPair(f"repeat {given} {times}:", given * times)


MORE: dict[str, Skill] = {
    skill.__name__: skill for skill in (double, following, swap, vowels, take, ends, even, repeat)
}


def mistaken(item: QAPair) -> tuple[str, ...]:
    """Wrong answers to an item of these skills, the likeliest mistake first; some may be right by chance."""
    verb, _, rest = item.prompt.removesuffix(":").partition(" ")
    given = rest.split()[0]
    first = {
        "double": given * 2,
        "following": "".join(_shifted(letter, -1) for letter in given),
        "swap": given[1] + given[0] + given[2:],
        "vowels": "".join(letter for letter in given if letter not in "aeiou"),
        "take": str(int(given) - 10) if verb == "take" else "",
        "ends": given[-1] + given[0],
        "even": "".join(digit for digit in given if digit not in "02468"),
        "repeat": given * (len(item.completion) // len(given) + 1),
    }[verb]
    return (first, given, given + given[0]) if first else (given, given + given[0])


def _shifted(letter: str, by: int) -> str:
    return chr((ord(letter) - ord("a") + by) % 26 + ord("a"))
