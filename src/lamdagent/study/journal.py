"""The journal of a study: one append-only table in SQLite, one writer, any number of readers."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NewType, cast

from pydantic import ConfigDict, TypeAdapter

from lamdagent.core import events
from lamdagent.core.errors import JournalError
from lamdagent.core.events import Event, StudyOpened
from lamdagent.core.text import parse_json, told, without_credentials
from lamdagent.objects.durable import make_folder, rename

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


def _opened(opened: dict[str, Any]) -> dict[str, Any]:
    """The key of a budget as it is called today, and addresses of servers without the credentials that they could have."""
    config = {
        key: _renamed(value, "tokens", "llm_tokens") if key == "budget" else _addresses(value)
        for key, value in opened["config"].items()
    }
    return {**opened, "config": config}


def _addresses(value: Any) -> Any:
    if isinstance(value, list):
        return [_addresses(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: without_credentials(one) if key == "base_url" and isinstance(one, str) else _addresses(one)
        for key, one in value.items()
    }


SELECT = "select seq, at, kind, body"

RENAMED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Exchanged": lambda body: _renamed(body, "exchange", "call"),
    "Opened": _opened,
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
    "alter table events add column digest text;",
)
OPENING = ("Opened", "Brought")
CHAINED = 2
"""The schema from which on each event carries the digest of itself and of all before it."""

KEEPS = "The {sound} before it are whole: `lamdagent verify {folder} --mend` keeps them, and the damaged file beside."
KEEPS_NOTHING = "Restore it from a copy, or delete it and begin anew: what was made is found where it still is."
KEEPS_NONE = (
    "Restore it from a copy; or set it aside with `lamdagent verify {folder} --mend`, and the next run begins anew."
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
    try:
        if kind in RENAMED:
            body = json.dumps(RENAMED[kind](parse_json(body)))
        event: Event = _codec(kind).validate_json(body)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise JournalError(f"the journal has a {kind} event that cannot be read: {told(error)}") from error
    return event


def _codec(kind: str) -> TypeAdapter[Any]:
    if kind not in _CODECS:
        # JSON has no NaN. Pydantic takes a config for another name of a dataclass, not for the dataclass itself.
        _CODECS[kind] = TypeAdapter(
            cast(Any, NewType(kind, KINDS[kind])), config=ConfigDict(ser_json_inf_nan="strings")
        )
    return _CODECS[kind]


def _chained(before: str, at: str, kind: str, body: str) -> str:
    """The digest of an event and of all before it."""
    return hashlib.blake2b("\n".join((before, at, kind, body)).encode(), digest_size=10).hexdigest()


Row = tuple[int, str, str, str, str]
"""An event as it is stored: number, time, kind, body, digest."""


class SqliteJournal:
    """Events in a SQLite file, in write-ahead mode, each append one transaction.

    Each event carries the digest of itself and of all before it, so one that was changed, lost, doubled or moved since is
    named when it is read. A writer whose journal grew by another hand writes no more.

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
        if writer and file.exists() and not file.stat().st_size and any(file.parent.glob("logs/*")):
            self.close()
            raise JournalError(f"{file}: damaged: it is empty, and a search has worked here. {KEEPS_NOTHING}")
        try:
            self._db = sqlite3.connect(file, isolation_level=None)
            self._db.execute("pragma busy_timeout = 10000")
            self._db.text_factory = lambda raw: raw.decode(errors="replace")  # what is damaged is found by its digest
            if writer:
                self._db.execute("pragma journal_mode = wal")
                # In WAL a commit under `normal` is not synced: a power cut would lose trials that were told of.
                self._db.execute("pragma synchronous = full")
            self._migrate(file, writer)
            self._end = self._last() if writer else (0, "")
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error | UnicodeDecodeError):  # SQLite's words may quote what is damaged
                raise JournalError(f"{file}: cannot be opened ({told(error)}). Restore it from a copy.") from error
            raise

    def append(self, *events: Event) -> None:
        bodies = [(kind_of(event), to_json(event)) for event in events]
        try:
            self._db.execute("begin immediate")
            # The lock can be deleted from under us, and a second process let in: what it wrote must not be written twice.
            if (last := self._last()) != self._end:
                raise JournalError(
                    f"{self._file}: another process wrote to this study (event {last[0]}), so this one stops. "
                    f"Watch the other with: lamdagent show {self._file.parent}"
                )
            end, rows = self._end, list[Row]()
            for kind, body in bodies:
                at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                end = end[0] + 1, _chained(end[1], at, kind, body)
                rows.append((end[0], at, kind, body, end[1]))
            self._insert(rows)
            self._db.execute("commit")
            self._end = end
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            if isinstance(error, sqlite3.OperationalError):
                raise JournalError(
                    f"{self._file}: cannot be written ({error}). Mend that, then run the same command again."
                ) from error
            raise

    def read(self, after: int = 0) -> Iterator[Event]:
        for _, _, kind, body, _ in self.rows(after):
            yield from_json(kind, body)

    def rows(self, after: int = 0) -> Iterator[Row]:
        """The events after that number as they are stored.

        Raises:
            JournalError: at the first that is not what was written.
        """
        sound = after
        try:
            if self._schema() == 0 and not self._has_events():
                return  # the writer was killed, or is about to make its table
            if not self._has_digests():  # of a release before them: nothing to hold it against
                for seq, at, kind, body in self._db.execute(
                    f"{SELECT} from events where seq > ? order by seq", (after,)
                ):
                    yield seq, at, kind, body, ""
                return
            (before,) = self._db.execute("select max(digest) from events where seq = ?", (after,)).fetchone()
            before = before or ""
            for row in self._db.execute(f"{SELECT}, digest from events where seq > ? order by seq", (after,)):
                if row[0] != sound + 1 or row[4] != _chained(before, *row[1:4]):
                    raise JournalError(self._damaged(sound, "is not what was written"))
                yield row
                sound, before = sound + 1, row[4]
        except sqlite3.OperationalError as error:
            raise JournalError(f"{self._file}: cannot be read ({error}).") from error
        except (
            sqlite3.DatabaseError,
            TypeError,
            UnicodeDecodeError,
        ) as error:  # a text may have become bytes, or nothing
            raise JournalError(self._damaged(sound, f"cannot be read ({error})")) from error

    def close(self) -> None:
        """Let go of the file and, for a writer, of the lock."""
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append_rows(self, rows: Sequence[Row]) -> None:
        """Take rows in as they are stored, all or none."""
        self._db.execute("begin immediate")
        self._insert(rows)
        self._db.execute("commit")

    def _insert(self, rows: Sequence[Row]) -> None:
        self._db.executemany("insert into events (seq, at, kind, body, digest) values (?, ?, ?, ?, ?)", rows)

    def _damaged(self, sound: int, what: str) -> str:
        help = (KEEPS if sound else KEEPS_NONE).format(sound=sound, folder=self._file.parent)
        return f"{self._file}: damaged: event {sound + 1} {what}. {help}"

    def _last(self) -> tuple[int, str]:
        """The number and the digest of the last event."""
        last = self._db.execute("select seq, digest from events order by seq desc limit 1").fetchone()
        return last or (0, "")

    def _schema(self) -> int:
        (version,) = self._db.execute("pragma user_version").fetchone()
        return int(version)

    def _has_events(self) -> bool:
        return bool(self._db.execute("pragma table_info(events)").fetchall())

    def _has_digests(self) -> bool:
        return any(column[1] == "digest" for column in self._db.execute("pragma table_info(events)"))

    def _migrate(self, file: Path, writer: bool) -> None:
        version = self._schema()
        if version > len(MIGRATIONS):
            raise JournalError(f"{file}: written by a newer release (schema {version}); upgrade lamdagent")
        if (version > 0) != self._has_events() or (version >= CHAINED) != self._has_digests():
            raise JournalError(f"{file}: damaged: schema {version} has other tables. Restore it from a copy.")
        for number, script in enumerate(MIGRATIONS[version:], version + 1) if writer else ():
            self._db.executescript(f"begin; {script}")
            if number == CHAINED:
                self._chain()
            self._db.execute(f"pragma user_version = {number}")
            self._db.execute("commit")

    def _chain(self) -> None:
        """Give each event that an older release wrote its digest."""
        before = ""
        for seq, at, kind, body in self._db.execute(f"{SELECT} from events order by seq").fetchall():
            before = _chained(before, at, kind, body)
            self._db.execute("update events set digest = ? where seq = ?", (before, seq))


def mend_journal(folder: Path) -> tuple[int, Path]:
    """Keep the events before the first that is damaged, and the damaged file under another name.

    Returns how many were kept, and where the damaged file is now. Of an opening that is not whole nothing is kept: a study
    would go on without the objects that are missing.

    Raises:
        JournalError: nothing is damaged, or another process runs the study.
    """
    file, beside = folder / "journal.sqlite", folder / ".mended"
    kept, damage = list[Row](), None
    lock = _lock(folder)
    try:
        with contextlib.closing(SqliteJournal(file, writer=False)) as damaged:
            try:
                for row in damaged.rows():
                    kept.append(row)
            except JournalError as error:
                damage = error
        if damage is None:
            raise JournalError(f"{file}: nothing is damaged, so there is nothing to mend.")
        if all(kind in OPENING for _, _, kind, _, _ in kept):
            kept = []
        shutil.rmtree(beside, ignore_errors=True)
        with contextlib.closing(SqliteJournal(beside / "journal.sqlite", writer=True)) as mended:
            mended.append_rows(kept)
        aside = next(p for n in itertools.count(1) if not (p := folder / f"journal.damaged-{n}.sqlite").exists())
        for ending in ("-wal", "-shm"):  # which another reader left: the mended file would take them for its own
            with contextlib.suppress(FileNotFoundError):
                Path(f"{file}{ending}").rename(f"{aside}{ending}")
        os.link(file, aside)
        if kept:
            rename(beside / "journal.sqlite", file)
        else:
            file.unlink()
        shutil.rmtree(beside)
    finally:
        os.close(lock)
    return len(kept), aside


def read_journal(folder: Path) -> list[Event]:
    """All events of the study in a run folder, without holding it.

    Raises:
        JournalError: there is no such study, or its file is damaged.
    """
    with contextlib.closing(SqliteJournal(folder / "journal.sqlite", writer=False)) as journal:
        events = list(journal.read())
    if events and not isinstance(events[0], StudyOpened):
        raise JournalError(f"{folder / 'journal.sqlite'}: damaged: it does not begin with its opening. {KEEPS_NOTHING}")
    return events


def _lock(folder: Path) -> int:
    make_folder(folder)
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
