"""A trial that somebody stopped says nothing of its action, and is told apart from one that failed wherever trials are."""

from __future__ import annotations

import pytest
from tests.loop.by_hand import done, opened

from lamdagent.core.budget import Budget
from lamdagent.core.search import Search, job_of
from lamdagent.core.space import ActionSpace
from lamdagent.core.types import Failed
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.report import report
from lamdagent.results.trial import trial_detail
from lamdagent.testing import toy
from lamdagent.ui.terminal.progress import SearchProgress

OOM, CANCELLED = Failed(cause="oom", message="out of memory"), Failed(cause="cancelled", message="by hand")


@pytest.fixture(scope="module")
def search() -> Search:
    """Of three trials one was done, one failed and one was stopped."""
    search = opened()
    for outcome in (None, OOM, CANCELLED):
        (trial,) = search.ask()
        search.tell(trial.number, outcome or done(job_of(trial, search.state)))
    return search


def test_the_memory_and_the_terminal_count_it_apart(search: Search) -> None:
    counts = "3 trials ended, 1 of them failed, 1 stopped"
    assert search.state.memory.startswith(f"{counts}.\n")
    progress = SearchProgress(Budget())
    assert progress.closing(search.state).startswith(f"{counts}; ")
    assert progress.verdict(1, OOM, search.state) == "trial 1 failed (oom)"
    assert progress.verdict(2, CANCELLED, search.state) == "trial 2 stopped (cancelled)"


def test_the_action_space_says_that_it_was_stopped(search: Search) -> None:
    space = ActionSpace(search.state, toy.ACTION_TYPES)
    assert [space.why_invalid(trial.choice.action) for trial in search.state.trials] == [
        "already tried: it was done as trial 0",
        "already tried: it failed as trial 1",
        "already tried: it was stopped as trial 2",
    ]


def test_the_leaderboard_lists_it_apart(search: Search) -> None:
    board = leaderboard("toy", search.state, toy.Unwritten())
    assert [trial.status for trial in board.trials] == ["made", "failed", "stopped"]
    assert [section.heading for section in board.sections()][-2:] == ["1 failed", "1 stopped"]


def test_the_page_of_the_trial_says_that_it_was_stopped(search: Search) -> None:
    detail = trial_detail("toy", search.state, search.state.trials[2], toy.Unwritten(), transcript=False)
    assert "stopped (cancelled): by hand" in detail.sections()[0].parts


def test_the_report_counts_it_apart(search: Search) -> None:
    nothing = HoldoutResults(scores={}, opened=1)
    found = report("toy", search.state, nothing, toy.Unwritten(), chosen=(), signatures=())
    assert (found.failed, found.stopped) == (1, 1)
    assert "3 trials, 1 of them failed, 1 stopped, seed" in str(found.sections()[0].parts)
