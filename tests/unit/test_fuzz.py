"""A sample of what `make torture` tries of inputs, and that each of its harnesses sees a fault that is planted."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.torture import kills
from tests.torture.bad_inputs import Bad, all_bad, verdict, write_recipe
from tests.torture.corruption import Damage, damages
from tests.torture.corruption import verdict as read
from tests.torture.corruption import written as journal_of
from tests.torture.cuts import after_cuts
from tests.torture.mutations import mutations, written

from lamdagent.core.errors import ConfigError, DataError, UserError
from lamdagent.core.state import State
from lamdagent.core.types import Made
from lamdagent.study import journal as journals
from lamdagent.study.config import yaml as study_yaml
from lamdagent.study.config.yaml import Document
from lamdagent.study.read import ReadStudy, find_trial
from lamdagent.testing import toy

SAMPLE = random.Random(0).sample(all_bad(), 30)
HARNESS = Bad("study", "whole")


def test_a_study_that_lacks_nothing_is_taken_and_the_same_recipe_too(tmp_path: Path) -> None:
    assert verdict(HARNESS, tmp_path / "study") == "accepted"
    whole = Bad("pipeline", "whole", partial(write_recipe, dotted="seed", value=7), opener="recipe")
    assert verdict(whole, tmp_path / "study") == "accepted"


@pytest.mark.parametrize("bad", SAMPLE, ids=lambda bad: f"{bad.kind}: {bad.name}"[:60])
def test_a_wrong_input_is_refused_in_words(bad: Bad, tmp_path: Path) -> None:
    assert verdict(bad, tmp_path / "study") == "refused"


def test_a_study_file_after_slips_of_the_hand_is_read_or_refused(tmp_path: Path) -> None:
    found = Counter(verdict(bad, tmp_path / "study") for bad in mutations(30, seed=7))
    assert set(found) == {"accepted", "refused"}


def test_mutations_are_of_their_seed_and_differ(tmp_path: Path) -> None:
    first, again, other = ([written(bad, tmp_path) for bad in mutations(20, seed)] for seed in (3, 3, 4))
    assert first == again != other
    assert len(set(first)) > 15


@pytest.mark.parametrize(
    ("fault", "seen"),
    [(KeyError("x"), "KeyError: 'x'"), (ConfigError(""), "unclear: 0"), (ConfigError("x" * 9999), "unclear: 9999"),
     (RecursionError("deep"), "RecursionError: deep"), (DataError("rows.jsonl:1: no"), "refused")],
)  # fmt: skip
def test_a_planted_fault_is_seen(fault: Exception, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(Document, "_parse", fail)
    assert verdict(HARNESS, tmp_path / "study").startswith(seen)


def endless(*_: object) -> None:
    while True:
        time.sleep(0.01)


def test_a_planted_hang_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.torture.bad_inputs.WITHIN_S", 0.3)
    monkeypatch.setattr(Document, "_check_depth", endless)
    assert verdict(HARNESS, tmp_path / "study") == "hang: took longer than 0.3 s"


def test_what_is_taken_although_it_is_wrong_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = next(bad for bad in all_bad() if bad.name.startswith("seed = 'x'"))
    assert verdict(wrong, tmp_path / "study") == "refused"
    monkeypatch.setattr(study_yaml._Loader, "construct_object", lambda self, node, deep: 7 if node.value == "x" else
                        super(study_yaml._Loader, self).construct_object(node, deep))  # fmt: skip
    assert verdict(wrong, tmp_path / "study") == "accepted"


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, State]:
    file = tmp_path_factory.mktemp("study") / "journal.sqlite"
    state = journal_of(file)
    return file.read_bytes(), state


def test_a_damaged_journal_is_refused_or_read_as_written(journal: tuple[bytes, State], tmp_path: Path) -> None:
    wrong = {
        f"{d.kind}: {d.name}": what
        for d in damages(10, seed=0)
        if (what := read(d, *journal, tmp_path)) not in d.allowed()
    }
    assert wrong == {}


def test_a_change_that_no_digest_holds_is_seen(
    journal: tuple[bytes, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage = next(d for d in damages(0, seed=0) if d.name == "a number that is text" and d.kind == "event")
    assert read(damage, *journal, tmp_path) == "refused"
    monkeypatch.setattr("lamdagent.core.state._why_not_next", lambda state, event: None)
    twice = next(d for d in damages(0, seed=0) if d.name == "told otherwise a second time" and "fit" in d.kind)
    assert read(twice, *journal, tmp_path) == "changed"
    broken = next(d for d in damages(0, seed=0) if d.name == "told of a trial that is not" and "fit" in d.kind)
    assert read(broken, *journal, tmp_path).startswith("IndexError")


def test_a_flip_that_no_digest_holds_is_seen(
    journal: tuple[bytes, State], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loose(self: journals.SqliteJournal, after: int = 0) -> Iterator[journals.Row]:
        yield from self._db.execute("select seq, at, kind, body, digest from events order by seq")

    name = "told of a trial below 0"
    damage: Damage = next(d for d in damages(0, seed=0) if d.name == name and d.kind == "event")
    assert read(damage, *journal, tmp_path) == "refused"
    monkeypatch.setattr(journals.SqliteJournal, "rows", loose)
    monkeypatch.setattr("lamdagent.core.state._why_not_next", lambda state, event: None)
    assert read(damage, *journal, tmp_path) == "changed"


def test_a_power_cut_takes_nothing_that_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(after_cuts(4, 1, tmp_path, monkeypatch))
    assert len(found) == 4 and all(not missing and same for _, missing, same in found)


def test_what_was_not_synced_is_seen_to_be_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamdagent.objects.durable.sync", lambda path: None)
    assert any(missing for _, missing, _ in after_cuts(4, 1, tmp_path, monkeypatch))


LEAVES_A_CHILD = "import subprocess as s, time; s.Popen(['sleep', '60']); print('on', flush=True); time.sleep(60)"


def test_what_outlives_a_kill_and_what_it_leaves_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "GONE_S", 0.3)
    driver = subprocess.Popen([sys.executable, "-c", LEAVES_A_CHILD], stdout=subprocess.PIPE)
    assert driver.stdout is not None and driver.stdout.readline() == b"on\n"
    children = psutil.Process(driver.pid).children()
    assert len(kills._kill(driver, "driver", random.Random(0))) == 1
    children[0].kill()
    (tmp_path / "artifacts" / ".partial-x").mkdir(parents=True)
    state = toy.grown(2)
    assert len(kills.damage(tmp_path, state)) == 1 + sum(isinstance(t.outcome, Made) for t in state.trials) > 1


@pytest.mark.parametrize("wanted", ["²", "٣", "-1", "9" * 5000, "1e3", "best ", "0x1", ""])
def test_a_trial_that_is_no_number_is_refused(wanted: str) -> None:
    study = ReadStudy(name="toy", folder=Path(), home=Path(), state=toy.grown(2))
    with pytest.raises(UserError, match=r"has no trial .*Allowed: 0 to 1, or best"):
        find_trial(study, wanted)
