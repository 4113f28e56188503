from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.action_type import Context
from lamdagent.core.errors import UserError
from lamdagent.core.events import Asked, ObjectAdded, Told
from lamdagent.core.jobs import Job
from lamdagent.core.search import job_of
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Action, Choice, Kind, Made, Object, Slot
from lamdagent.objects.artifacts import LocalArtifacts, disk_full_as_user_error, file_hash
from lamdagent.objects.durable import make_folder
from lamdagent.runners.job import work
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy


@pytest.fixture
def store(tmp_path: Path) -> LocalArtifacts:
    return LocalArtifacts(tmp_path / "artifacts")


def written(store: LocalArtifacts, object_id: str = "abc", text: str = "weights") -> dict[str, Any]:
    record: dict[str, Any] = {"id": object_id}
    with store.write(object_id, record) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "w.bin").write_text(text)
        record["meta"] = {"x": 1}
    return record


def fail_half_way(folder: Path, error: BaseException) -> None:
    (folder / "half").write_text("written")
    raise error


def inside(store: LocalArtifacts) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


def test_an_artifact_appears_whole_when_its_block_ends(store: LocalArtifacts) -> None:
    with store.write("abc", {"id": "abc"}) as folder:
        (folder / "data.jsonl").write_text("{}\n")
        assert store.record("abc") is None
        assert not store.open("abc").exists()
    assert (store.open("abc") / "data.jsonl").read_text() == "{}\n"
    assert inside(store) == ["abc"]


def test_all_of_an_artifact_is_on_the_disk_before_its_name_is_and_the_name_before_it_is_told_of(
    store: LocalArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, sync, rename = list[str](), os.fsync, Path.rename

    def synced(handle: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    with store.write("abc", {"id": "abc"}) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "model.safetensors").write_text("weights")
        partial = folder.name
    around = store.root.parent.name
    assert steps == [around, "object.json", "model.safetensors", "weights", partial, "rename", "artifacts"]


def test_the_name_of_each_folder_that_is_made_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = list[str]()
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append(os.readlink(f"/proc/self/fd/{handle}")))
    make_folder(tmp_path / "runs" / "study")
    assert steps == [str(tmp_path), str(tmp_path / "runs")] and (tmp_path / "runs" / "study").is_dir()
    make_folder(tmp_path / "runs" / "study")
    assert len(steps) == 2


def test_its_record_holds_what_the_block_filled_in_and_the_hash_of_every_file(store: LocalArtifacts) -> None:
    written(store)
    record = store.record("abc")
    assert record is not None
    assert record["meta"] == {"x": 1}
    assert record["files"] == {"weights/w.bin": file_hash(store.open("abc") / "weights" / "w.bin")}


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)], ids=lambda e: type(e).__name__
)
def test_a_block_that_fails_leaves_nothing(store: LocalArtifacts, error: BaseException) -> None:
    with pytest.raises(type(error)), store.write("abc", {}) as folder:
        fail_half_way(folder, error)
    assert inside(store) == []
    assert store.record("abc") is None


def test_what_is_there_already_is_kept(store: LocalArtifacts) -> None:
    written(store, text="first")
    written(store, text="second")
    assert (store.open("abc") / "weights" / "w.bin").read_text() == "first"
    assert inside(store) == ["abc"]
    assert store.damaged("abc") == []


def test_two_writers_of_one_object_do_not_disturb_each_other(store: LocalArtifacts) -> None:
    with store.write("abc", {}) as first, store.write("abc", {}) as second:
        assert first != second
        (first / "a").write_text("1")
        (second / "a").write_text("1")
    assert store.damaged("abc") == []
    assert inside(store) == ["abc"]


def test_a_folder_without_a_record_is_no_artifact_and_is_replaced(store: LocalArtifacts) -> None:
    store.open("abc").mkdir(parents=True)
    (store.open("abc") / "remains").touch()
    assert store.record("abc") is None
    written(store)
    assert not (store.open("abc") / "remains").exists()
    assert store.damaged("abc") == []


def test_damage_is_found_and_named(store: LocalArtifacts) -> None:
    written(store)
    assert store.damaged("abc") == []
    file = store.open("abc") / "weights" / "w.bin"
    file.write_text("wEights")
    assert store.damaged("abc") == [f"{file}: changed"]
    file.unlink()
    assert store.damaged("abc") == [f"{file}: missing"]
    assert store.damaged("nobody") == [f"{store.open('nobody')}: missing"]


def test_scores_added_later_are_no_damage(store: LocalArtifacts) -> None:
    written(store)
    (store.open("abc") / "scores").mkdir()
    (store.open("abc") / "scores" / "t.validation.json").write_text("{}")
    assert store.damaged("abc") == []


def test_a_damaged_record_is_damage_too(store: LocalArtifacts) -> None:
    written(store)
    file = store.open("abc") / "object.json"
    for text in ('{"id": "ab', "[]", '{"id": "abc"}', '"\udcff'):
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
        assert store.record("abc") is None
        assert store.damaged("abc") == [f"{file}: damaged"]
    written(store)
    assert store.damaged("abc") == []


def test_a_sweep_removes_what_dead_processes_left_and_nothing_else(store: LocalArtifacts) -> None:
    written(store)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with store.write("mine", {}) as folder:
        _, host, pid, start, _ = folder.name.split("-")
        (store.root / f".partial-{host}-{dead.pid}-{start}-x").mkdir()
        (
            store.root / f".partial-{host}-{pid}-{int(start) - 1}-x"
        ).mkdir()  # of another process, which had this id before
        store.sweep()
        assert inside(store) == [folder.name, "abc"]
    assert inside(store) == ["abc", "mine"]


def test_a_sweep_leaves_what_another_host_may_still_write(store: LocalArtifacts) -> None:
    written(store)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (store.root / f".partial-elsewhere-{dead.pid}-1-x").mkdir()
    store.sweep()
    assert inside(store) == [f".partial-elsewhere-{dead.pid}-1-x", "abc"]


def test_what_is_removed_can_be_written_again(store: LocalArtifacts) -> None:
    written(store)
    store.remove("abc")
    assert store.record("abc") is None
    store.remove("abc")
    written(store)
    assert store.damaged("abc") == []


def test_a_sweep_of_a_root_that_is_not_there_does_nothing(store: LocalArtifacts) -> None:
    store.sweep()
    assert not store.root.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_the_users_to_mend(store: LocalArtifacts, number: int) -> None:
    with pytest.raises(UserError, match=r"the disk is full.*nothing is lost"):
        with store.write("abc", {}):
            raise OSError(number, "No space left on device")
    assert inside(store) == []


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        with disk_full_as_user_error(tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied")


class Grow:
    """Writes what its model holds, and its seed."""

    name, version = "grow", 1
    makes: Kind = "model"
    slots = (Slot(name="model", kind="model"),)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (model,) = inputs["model"]
        (ctx.workdir / "weights").mkdir()
        (ctx.workdir / "weights" / "w").write_text((ctx.weights(model) / "w").read_text() + f" {seed}")
        return dict(model.meta)


@pytest.mark.parametrize("damage", ["deleted", "changed", "deleted with its parent"])
def test_weights_that_are_gone_or_damaged_are_made_again_where_they_are_needed(
    store: LocalArtifacts, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "w").write_text("base")
    base = toy.point("base", (0.0, 0.0))
    world = replace(toy.toolkit({"grow": Grow()}), artifacts=store, locate=lambda obj: tmp_path)
    journal = MemoryJournal(*toy.first_events(), ObjectAdded(object=base))
    state, made = reduce_events(journal.read()), [base.id]
    for number in range(3):
        if number == 2:
            for gone in made[1:] if damage == "deleted with its parent" else made[2:]:
                if damage == "changed":
                    (store.open(gone) / "weights" / "w").write_text("base 0 7")
                else:
                    shutil.rmtree(store.open(gone) / "weights")
            world = replace(world, whole=set())  # another process
        action = Action(type="grow", version=1, inputs={"model": (made[-1],)}, seed=number)
        state = reduce_events([Asked(number=number, choice=Choice(action=action, reason="", by=""))], state)
        outcome = work(job_of(state.trials[number], state), world, lambda progress: None)
        assert isinstance(outcome, Made), outcome
        state = reduce_events([Told(number=number, outcome=outcome)], state)
        made.append(action.id)
    assert (store.open(made[3]) / "weights" / "w").read_text() == "base 0 1 2"
    assert (store.open(made[2]) / "weights" / "w").read_text() == "base 0 1"
    assert not any(map(store.damaged, made[1:]))
    assert "it is made again" in caplog.text
    assert "not to the same bits" not in caplog.text


def test_a_model_whose_own_files_are_damaged_is_not_taken_for_made(store: LocalArtifacts, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("base")
    base = toy.point("base", (0.0, 0.0))
    world = replace(toy.toolkit({"grow": Grow()}), artifacts=store, locate=lambda obj: tmp_path)
    action = Action(type="grow", version=1, inputs={"model": (base.id,)}, seed=5)
    job = Job(key=0, action=action, objects=(base,))
    assert isinstance(work(job, world, lambda progress: None), Made)
    (store.open(action.id) / "weights" / "w").write_text("cut of")
    assert isinstance(work(job, world, lambda progress: None), Made)
    assert (store.open(action.id) / "weights" / "w").read_text() == "base 5"
