"""A disk that keeps what was synced and nothing else, and toy searches whose power is cut on it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.events import Event, Told
from lamdagent.core.search import Search, run
from lamdagent.core.state import State
from lamdagent.core.types import Made
from lamdagent.memories.table import Table
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.policies.random import Random
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy

TRIALS = 8
JOURNAL = "journal.sqlite"


class PowerCut(BaseException):
    """Nothing runs any more."""


@dataclass
class Disk:
    """What of a folder is on the disk. The power is cut at the sync or journal append number `cut`.

    A file has the bytes that it had when it was last synced, none where it never was; a folder the names that it had. SQLite
    syncs each append by itself, so the journal has the bytes that it had after the last one.
    """

    root: Path
    cut: int
    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    journal: dict[str, bytes] = field(default_factory=dict)
    seen: int = 0

    def sync(self, handle: int) -> None:
        self.tick()
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            self.names[found.st_ino] = {e.name: (e.inode(), e.is_dir()) for e in os.scandir(handle)}
        else:
            self.contents[found.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def appended(self) -> None:
        self.journal = {
            file.name: file.read_bytes() for file in self.root.glob(f"{JOURNAL}*") if "shm" not in file.name
        }
        self.tick()

    def tick(self) -> None:
        self.seen += 1
        if self.seen == self.cut:
            raise PowerCut

    def survivors(self, to: Path) -> None:
        """Write what is left to another folder."""
        to.mkdir()
        self._write(self.root.stat().st_ino, to)
        for name, data in self.journal.items():
            (to / name).write_bytes(data)

    def _write(self, folder: int, to: Path) -> None:
        for name, (inode, is_folder) in self.names.get(folder, {}).items():
            if is_folder:
                (to / name).mkdir()
                self._write(inode, to / name)
            elif not name.startswith(JOURNAL):
                (to / name).write_bytes(self.contents.get(inode, b""))


class Synced(SqliteJournal):
    """A journal that says when it has appended."""

    disk: Disk | None = None

    def append(self, *events: Event) -> None:
        super().append(*events)
        if self.disk is not None:
            self.disk.appended()


def search(folder: Path, disk: Disk | None = None) -> State:
    """A toy search with its artifacts and journal in a folder, from where it is to its end."""
    toolkit = replace(toy.toolkit(), artifacts=LocalArtifacts(folder / "runs" / "artifacts"))
    with contextlib.closing(Synced(folder / JOURNAL, writer=True)) as journal:
        journal.disk = disk
        toy.open_toy(journal, seed=5, models=2)
        loop = Search(
            journal=journal,
            action_types=toy.ACTION_TYPES,
            policy=Random(),
            memory=Table(),
            budget=Budget(trials=TRIALS),
        )
        return run(loop, Inline(toolkit))


def cut_at(cut: int, folder: Path, patch: pytest.MonkeyPatch) -> Disk:
    """A search whose power is cut, and its disk."""
    folder.mkdir()
    disk = Disk(folder, cut)
    with patch.context() as patched:
        patched.setattr(os, "fsync", disk.sync)
        with contextlib.suppress(PowerCut):
            search(folder, disk)
    return disk


def lost(folder: Path) -> list[str]:
    """What the journal calls made and is not there whole."""
    store = LocalArtifacts(folder / "runs" / "artifacts")
    with contextlib.closing(SqliteJournal(folder / JOURNAL, writer=False)) as journal:
        made = [e.outcome.object.id for e in journal.read() if isinstance(e, Told) and isinstance(e.outcome, Made)]
    return [line for object_id in made for line in store.damaged(object_id)]


def after_cuts(cuts: int, seed: int, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[int, list[str], bool]]:
    """Of random cuts: which it was, what was lost, and whether the search that went on ended as one that nothing befell."""
    whole = toy.without_costs(search(_made(folder / "whole")))
    last, luck = cut_at(-1, folder / "counted", patch).seen, random.Random(seed)
    for cut in sorted(luck.sample(range(2, last + 1), min(cuts, last - 1))):
        disk = cut_at(cut, folder / "cut", patch)
        disk.survivors(folder / "left")
        missing = lost(folder / "left")
        ended = toy.without_costs(search(folder / "left"))
        yield cut, missing, ended == whole
        shutil.rmtree(folder / "cut")
        shutil.rmtree(folder / "left")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
