"""What the terminal says of a search."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from lamdagent.core.budget import Budget
from lamdagent.core.events import SearchStopped
from lamdagent.core.observers import Observers
from lamdagent.core.protocols import Observer
from lamdagent.core.search import Search, run
from lamdagent.memories.table import Table
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.random import Random
from lamdagent.study.journal import MemoryJournal, SqliteJournal
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat
from lamdagent.ui.cli.app import app
from lamdagent.ui.terminal.live import Live
from lamdagent.ui.terminal.plain import Plain
from lamdagent.ui.terminal.progress import SearchProgress

BUDGET = Budget(trials=50, llm_tokens=9000)


def last_line_after_spending_all_tokens(observer: Observer, out: io.StringIO) -> str:
    journal, chat = MemoryJournal(), fake_chat(FakeClient(), budget=BUDGET)
    toy.open_toy(journal)
    policy = Agent(chat=chat, fallback=Random())
    search = Search(
        journal=journal, action_types=toy.ACTION_TYPES, policy=policy, memory=Table(), budget=BUDGET, chat=chat
    )
    run(search, toy.inline(), Observers([observer]))
    return out.getvalue().strip().splitlines()[-1]


def test_the_last_line_says_why_the_search_ended_and_not_how_long_it_would_take() -> None:
    plain, live = io.StringIO(), io.StringIO()
    console = Console(file=live, width=300)
    for line in (
        last_line_after_spending_all_tokens(Plain(SearchProgress(BUDGET), plain), plain),
        last_line_after_spending_all_tokens(Live(SearchProgress(BUDGET), BUDGET, console), live),
    ):
        assert "stopped: budget.llm_tokens: " in line
        assert "of 9,000 are spent" in line
        assert "left" not in line


@pytest.mark.parametrize("stopped", [SearchStopped(reason="hours", message="budget.hours: all 2 are spent"), None])
def test_show_says_why_the_last_run_ended(stopped: SearchStopped | None, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "toy"
    with contextlib.closing(SqliteJournal(folder / "journal.sqlite", writer=True)) as journal:
        journal.append(*toy.first_events(), *([stopped] if stopped else []))
    text = CliRunner().invoke(app, ["show", str(folder)], catch_exceptions=False).stdout
    data = json.loads(CliRunner().invoke(app, ["show", str(folder), "--json"], catch_exceptions=False).stdout)
    assert ("stopped: budget.hours: all 2 are spent" in text) == (stopped is not None)
    assert data["stopped"] == (stopped and {"reason": "hours", "message": "budget.hours: all 2 are spent"})
