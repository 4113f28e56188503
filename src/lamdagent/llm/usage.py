"""How many tokens a question and its answer took, where the provider does not say."""

from __future__ import annotations

import math

ASCII_PER_TOKEN = 3  # low for text and JSON, so that an estimate is rather too high
AROUND = 16  # tokens that a chat template puts around a question or an answer
ABSURD = 10**9


def estimated_tokens(*texts: str) -> int:
    """Tokens of texts that are sent or answered together: one for every 3 ASCII characters, one for each other one.

    No tokenizer is asked: which one a server uses is not known, and the count of a journal must not depend on what is
    installed.
    """
    text = "".join(texts)
    ascii = sum(character < "\x80" for character in text)
    return AROUND + math.ceil(ascii / ASCII_PER_TOKEN) + len(text) - ascii


def used(reported: object, at_least: int) -> int | None:
    """A count of tokens as reported; None where it cannot be one: 0 of some text, less than 0, no whole number."""
    if isinstance(reported, bool) or not isinstance(reported, int) or not 0 <= reported < ABSURD:
        return None
    return None if reported == 0 and at_least > 0 else reported
