"""Whatever the user gives, it is taken, or refused in words and soon: about two minutes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.torture.bad_inputs import Bad, all_bad, verdict
from tests.torture.mutations import mutations

pytestmark = pytest.mark.torture

LEAST = {"study": 300, "--set": 35, "data": 60, "task": 60, "model": 80, "pipeline": 80}


def test_each_wrong_input_is_refused_in_words(tmp_path: Path) -> None:
    inputs = all_bad()
    kinds = Counter(bad.kind for bad in inputs)
    assert all(kinds[kind] >= least for kind, least in LEAST.items()), kinds
    assert len({(bad.kind, bad.name) for bad in inputs}) == len(inputs)
    found = {f"{bad.kind}: {bad.name}": verdict(bad, tmp_path / "study") for bad in inputs}
    assert {name: what for name, what in found.items() if what != "refused"} == {}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_study_file_after_slips_is_taken_or_refused_in_words(seed: int, tmp_path: Path) -> None:
    found = {bad.name: verdict(bad, tmp_path / "study") for bad in mutations(500, seed)}
    assert {name: what for name, what in found.items() if what not in ("refused", "accepted")} == {}
    assert min(Counter(found.values()).values()) > 25, "a mutation that is always refused tells nothing of the others"


def test_a_study_that_lacks_nothing_is_taken(tmp_path: Path) -> None:
    assert verdict(Bad("study", "whole"), tmp_path / "study") == "accepted"
