"""A toy search that is killed over and over ends as one that was not, whoever selects: about five minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.torture.kills import damage, ended, killed

from lamdagent.core.state import State

pytestmark = pytest.mark.torture

KILLS = 6
SEARCHES = [("screen", 1), ("surrogate", 1), ("random", 3), ("tpe", 1), ("evolution", 1)]


@pytest.mark.parametrize(("policy", "slots"), SEARCHES)
def test_a_search_killed_over_and_over_ends_as_one_that_was_not(policy: str, slots: int, tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    assert killed(tmp_path / "killed", policy, slots, KILLS, seed=0) == [], "a worker outlived its driver"
    found, whole = ended(tmp_path / "killed", policy, slots), ended(tmp_path / "whole", policy, slots)
    assert _told(found) == _told(whole)
    assert damage(tmp_path / "killed", found) == []


def _told(state: State) -> State:
    """The state without the order in which trials of several slots ended."""
    return replace(state, pool=dict(sorted(state.pool.items())), scores=dict(sorted(state.scores.items())))
