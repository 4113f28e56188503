"""A toy search that is killed over and over ends as one that was not, whoever selects: about five minutes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.torture.kills import damage, ended, killed

from lamdagent.core.types import Failed, Made, Outcome

pytestmark = pytest.mark.torture

KILLS = 3
SEARCHES = [("screen", 1), ("surrogate", 1), ("random", 3), ("tpe", 1), ("evolution", 1)]


@pytest.mark.parametrize(("policy", "slots"), SEARCHES)
def test_a_search_killed_over_and_over_ends_as_one_that_was_not(policy: str, slots: int, tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    assert killed(tmp_path / "killed", policy, slots, KILLS, seed=0) == [], "a worker outlived its driver"
    found, whole = ended(tmp_path / "killed", policy, slots), ended(tmp_path / "whole", policy, slots)
    assert damage(tmp_path / "killed", found) == []
    if slots == 1:
        assert found == whole
        return
    # Who is chosen while others run depends on which of them has ended: what the same action gives does not.
    assert [t.choice.action for t in found.trials[:slots]] == [t.choice.action for t in whole.trials[:slots]]
    both = {t.choice.action.id: t.outcome for t in whole.trials}
    same = [(t.outcome, both[t.choice.action.id]) for t in found.trials if t.choice.action.id in both]
    assert len(same) >= slots and all(_result(one) == _result(other) for one, other in same)
    assert len(found.trials) == len(whole.trials) and not found.running
    assert not [t for t in found.trials if isinstance(t.outcome, Failed) and t.outcome.cause in ("crash", "cancelled")]


def _result(outcome: Outcome | None) -> object:
    """What a trial gave, whatever its number and that of others are."""
    if isinstance(outcome, Made):
        return outcome.object.id, dict(outcome.object.meta), [(s.task, s.value) for s in outcome.scores]
    return isinstance(outcome, Failed) and outcome.cause
