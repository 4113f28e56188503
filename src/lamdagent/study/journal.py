"""The journal of a study: one append-only table in SQLite, one writer, any number of readers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NewType, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from lamdagent.core import events
from lamdagent.core.errors import JournalError
from lamdagent.core.events import Event

# Events keep the names that they were first stored under, so that every journal ever written still folds.
STORED_AS = {
    events.StudyOpened: "Opened",
    events.ObjectAdded: "Brought",
    events.MemoryUpdated: "Remembered",
    events.LLMCalled: "Exchanged",
    events.TimeSpent: "Worked",
    events.HoldoutOpened: "Unsealed",
}
KINDS: dict[str, Any] = {STORED_AS.get(cls, cls.__name__): cls for cls in events.Event.__args__}
_CODECS: dict[str, TypeAdapter[Any]] = {}


def _renamed(data: Any, old: str, new: str) -> Any:
    return {new if key == old else key: value for key, value in data.items()} if isinstance(data, dict) else data


def _llm_tokens(opened: dict[str, Any]) -> dict[str, Any]:
    config = opened["config"]
    return {**opened, "config": {key: _renamed(v, "tokens", "llm_tokens") if key == "budget" else v
                                 for key, v in config.items()}}  # fmt: skip


RENAMED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Exchanged": lambda body: _renamed(body, "exchange", "call"),
    "Opened": _llm_tokens,
    "SearchStopped": lambda body: {**body, "reason": {"tokens": "llm_tokens"}.get(body["reason"], body["reason"])},
}
"""By kind, what an older release wrote as this one writes it."""

MIGRATIONS: tuple[str, ...] = (
    """
    create table events (
        seq integer primary key,
        at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
        kind text not null,
        body text not null check (json_valid(body))
    );
    create view trials as
    select asked.body ->> '$.number' as number,
           asked.body ->> '$.choice.action.type' as type,
           told.body -> '$.outcome.scores' as scores,
           told.body ->> '$.outcome.cause' as failed
    from events asked
    left join events told on told.kind = 'Told' and told.body ->> '$.number' = asked.body ->> '$.number'
    where asked.kind = 'Asked';
    """,
)


def to_json(event: Event) -> str:
    """An event's body as JSON text."""
    return _codec(kind_of(event)).dump_json(event).decode()


def kind_of(event: Event) -> str:
    """The name that an event is stored under."""
    return STORED_AS.get(type(event), type(event).__name__)


def from_json(kind: str, body: str) -> Event:
    """The event that `to_json` wrote, now or in an older release.

    Raises:
        JournalError: the kind or the body is of no release up to this one.
    """
    if kind not in KINDS:
        raise JournalError(f"the journal has an event of kind {kind!r}: it is of a newer release; upgrade lamdagent")
    if kind in RENAMED:
        body = json.dumps(RENAMED[kind](json.loads(body)))
    try:
        event: Event = _codec(kind).validate_json(body)
    except ValidationError as error:
        raise JournalError(f"the journal has a {kind} event that cannot be read: {error}") from error
    return event


def _codec(kind: str) -> TypeAdapter[Any]:
    if kind not in _CODECS:
        # JSON has no NaN. Pydantic takes a config for another name of a dataclass, not for the dataclass itself.
        _CODECS[kind] = TypeAdapter(
            cast(Any, NewType(kind, KINDS[kind])), config=ConfigDict(ser_json_inf_nan="strings")
        )
    return _CODECS[kind]


class SqliteJournal:
    """Events in a SQLite file, in write-ahead mode, each append one transaction.

    Args:
        writer: take the study's lock, which ends with the process however it dies; a reader needs none.
    Raises:
        JournalError: another process writes to this study, the file is damaged, or (reader) there is none.
    """

    def __init__(self, file: Path, *, writer: bool) -> None:
        self._file = file
        self._lock = _lock(file.parent) if writer else None
        if not writer and not file.exists():
            raise JournalError(f"{file}: no such study yet. Start it with: lamdagent run STUDY.yaml")
        try:
            self._db = sqlite3.connect(file, isolation_level=None)
            self._db.execute("pragma busy_timeout = 10000")
            if writer:
                self._db.execute("pragma journal_mode = wal")
                # In WAL a commit under `normal` is not synced: a power cut would lose trials that were told of.
                self._db.execute("pragma synchronous = full")
            self._migrate(file, writer)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise JournalError(f"{file}: cannot be opened ({error}). Restore it from a copy.") from error
            raise

    def append(self, *events: Event) -> None:
        rows = [(kind_of(event), to_json(event)) for event in events]
        try:
            self._db.execute("begin immediate")
            self._db.executemany("insert into events (kind, body) values (?, ?)", rows)
            self._db.execute("commit")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if isinstance(error, sqlite3.OperationalError):
                raise JournalError(
                    f"{self._file}: cannot be written ({error}). Mend that, then run the same command again."
                ) from error
            raise

    def read(self, after: int = 0) -> Iterator[Event]:
        for kind, body in self._rows(after):
            yield from_json(kind, body)

    def close(self) -> None:
        """Let go of the file and, for a writer, of the lock."""
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _rows(self, after: int) -> Iterator[tuple[str, str]]:
        try:
            if self._schema() > 0:  # else the writer was killed, or is about to make its table: there are no events
                # seq counts from 1 without gaps: no row is ever deleted, and one that was rolled back leaves none.
                yield from self._db.execute("select kind, body from events where seq > ? order by seq", (after,))
        except sqlite3.DatabaseError as error:
            raise JournalError(
                f"{self._file}: cannot be read ({error}). If it is damaged, restore it from a copy."
            ) from error

    def _schema(self) -> int:
        (version,) = self._db.execute("pragma user_version").fetchone()
        return int(version)

    def _migrate(self, file: Path, writer: bool) -> None:
        version = self._schema()
        if version > len(MIGRATIONS):
            raise JournalError(f"{file}: written by a newer release (schema {version}); upgrade lamdagent")
        for number, script in enumerate(MIGRATIONS[version:], version + 1) if writer else ():
            self._db.executescript(f"begin; {script} pragma user_version = {number}; commit;")


def read_journal(folder: Path) -> list[Event]:
    """All events of the study in a run folder, without holding it.

    Raises:
        JournalError: there is no such study, or its file is damaged.
    """
    with contextlib.closing(SqliteJournal(folder / "journal.sqlite", writer=False)) as journal:
        return list(journal.read())


def _lock(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(handle, 20).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise JournalError(
            f"{folder}: another lamdagent (process {holder}) is running this study. "
            "Watch it with `lamdagent show`, or stop it first."
        ) from error
    os.truncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


class MemoryJournal:
    """Events in a list: for tests, and for searches that need not outlive the process."""

    def __init__(self, *events: Event) -> None:
        self._events = list(events)

    def append(self, *events: Event) -> None:
        self._events.extend(events)

    def read(self, after: int = 0) -> Iterator[Event]:
        return iter(self._events[after:])
