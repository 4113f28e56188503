"""Text from outside, made fit to be kept and shown: writable as UTF-8, on one line, without what must stay secret."""

from __future__ import annotations

import os
import re

SHORTEST_SECRET = 8  # a shorter value of the environment would be found in innocent words
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_USER = re.compile(r"(?<=://)[^\s/]+@")
_QUERY = re.compile(r"(://[^\s?#'\"]*)[?#][^\s'\"]*")
_NUMBER = re.compile(r"\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def writable(text: str) -> str:
    """The text with each half of a surrogate pair that stands alone replaced, so that it can be written as UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    """The text without line ends and control characters, which a terminal would act on."""
    return _CONTROL.sub(" ", text).strip()


def without_numbers(text: str) -> str:
    """The text with each number as #: what says the same of other numbers is the same."""
    return _NUMBER.sub("#", text)


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
