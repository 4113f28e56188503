"""The contract of `lamdagent.core.protocols.ArtifactStore`."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import platform
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.types import Score

OpenStore = Callable[[Path], ArtifactStore]
WITHIN_S = 120.0


class ArtifactStoreContract:
    """What was written is there whole or not at all, whoever writes, fails or is killed.

    Some tests write from another process, which imports the class of your suite: leave it at the top of its module.
    """

    def store(self, folder: Path) -> ArtifactStore:
        """A store over `folder`; two over the same folder hold the same artifacts."""
        raise NotImplementedError

    def test_an_artifact_is_there_when_its_block_ends_and_not_before(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        with store.write("abc", {"id": "abc"}) as folder:
            (folder / "data.jsonl").write_text("{}\n")
            assert store.record("abc") is None
        assert (store.open("abc") / "data.jsonl").read_text() == "{}\n"
        assert store.damaged("abc") == []
        assert self.store(tmp_path).record("abc") == store.record("abc") is not None

    def test_its_record_holds_what_the_block_filled_in(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        written(store, "abc")
        record = store.record("abc")
        assert record is not None
        assert record.get("id") == "abc"
        assert record.get("meta") == {"x": 1}

    def test_a_block_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        for error in (ValueError("no"), KeyboardInterrupt()):
            with contextlib.suppress(ValueError, KeyboardInterrupt), store.write("abc", {"id": "abc"}) as folder:
                (folder / "half").write_text("written")
                raise error
            assert store.record("abc") is None
            assert files_under(store) == {}
        written(store, "abc")
        assert not (store.open("abc") / "half").exists()

    def test_two_who_write_the_same_do_not_disturb_each_other_and_the_first_stays(self, tmp_path: Path) -> None:
        one, other = self.store(tmp_path), self.store(tmp_path)
        with one.write("abc", {"id": "abc"}) as first, other.write("abc", {"id": "abc"}) as second:
            assert first != second
            (first / "by").write_text("first")
            (second / "by").write_text("second")
        assert (one.open("abc") / "by").read_text() == "second", "the inner block ended first"
        assert one.damaged("abc") == []
        written(other, "abc")
        assert (one.open("abc") / "by").exists()

    def test_what_was_removed_is_gone_and_can_be_written_again(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        store.remove("abc")
        written(store, "abc")
        written(store, "other")
        store.remove("abc")
        assert store.record("abc") is None
        assert store.record("other") is not None
        written(store, "abc")
        assert store.damaged("abc") == []

    def test_what_is_made_again_has_what_its_items_gave(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        score = Score(task="t", split="validation", value=0.5, n=3, task_id="t1")
        written(store, "abc")
        scored(store, "abc", 3)
        store.remove("abc", scores=False)
        assert store.record("abc") is None and store.damaged("abc")
        written(store, "abc")
        assert store.damaged("abc") == []
        assert store.values("abc", score) == [0.0, 1.0, 2.0]
        store.remove("abc")
        assert store.values("abc", score) is None

    def test_damage_is_found_and_scores_added_later_are_none(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        assert store.damaged("abc"), "what is not there is not whole"
        written(store, "abc")
        scored(store, "abc", 1)
        assert store.damaged("abc") == []
        file = store.open("abc") / "weights" / "w.bin"
        file.write_text("wEights")
        assert any("w.bin" in line for line in store.damaged("abc"))
        file.unlink()
        assert any("w.bin" in line for line in store.damaged("abc"))

    def test_the_values_behind_a_score_are_those_that_were_kept_or_none(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        score = Score(task="t", split="validation", value=0.5, n=3, task_id="t1")
        assert store.values("abc", score) is None
        written(store, "abc")
        assert store.values("abc", score) is None
        scored(store, "abc", 2)
        assert store.values("abc", score) is None, "two items are no three"
        scored(store, "abc", 5)
        assert store.values("abc", score) == [0.0, 1.0, 2.0]

    def test_what_a_killed_writer_left_is_no_artifact_and_is_swept_away(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        written(store, "whole")
        before = files_under(store)
        with writing(self.store, tmp_path) as writer:
            writer.kill()
            writer.join()
        assert store.record("abc") is None
        store.sweep()
        assert files_under(store) == before
        written(store, "abc")
        assert store.damaged("abc") == []

    def test_a_sweep_leaves_those_who_write_alone(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        with writing(self.store, tmp_path) as writer, store.write("mine", {"id": "mine"}) as folder:
            (folder / "half").write_text("written")
            store.sweep()
            (flags(tmp_path) / "go").touch()
            writer.join(WITHIN_S)
            assert writer.exitcode == 0
        assert store.damaged("abc") == store.damaged("mine") == []

    def test_a_sweep_never_deletes_another_hosts_work(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        with writing(self.store, tmp_path, host="elsewhere") as writer:
            writer.kill()  # its process id says nothing on this host: there it may still be running
            writer.join()
        before = files_under(store)
        assert before, "the other host wrote nothing under the store's root"
        store.sweep()
        assert files_under(store) == before

    def test_a_sweep_of_a_store_that_nobody_wrote_to_does_nothing(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        store.sweep()
        assert files_under(store) == {}


def written(store: ArtifactStore, object_id: str) -> None:
    """Write an artifact with one file."""
    record: dict[str, Any] = {"id": object_id}
    with store.write(object_id, record) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "w.bin").write_text("weights")
        record["meta"] = {"x": 1}


def scored(store: ArtifactStore, object_id: str, count: int) -> None:
    """Keep what `count` items gave, as a task does."""
    file = store.open(object_id) / "scores" / "t1.validation.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"items": [{"value": float(i)} for i in range(count)]}))


def files_under(store: ArtifactStore) -> dict[str, bytes]:
    """Every file under the store's root, by its path."""
    return {str(file.relative_to(store.root)): file.read_bytes() for file in store.root.rglob("*") if file.is_file()}


def flags(folder: Path) -> Path:
    """Where processes of a test tell each other how far they are: beside the store, never in it."""
    beside = folder.with_name(f"{folder.name}-flags")
    beside.mkdir(exist_ok=True)
    return beside


@contextlib.contextmanager
def writing(open_store: OpenStore, folder: Path, *, host: str | None = None) -> Iterator[BaseProcess]:
    """Another process that is in the middle of writing artifact `abc`, and ends it when a flag `go` appears."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that has loaded torch may hang
    process = context.Process(target=_write_slowly, args=(open_store, folder, host))
    process.start()
    try:
        until = time.monotonic() + WITHIN_S
        while not (flags(folder) / "half").exists():
            assert process.is_alive() and time.monotonic() < until, "the other process could not write"
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.join()


def _write_slowly(open_store: OpenStore, folder: Path, host: str | None) -> None:
    if host is not None:
        named = os.uname_result(("Linux", host, "", "", ""))
        platform.node = socket.gethostname = lambda: host
        os.uname = lambda: named
    with open_store(folder).write("abc", {"id": "abc"}) as partial:
        (partial / "half").write_text("written")
        (flags(folder) / "half").touch()
        while not (flags(folder) / "go").exists():
            time.sleep(0.02)
