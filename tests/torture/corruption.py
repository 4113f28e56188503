"""A journal that is damaged in many ways, and what comes of opening it: refused in words, or read as written."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lamdagent.core.errors import JournalError
from lamdagent.core.events import Event, LLMCalled
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.state import State, reduce_events
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.result import dumps
from lamdagent.results.trial import trial_detail
from lamdagent.study import journal as journals
from lamdagent.study.journal import SqliteJournal, read_journal
from lamdagent.testing import toy

TRIALS, LONGEST_MESSAGE = 12, 3_000
Spoil = Callable[[Path], None]


@dataclass(frozen=True)
class Damage:
    """One damage: what it does to the file of a journal."""

    kind: str
    name: str
    spoil: Spoil

    def allowed(self) -> set[str]:
        """What may come of it: a flip may fall where nothing is kept."""
        if self.kind in ("flip", "bytes"):
            return {"refused", "as written"}
        if self.name in HARMLESS:
            return {"refused", HARMLESS[self.name]}
        return {"refused"}


def written(file: Path) -> State:
    """Write the journal of a whole toy study, and its state."""
    from lamdagent.core.budget import Budget
    from lamdagent.core.search import Search, run
    from lamdagent.memories.table import Table
    from lamdagent.policies.random import Random

    with contextlib.closing(SqliteJournal(file, writer=True)) as journal:
        journal.append(*toy.first_events())
        call = LLMCall(key="k", trial=0, purpose="choose", model="m", system="s", prompt="p", answer="a\n" * 999)
        loop = Search(
            journal=journal,
            action_types=toy.ACTION_TYPES,
            policy=Random(),
            memory=Table(),
            budget=Budget(trials=TRIALS),
        )
        run(loop, toy.inline())
        journal.append(LLMCalled(call=call))
        return reduce_events(journal.read())


def damages(flips: int, seed: int) -> Iterator[Damage]:
    luck = random.Random(seed)
    for i in range(flips):
        yield Damage("flip", f"{i} of seed {seed}", partial(_flip, seed=luck.getrandbits(32)))
    for i in range(flips // 10):
        yield Damage("bytes", f"cut, zeros or noise {i} of seed {seed}", partial(_bytes, seed=luck.getrandbits(32)))
    for name, data in {
        "empty": b"",
        "zeros": b"\0" * 4096,
        "text": b"not a journal\n" * 99,
        "a header alone": b"SQLite format 3\0",
    }.items():
        yield Damage("file", name, partial(_write, data=data))
    for name in EDITS:
        yield Damage("event", name, partial(_edit, name=name, fit=False))
        yield Damage("event, digests made to fit", name, partial(_edit, name=name, fit=True))


def _write(file: Path, data: bytes) -> None:
    file.write_bytes(data)


def _flip(file: Path, seed: int) -> None:
    luck, data = random.Random(seed), bytearray(file.read_bytes())
    data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
    file.write_bytes(data)


def _bytes(file: Path, seed: int) -> None:
    luck, data = random.Random(seed), file.read_bytes()
    at, length = luck.randrange(len(data)), luck.randint(1, 5000)
    noise, head, tail = luck.randbytes(length), data[:at], data[at + length :]
    file.write_bytes(luck.choice([head, head + bytes(length) + tail, head + noise + tail, head + tail, data + noise]))


Stored = tuple[str, str, str, str]
"""An event as it is stored: time, kind, body, digest."""


def _number(rows: list[Stored], kind: str, place: int = 0) -> int:
    return [i for i, row in enumerate(rows) if row[1] == kind][place]


def _set(rows: list[Stored], i: int, key: str, value: Any) -> list[Stored]:
    at, kind, body, digest = rows[i]
    return [*rows[:i], (at, kind, json.dumps({**json.loads(body), key: value}), digest), *rows[i + 1 :]]


def _body(rows: list[Stored], i: int, body: str, kind: str | None = None) -> list[Stored]:
    return [*rows[:i], (rows[i][0], kind or rows[i][1], body, rows[i][3]), *rows[i + 1 :]]


def _moved(rows: list[Stored], i: int, to: int) -> list[Stored]:
    left = [*rows[:i], *rows[i + 1 :]]
    return [*left[:to], rows[i], *left[to:]]


def _without(rows: list[Stored], *kinds: str) -> list[Stored]:
    return [row for row in rows if row[1] not in kinds]


DEEP = "[" * 900 + "]" * 900
EDITS: dict[str, Callable[[list[Stored]], list[Stored]]] = {
    "two swapped": lambda r: _moved(r, _number(r, "Told", 0), _number(r, "Told", 3)),
    "told before it was asked": lambda r: _moved(r, _number(r, "Told"), _number(r, "Asked")),
    "told of a trial that is not": lambda r: _set(r, _number(r, "Told"), "number", 999),
    "told of a trial below 0": lambda r: _set(r, _number(r, "Told"), "number", -1),
    "told twice": lambda r: [*r, r[_number(r, "Told")]],
    "told otherwise a second time": lambda r: [*r, _set(r, _number(r, "Told", 1), "number", 0)[_number(r, "Told", 1)]],
    "asked out of order": lambda r: _set(r, _number(r, "Asked"), "number", 7),
    "asked twice": lambda r: [*r, r[_number(r, "Asked")]],
    "asked with what is not there": lambda r: _without(r, "Brought"),
    "a score of what is not there": lambda r: _set(r, _number(r, "Scored"), "object_id", "nothing"),
    "a note on a trial that is not": lambda r: _set(r, _number(r, "Remembered"), "number", 999),
    "an opening that is gone": lambda r: r[1:],
    "an opening twice": lambda r: [*r, r[0]],
    "an opening that comes late": lambda r: _moved(r, 0, 5),
    "one lost": lambda r: [*r[: _number(r, "Told")], *r[_number(r, "Told") + 1 :]],
    "all of a kind lost": lambda r: _without(r, "Asked"),
    "the last lost": lambda r: r[:-1],
    "an unknown kind": lambda r: _body(r, _number(r, "Told"), "{}", "Flown"),
    "a body that is a list": lambda r: _body(r, _number(r, "Told"), "[]"),
    "a body that is a number": lambda r: _body(r, _number(r, "Told"), "5"),
    "a body that is null": lambda r: _body(r, _number(r, "Exchanged"), "null"),
    "a body that is deep": lambda r: _body(r, _number(r, "Exchanged"), '{"call": ' + DEEP + "}"),
    "a body that is huge": lambda r: _set(r, _number(r, "Told"), "number", "x" * 20_000_000),
    "a number that is huge": lambda r: _set(r, _number(r, "Told"), "number", 2**62),
    "a number that is text": lambda r: _set(r, _number(r, "Asked"), "number", "x"),
    "an opening that is a list": lambda r: _body(r, 0, "[]"),
    "an opening without a config": lambda r: _body(r, 0, '{"seed": 0, "goals": []}'),
    "an opening with a config that is text": lambda r: _set(r, 0, "config", "x"),
    "events of another study": lambda r: [*r, *r],
}
HARMLESS = {
    "the last lost": "earlier",
    "empty": "earlier",
    "two swapped": "as written",
    "an opening twice": "as written",
}
"""What may be read all the same: a shorter journal is that of an earlier moment, an empty one is of none, and two trials
may end in either order."""


def _edit(file: Path, name: str, *, fit: bool) -> None:
    """Other events, under their old digests or under such as only a program could make: what follows is then all that
    can tell."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        rows = EDITS[name](db.execute("select at, kind, body, digest from events order by seq").fetchall())
        db.execute("delete from events")
        before = ""
        for place, (at, kind, body, digest) in enumerate(rows, 1):
            before = journals._chained(before, at, kind, body) if fit else digest
            db.execute(
                "insert into events (seq, at, kind, body, digest) values (?, ?, ?, ?, ?)",
                (place, at, kind, body, before),
            )


def verdict(damage: Damage, whole: bytes, state: State, folder: Path) -> str:
    """`refused`, `as written`, `earlier` (of fewer events), or what went wrong: `changed`, `unclear: …`, an exception."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "journal.sqlite"
    for left in folder.glob("journal*"):
        left.unlink()
    file.write_bytes(whole)
    damage.spoil(file)
    try:
        events = read_journal(folder)
        found = reduce_events(events)
        dumps(leaderboard("toy", found, LocalArtifacts(folder)))
        for trial in found.trials:
            trial_detail("toy", found, trial, toy.Unwritten()).sections()
    except JournalError as error:
        return "refused" if 10 < len(str(error)) < LONGEST_MESSAGE else f"unclear: {len(str(error))} characters"
    except Exception as error:  # this is what is looked for
        return f"{type(error).__name__}: {error}"[:300]
    if found == state:
        return "as written"
    return "earlier" if found == reduce_events(written_events(whole, folder)[: len(events)]) else "changed"


def written_events(whole: bytes, folder: Path) -> list[Event]:
    other = folder / "whole"
    other.mkdir(exist_ok=True)
    (other / "journal.sqlite").write_bytes(whole)
    return list(read_journal(other))
