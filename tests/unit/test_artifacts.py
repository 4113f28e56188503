from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import UserError
from lamdagent.objects.artifacts import Artifacts, disk_full_as_user_error, file_hash


@pytest.fixture
def store(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def written(store: Artifacts, object_id: str = "abc", text: str = "weights") -> dict[str, Any]:
    record: dict[str, Any] = {"id": object_id}
    with store.write(object_id, record) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "w.bin").write_text(text)
        record["meta"] = {"x": 1}
    return record


def fail_half_way(folder: Path, error: BaseException) -> None:
    (folder / "half").write_text("written")
    raise error


def inside(store: Artifacts) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


def test_an_artifact_appears_whole_when_its_block_ends(store: Artifacts) -> None:
    with store.write("abc", {"id": "abc"}) as folder:
        (folder / "data.jsonl").write_text("{}\n")
        assert store.record("abc") is None
        assert not store.folder("abc").exists()
    assert (store.folder("abc") / "data.jsonl").read_text() == "{}\n"
    assert inside(store) == ["abc"]


def test_its_record_holds_what_the_block_filled_in_and_the_hash_of_every_file(store: Artifacts) -> None:
    written(store)
    record = store.record("abc")
    assert record is not None
    assert record["meta"] == {"x": 1}
    assert record["files"] == {"weights/w.bin": file_hash(store.folder("abc") / "weights" / "w.bin")}


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)], ids=lambda e: type(e).__name__
)
def test_a_block_that_fails_leaves_nothing(store: Artifacts, error: BaseException) -> None:
    with pytest.raises(type(error)), store.write("abc", {}) as folder:
        fail_half_way(folder, error)
    assert inside(store) == []
    assert store.record("abc") is None


def test_what_is_there_already_is_kept(store: Artifacts) -> None:
    written(store, text="first")
    written(store, text="second")
    assert (store.folder("abc") / "weights" / "w.bin").read_text() == "first"
    assert inside(store) == ["abc"]
    assert store.damaged("abc") == []


def test_two_writers_of_one_object_do_not_disturb_each_other(store: Artifacts) -> None:
    with store.write("abc", {}) as first, store.write("abc", {}) as second:
        assert first != second
        (first / "a").write_text("1")
        (second / "a").write_text("1")
    assert store.damaged("abc") == []
    assert inside(store) == ["abc"]


def test_a_folder_without_a_record_is_no_artifact_and_is_replaced(store: Artifacts) -> None:
    store.folder("abc").mkdir(parents=True)
    (store.folder("abc") / "remains").touch()
    assert store.record("abc") is None
    written(store)
    assert not (store.folder("abc") / "remains").exists()
    assert store.damaged("abc") == []


def test_damage_is_found_and_named(store: Artifacts) -> None:
    written(store)
    assert store.damaged("abc") == []
    file = store.folder("abc") / "weights" / "w.bin"
    file.write_text("wEights")
    assert store.damaged("abc") == [f"{file}: changed"]
    file.unlink()
    assert store.damaged("abc") == [f"{file}: missing"]
    assert store.damaged("nobody") == [f"{store.folder('nobody')}: missing"]


def test_scores_added_later_are_no_damage(store: Artifacts) -> None:
    written(store)
    (store.folder("abc") / "scores").mkdir()
    (store.folder("abc") / "scores" / "t.validation.json").write_text("{}")
    assert store.damaged("abc") == []


def test_a_damaged_record_is_damage_too(store: Artifacts) -> None:
    written(store)
    file = store.folder("abc") / "object.json"
    for text in ('{"id": "ab', "[]", '{"id": "abc"}', '"\udcff'):
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
        assert store.record("abc") is None
        assert store.damaged("abc") == [f"{file}: damaged"]
    written(store)
    assert store.damaged("abc") == []


def test_a_sweep_removes_what_dead_processes_left_and_nothing_else(store: Artifacts) -> None:
    written(store)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (store.root / f".partial-{dead.pid}-x").mkdir()
    with store.write("mine", {}) as folder:
        store.sweep()
        assert inside(store) == [folder.name, "abc"]
    assert inside(store) == ["abc", "mine"]


def test_a_sweep_of_a_root_that_is_not_there_does_nothing(store: Artifacts) -> None:
    store.sweep()
    assert not store.root.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_the_users_to_mend(store: Artifacts, number: int) -> None:
    with pytest.raises(UserError, match=r"the disk is full.*nothing is lost"):
        with store.write("abc", {}):
            raise OSError(number, "No space left on device")
    assert inside(store) == []


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        with disk_full_as_user_error(tmp_path):
            raise PermissionError(errno.EACCES, "Permission denied")
