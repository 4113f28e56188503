from __future__ import annotations

import io

from rich.console import Console

from lamdagent.core.quiet import Quiet
from lamdagent.core.state import State
from lamdagent.core.types import Budget, Failed
from lamdagent.testing.contracts import DisplayContract
from lamdagent.ui.terminal.live import Live
from lamdagent.ui.terminal.plain import Plain
from lamdagent.ui.terminal.progress import SearchProgress

BUDGET = Budget(trials=25)


class TestQuiet(DisplayContract):
    def display(self) -> Quiet:
        return Quiet()


class TestPlain(DisplayContract):
    def display(self) -> Plain:
        return Plain(SearchProgress(BUDGET), io.StringIO())


class TestLive(DisplayContract):
    def display(self) -> Live:
        return Live(SearchProgress(BUDGET), BUDGET, Console(file=io.StringIO(), force_terminal=True))


class TestUnboundedPlain(DisplayContract):
    def display(self) -> Plain:
        return Plain(SearchProgress(Budget()), io.StringIO())


def test_a_model_whose_name_looks_like_markup_can_be_shown() -> None:
    display = TestLive().display()
    try:
        display.ended("[/red]", Failed(cause="error", message=""), State())
    finally:
        display.close(State())
