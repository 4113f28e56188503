"""What the journal calls made is on the disk wherever the power is cut, and the search goes on: about a minute."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.torture.cuts import after_cuts

pytestmark = pytest.mark.torture


def test_a_power_cut_takes_nothing_that_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(after_cuts(100, 0, tmp_path, monkeypatch))
    assert len(found) > 50
    assert [(cut, missing) for cut, missing, _ in found if missing] == []
    assert [cut for cut, _, same in found if not same] == []
