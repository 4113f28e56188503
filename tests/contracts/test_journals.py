from __future__ import annotations

from pathlib import Path

from lamdagent.study.journal import MemoryJournal, SqliteJournal
from lamdagent.testing.contracts import JournalContract


class TestSqliteJournal(JournalContract):
    def journal(self, folder: Path) -> SqliteJournal:
        return SqliteJournal(folder / "journal.sqlite", writer=True)


class TestMemoryJournal(JournalContract):
    persistent = False

    def journal(self, folder: Path) -> MemoryJournal:
        return MemoryJournal()
