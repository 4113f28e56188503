from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from lamdagent.core.budget import Budget
from lamdagent.core.observers import Observers
from lamdagent.core.state import State
from lamdagent.core.types import Failed
from lamdagent.observers.jsonl import Jsonl
from lamdagent.study.progress import ProgressFiles
from lamdagent.testing.contracts import ObserverContract
from lamdagent.ui.terminal.live import Live
from lamdagent.ui.terminal.plain import Plain
from lamdagent.ui.terminal.progress import SearchProgress

BUDGET = Budget(trials=25)


class TestPlain(ObserverContract):
    def observer(self) -> Plain:
        return Plain(SearchProgress(BUDGET), io.StringIO())


class TestLive(ObserverContract):
    def observer(self) -> Live:
        return Live(SearchProgress(BUDGET), BUDGET, Console(file=io.StringIO(), force_terminal=True))


class TestUnboundedPlain(ObserverContract):
    def observer(self) -> Plain:
        return Plain(SearchProgress(Budget()), io.StringIO())


class TestJsonl(ObserverContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def observer(self) -> Jsonl:
        return Jsonl(self.folder / "log.jsonl")


class TestProgressFiles(ObserverContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def observer(self) -> ProgressFiles:
        return ProgressFiles(self.folder)


class TestMany(ObserverContract):
    def observer(self) -> Observers:
        return Observers([TestPlain().observer(), TestLive().observer()])


def test_a_model_whose_name_looks_like_markup_can_be_shown() -> None:
    observer = TestLive().observer()
    try:
        observer.ended("[/red]", Failed(cause="error", message=""), State())
    finally:
        observer.closed(State())
