"""Jinja templates of the user: rendered in a sandbox, within bounds of time and size."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

MOST_S = 10.0
MOST_CHARS = 10_000_000
"""Of one rendered text: more than any context holds."""
_FILLERS = ("center", "ljust", "rjust", "zfill", "expandtabs")
_WIDE = re.compile(r"%[-+ #0]*(\d{7,}|\*)")
_BUILT: list[type[Any]] = []


class BadTemplate(Exception):
    """A template cannot be read, fails on its values, or takes too much; the message says which."""


class _Overdue(BaseException):
    """Not an Exception, which what runs may catch."""


@contextmanager
def within(seconds: float | None = None) -> Iterator[None]:
    """Stops what runs inside once it has taken that long (10 s unless said otherwise), in the main thread, as jobs are.

    Raises:
        TimeoutError: it was stopped.
    """
    seconds = MOST_S if seconds is None else seconds
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _Overdue

    before, began = signal.signal(signal.SIGALRM, stop), time.monotonic()
    left, every = 0.0, 0.0
    try:
        # And each second after, where something swallows it.
        left, every = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except _Overdue:
        raise TimeoutError(f"took longer than {seconds:g} s") from None
    finally:
        signal.signal(signal.SIGALRM, before)
        if left:  # of one around this one
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - began)), every)


class Template:
    """A template of the user.

    Args:
        filters: beside Jinja's own.
        options: of Jinja's environment.
    Raises:
        BadTemplate: it cannot be read.
    """

    def __init__(self, source: str, filters: Mapping[str, Callable[..., Any]] | None = None, **options: Any) -> None:
        from jinja2 import StrictUndefined

        environment = _sandbox()(undefined=StrictUndefined, **options)
        environment.filters.update(filters or {})
        with _told():
            self._template = environment.from_string(source)

    def render(self, values: Mapping[str, Any]) -> str:
        """The text.

        Raises:
            BadTemplate: it fails on these values, or takes more than 10 s or 10 million characters.
        """
        parts, size = list[str](), 0
        with _told(), within():
            for part in self._template.generate(values):
                parts.append(part)
                if (size := size + len(part)) > MOST_CHARS:
                    raise BadTemplate(f"it writes more than {MOST_CHARS:,} characters")
        return "".join(parts)


def names_in(source: str) -> set[str]:
    """The values that a template takes.

    Raises:
        BadTemplate: it cannot be read.
    """
    from jinja2 import meta

    with _told():  # Jinja computes constants here already, which its sandbox alone leaves be
        return set(meta.find_undeclared_variables(_sandbox()().parse(source)))


def refuse_powers(source: str) -> None:
    """Refuse `**` in a template that another library renders: a single one can compute without end or interruption.

    Raises:
        BadTemplate: it has one, or cannot be read.
    """
    from jinja2 import Environment

    with _told():
        before = ""
        for line, kind, sign in Environment().lex(source):
            if kind == "operator" and sign == "**" and before not in ("(", ","):  # there it unpacks arguments
                raise BadTemplate(f"line {line} takes a power (**), which may never end")
            before = before if kind == "whitespace" else sign


@contextmanager
def _told() -> Iterator[None]:
    """Whatever is raised as a BadTemplate: expressions of a template raise what they like."""
    from jinja2 import TemplateSyntaxError

    try:
        yield
    except BadTemplate:
        raise
    except TemplateSyntaxError as error:
        raise BadTemplate(f"{error.message} (line {error.lineno})") from error
    except RecursionError as error:
        raise BadTemplate("it is nested too deep, or calls itself without end") from error
    except Exception as error:
        raise BadTemplate(str(error) or type(error).__name__) from error


def _sandbox() -> type[Any]:
    """Jinja's sandbox without what takes endless memory or time in a single step, where no alarm reaches it."""
    if _BUILT:
        return _BUILT[0]
    from jinja2.sandbox import SandboxedEnvironment

    class Bounded(SandboxedEnvironment):
        intercepted_binops = frozenset(["*", "**", "%"])

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for name in ("center", "indent"):
                self.filters[name] = _bounded(self.filters[name])
            self.filters["format"] = _narrow(self.filters["format"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _refuse_huge(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
            fills = isinstance(getattr(obj, "__self__", None), str) and getattr(obj, "__name__", "") in _FILLERS
            return super().call(context, _bounded(obj) if fills else obj, *args, **kwargs)

    _BUILT.append(Bounded)
    return Bounded


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        for given in (*args, *kwargs.values()):
            if isinstance(given, int) and given > MOST_CHARS:
                raise _too_wide(given)
        return function(*args, **kwargs)

    return bounded


def _narrow(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def narrow(text: Any, *args: Any, **kwargs: Any) -> Any:
        if _WIDE.search(str(text)):
            raise _too_wide(text)
        return function(text, *args, **kwargs)

    return narrow


def _too_wide(given: Any) -> BadTemplate:
    return BadTemplate(f"it asks for {given!r:.40}: more than {MOST_CHARS:,} characters")


def _refuse_huge(operator: str, left: Any, right: Any) -> None:
    sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
    if operator == "*" and hasattr(sized, "__len__") and isinstance(times, int):
        huge = len(sized) * times > MOST_CHARS
    elif operator == "%":
        huge = isinstance(left, str) and _WIDE.search(left) is not None
    else:
        huge = _digits(left) * (abs(right) if operator == "**" and isinstance(right, int) else 1) > 10_000
        huge = huge or _digits(right) > 10_000
    if huge:
        raise BadTemplate(f"{operator} makes more than it may: {left!r:.40} {operator} {right!r:.40}")


def _digits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 1
