"""How many tokens a question and its answer took, where the provider does not say."""

from __future__ import annotations

import re

LETTERS = 4  # of a word that one token holds
AROUND = 16  # tokens that a chat template puts around a question or an answer
ABSURD = 10**9
_WORD = re.compile(r"[A-Za-z]+")
_BLANK = re.compile(r"[ \t\r]")


def estimated_tokens(*texts: str) -> int:
    """Tokens of texts that are sent or answered together, rather too many than too few.

    A token for each 4 letters of a word begun, each digit, mark and line end, and for a character beyond ASCII one less
    than its bytes. No tokenizer is asked: which one a server uses is not known, and the count of a journal must not depend
    on what is installed.
    """
    text = "".join(texts)
    ascii = text.encode("ascii", "ignore").decode()
    words = _WORD.findall(ascii)
    marks = len(ascii) - sum(map(len, words)) - len(_BLANK.findall(ascii))
    beyond = len(text.encode("utf-8", "surrogatepass")) - len(text)
    return AROUND + sum(-(-len(word) // LETTERS) for word in words) + marks + beyond


def used(reported: object, at_least: int) -> int | None:
    """A count of tokens as reported; None where it cannot be one: 0 of some text, less than 0, no whole number."""
    if isinstance(reported, bool) or not isinstance(reported, int) or not 0 <= reported < ABSURD:
        return None
    return None if reported == 0 and at_least > 0 else reported
