"""Text from outside, made fit to be kept and shown: writable as UTF-8, without what a terminal, a page or Markdown would
act on, without what must stay secret.

Whatever is shown goes through one of `printable` (terminal), `for_html`, `for_markdown`, `in_one_line` and `fenced`: what a
medium acts on is known here and nowhere else.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable
from typing import Any

SAMPLE_CHARS = 200
DEEPEST = 100  # levels of JSON
SHORTEST_SECRET = 8  # a shorter value of the environment would be found in innocent words
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_USER = re.compile(r"(?<=://)[^\s/]+@")
_QUERY = re.compile(r"(://[^\s?#'\"]*)[?#][^\s'\"]*")
_NUMBER = re.compile(r"\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
# C0 but tab and line feed, DEL, C1, line and paragraph separators, what turns the direction of text, halves of surrogates.
_ACTED_ON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_NEW_LINE = re.compile(r"\r\n?|[\u2028\u2029\x85]")
# Signs that begin markup wherever they stand; an underscore does between words only, as in model_1 it is a letter.
_MARKDOWN = re.compile(r"[\\`*\[<|]|~(?=~)|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_MARKDOWN_BLOCK = re.compile(r"^(\s*)(>|#{1,6}(?=\s|$)|[-+=](?=\s|[-=]|$)|\d{1,9}(?=[.)](\s|$)))", re.MULTILINE)


def writable(text: str) -> str:
    """The text with each half of a surrogate pair that stands alone replaced, so that it can be written as UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    """The text without line ends and control characters, which a terminal would act on."""
    return _CONTROL.sub(" ", text).strip()


def some(names: Iterable[str], shown: int = 3) -> str:
    """`rows.jsonl:1, rows.jsonl:3, rows.jsonl:8 and 7 more`; what is named twice counts once."""
    there = list(dict.fromkeys(names))
    more = f" and {len(there) - shown} more" if len(there) > shown else ""
    return ", ".join(there[:shown]) + more


def without_numbers(text: str) -> str:
    """The text with each number as #: what says the same of other numbers is the same."""
    return _NUMBER.sub("#", text)


def printable(text: str) -> str:
    """The text with what a terminal or a browser would act on written as an escape: `\\x1b`, `\\u202e`.

    Lines stay lines, however they end.
    """
    return _ACTED_ON.sub(lambda found: ascii(found[0])[1:-1], _NEW_LINE.sub("\n", text))


def escaped_json(text: str) -> str:
    """JSON with the same signs escaped: it is read as what it was."""
    return _ACTED_ON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def for_html(text: str) -> str:
    """The text as it may stand in an element of a page or in an attribute."""
    return html.escape(printable(text))


def for_markdown(text: str) -> str:
    """The text as it may stand in a paragraph of Markdown: none of its signs is markup. Lines stay lines."""
    return _MARKDOWN_BLOCK.sub(lambda found: f"{found[1]}{_escaped(found[2])}", _inline(printable(text)))


def in_one_line(text: str) -> str:
    """The same for a heading, an entry of a list, or the cell of a table."""
    return _inline(printable(text).replace("\n", " "))


def fenced(text: str, language: str = "text") -> str:
    """The text as a block of code in Markdown, which no line of it ends."""
    text = printable(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _inline(text: str) -> str:
    return _MARKDOWN.sub(lambda found: "\\" + found[0], text)


def _escaped(begin: str) -> str:
    """What would begin a block, with the sign that does so escaped: of a number it is what follows."""
    return begin + "\\" if begin.isdigit() else "\\" + begin


def parse_json(text: str | bytes) -> Any:
    """JSON of the user.

    Raises:
        ValueError: it is none, or is nested deeper than whatever writes or shows it could follow.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list)
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]  # fmt: skip
        if not level:
            return value
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def without_credentials(text: str) -> str:
    """The text with what stands before the @ and after the ? of its URLs taken out."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


def has_credentials(url: str) -> bool:
    """Whether a URL may carry a password or a key: in a user, a query or a fragment."""
    return any(mark in url for mark in "@?#")


def told(error: BaseException | str, most: int = 500) -> str:
    """An error in one line that may be kept: no secret of the environment and of URLs, at most `most` characters."""
    name = "" if isinstance(error, str) else type(error).__name__
    text = without_credentials(str(error))
    for key, value in os.environ.items():
        if _SECRET_NAME.search(key) and len(value.strip()) >= SHORTEST_SECRET:
            text = text.replace(value.strip(), f"[{key}]")
    return one_line(writable(f"{name}: {text}" if name and text else name or text))[:most]


def sample_of(text: str, most: int = SAMPLE_CHARS) -> str:
    """A text as a sample to read: on one line, with single spaces, and cut."""
    line = " ".join(one_line(writable(text)).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
