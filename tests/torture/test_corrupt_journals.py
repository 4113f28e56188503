"""No damage to a journal is taken for what was written, and none ends in a traceback: about a minute."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.torture.corruption import damages, verdict, written

pytestmark = pytest.mark.torture


@pytest.mark.parametrize("seed", [0, 1])
def test_a_damaged_journal_is_refused_or_read_as_written(seed: int, tmp_path: Path) -> None:
    file = tmp_path / "study" / "journal.sqlite"
    state = written(file)
    whole, seen = file.read_bytes(), Counter[str]()
    wrong = {}
    for damage in damages(300, seed):
        found = verdict(damage, whole, state, tmp_path / "copy")
        seen[found] += 1
        if found not in damage.allowed():
            wrong[f"{damage.kind}: {damage.name}"] = found
    assert wrong == {}
    assert seen["refused"] > 150, seen
