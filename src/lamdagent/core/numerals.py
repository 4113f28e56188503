"""The numbers that a text ends with, as exact values: 1,234.5, 3/4, .5, 1e5, 3 x 10^5, −3, 50%, $5."""

from __future__ import annotations

import re
from fractions import Fraction

LONGEST = 1000  # characters of a number, and the size of its exponent; beyond it nothing is read, which takes no time

_DIGITS = r"""
    (?P<european>\d{1,3}(?:\.\d{3})+,\d+)
  | \d+(?:[./]\d+)+[./](?P<last_of_chain>\d+)
  | (?P<grouped>\d{1,3}(?:(?:,\d{3})+|(?:,\d{2})+,\d{3}|(?:'\d{3})+|(?:[ \u00a0\u202f]\d{3})+)(?!\d)(?:\.\d+)?)
  | (?P<plain>\d+(?:\.\d+)?|(?<![\d.])\.\d+)
"""
_NUMBER = re.compile(
    rf"""
    \\[dt]?frac\{{(?P<above>\d+)\}}\{{(?P<below>\d+)\}}
  | (?:{_DIGITS})
    (?:
        [eE](?P<exponent>[+-]?\d+)(?!\w|\.\d)
      | \s*[x×*·]\s*10\s*(?:\^|\*\*)\s*\{{?(?P<power_of_ten>[+\-−]?\d+)\}}?
      | \s*(?:\^|\*\*)\s*\{{?(?P<power>\d+)\}}?
      | (?:\ (?P<numerator>\d+))?\s?/\s?(?P<denominator>\d+)(?!\d|/|\.\d)
    )?
    \s?(?P<percent>\\?%)?
    """,
    re.VERBOSE,
)
_MINUS = re.compile(r"[-−–](\s*)[$€£¥]?\s?$")
_BEFORE_A_SIGN = "=:(,[{<>≈~"


def last_values(text: str) -> frozenset[Fraction]:
    """What the last number of a text may mean: none where there is none, two for a percentage (50% is 50 and 0.5)."""
    matches = list(_NUMBER.finditer(text))
    if not matches or len(matches[-1][0]) > LONGEST or (size := _size(matches[-1])) is None:
        return frozenset()
    found = matches[-1]
    value = -size if _negative(text[: found.start()]) else size
    return frozenset({value, value / 100} if found["percent"] else {value})


def _size(found: re.Match[str]) -> Fraction | None:
    if found["above"] is not None:
        return _ratio(Fraction(found["above"]), found["below"])
    if found["european"] is not None:
        size = Fraction(found["european"].replace(".", "").replace(",", "."))
    else:
        size = Fraction(re.sub(r"[,' \u00a0\u202f]", "", found["last_of_chain"] or found["grouped"] or found["plain"]))
    if (ten := found["exponent"] or found["power_of_ten"]) is not None:
        power = int(ten.replace("−", "-"))
        return size * Fraction(10) ** power if abs(power) <= LONGEST else None
    if found["power"] is not None:
        return size ** int(found["power"]) if int(found["power"]) <= LONGEST and size < LONGEST else None
    if found["denominator"] is not None:
        if found["numerator"] is None:
            return _ratio(size, found["denominator"])
        part = _ratio(Fraction(found["numerator"]), found["denominator"])
        return None if part is None else size + part
    return size


def _ratio(above: Fraction, below: str) -> Fraction | None:
    return above / int(below) if int(below) else None


def _negative(before: str) -> bool:
    """Whether a number has the sign of what stands before it: not in 10-3, pages 5-6, or 7 - 3."""
    minus = _MINUS.search(before)
    if minus is None:
        return False
    left = before[: minus.start()]
    if not minus[1]:
        return not left or not (left[-1].isalnum() or left[-1] in ")]")
    return not left.strip() or left.rstrip()[-1] in _BEFORE_A_SIGN
