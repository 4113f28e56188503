from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lamdagent.core.errors import JournalError
from lamdagent.core.events import Event, Scored, StudyOpened, TimeSpent
from lamdagent.core.types import Score
from lamdagent.study import journal as journal_module
from lamdagent.study.journal import MIGRATIONS, SqliteJournal, from_json, kind_of, mend_journal, to_json
from lamdagent.testing import toy
from lamdagent.testing.contracts.journal import EVERY_EVENT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study" / "journal.sqlite"


@contextlib.contextmanager
def writing(file: Path) -> Iterator[SqliteJournal]:
    with contextlib.closing(SqliteJournal(file, writer=True)) as journal:
        yield journal


@contextlib.contextmanager
def reading(file: Path) -> Iterator[SqliteJournal]:
    with contextlib.closing(SqliteJournal(file, writer=False)) as journal:
        yield journal


def in_another_process(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLD = """
    import sys
    from pathlib import Path
    from lamdagent.core.events import TimeSpent
    from lamdagent.study.journal import SqliteJournal

    journal = SqliteJournal(Path(sys.argv[1]), writer=True)
    journal.append(TimeSpent(wall_s=1.0))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_with_the_process_that_holds_the_lock(file: Path) -> None:
    with in_another_process(HOLD, str(file)) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(JournalError, match=rf"another lamdagent \(process {holder.pid}\) is running this study"):
            SqliteJournal(file, writer=True)
        with reading(file) as journal:
            assert list(journal.read()) == [TimeSpent(wall_s=1.0)]
        holder.kill()
    with writing(file) as journal:
        assert list(journal.read()) == [TimeSpent(wall_s=1.0)]


def test_the_lock_is_let_go_when_the_journal_is_closed(file: Path) -> None:
    for _ in range(2):
        with writing(file) as journal:
            journal.append(TimeSpent(wall_s=1.0))
            with pytest.raises(JournalError, match=f"process {os.getpid()}"):
                SqliteJournal(file, writer=True)


def test_a_reader_sees_what_a_writer_appends_meanwhile(file: Path) -> None:
    with writing(file) as writer, reading(file) as reader:
        for count in range(3):
            assert len(list(reader.read())) == count
            writer.append(TimeSpent(wall_s=float(count)))


def test_a_reader_in_another_process_gets_only_what_is_new_while_a_writer_appends(file: Path) -> None:
    follow = """
        import sys
        from pathlib import Path
        from lamdagent.study.journal import SqliteJournal

        journal, seen = SqliteJournal(Path(sys.argv[1]), writer=False), 0
        for _ in sys.stdin:
            new = [event.wall_s for event in journal.read(after=seen)]
            seen += len(new)
            print(new, flush=True)
    """
    with writing(file) as journal:
        journal.append(TimeSpent(wall_s=0.0))
        reader = in_another_process(follow, str(file))
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            for new in ([0.0], [1.0, 2.0], [], [3.0]):
                if new != [0.0]:
                    journal.append(*(TimeSpent(wall_s=wall_s) for wall_s in new))
                reader.stdin.write("\n")
                reader.stdin.flush()
                assert reader.stdout.readline() == f"{new}\n"
        finally:
            reader.communicate()


def test_a_reader_of_a_study_that_never_began_is_told_how_to_begin(file: Path) -> None:
    with pytest.raises(JournalError, match=r"no such study yet\. Start it with: lamdagent run"):
        SqliteJournal(file, writer=False)
    assert not file.exists()


def test_a_journal_of_a_newer_schema_is_refused(file: Path) -> None:
    with writing(file):
        pass
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(JournalError, match=rf"newer release \(schema {len(MIGRATIONS) + 1}\); upgrade"):
        SqliteJournal(file, writer=False)


def test_a_refused_journal_lets_go_of_the_lock(file: Path) -> None:
    with writing(file):
        pass
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("pragma user_version = 99")
    for _ in range(2):
        with pytest.raises(JournalError, match="newer release"):
            SqliteJournal(file, writer=True)


@pytest.mark.parametrize("writer", [True, False])
def test_a_file_that_is_no_journal_is_refused(file: Path, writer: bool) -> None:
    file.parent.mkdir()
    file.write_bytes(b"certainly not SQLite" * 100)
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(file, writer=writer)


def test_a_damaged_journal_is_said_to_be_damaged(file: Path) -> None:
    with writing(file) as journal:
        journal.append(*[TimeSpent(wall_s=1.0)] * 2000)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) - len(whole) // 2))
    with reading(file) as journal, pytest.raises(JournalError):
        list(journal.read())


def test_a_study_killed_before_its_journal_had_a_table_can_still_be_read(file: Path) -> None:
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("pragma journal_mode = wal")
    with contextlib.suppress(JournalError), reading(file) as journal:
        assert list(journal.read()) == []


def test_a_full_disk_is_the_users_to_mend_and_loses_nothing(file: Path) -> None:
    with writing(file) as journal:
        journal.append(TimeSpent(wall_s=1.0))
        (pages,) = journal._db.execute("pragma page_count").fetchone()
        journal._db.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(JournalError, match="full"):
            journal.append(*[TimeSpent(wall_s=2.0)] * 5000)
        journal._db.execute("pragma max_page_count = 100000")
        journal.append(TimeSpent(wall_s=3.0))
        assert list(journal.read())[-1] == TimeSpent(wall_s=3.0)


def test_an_event_of_an_unknown_kind_asks_for_an_upgrade() -> None:
    with pytest.raises(JournalError, match="event of kind 'Dreamt': it is of a newer release; upgrade"):
        from_json("Dreamt", "{}")


DAMAGES = {
    "a changed time": "update events set body = '{\"wall_s\": 9.0}' where seq = 3",
    "a changed date": "update events set at = '2020-01-01T00:00:00.000Z' where seq = 3",
    "another kind": "update events set kind = 'Told' where seq = 3",
    "no digest": "update events set digest = null where seq = 3",
    "no text": "update events set kind = x'ff' where seq = 3",
    "a lost event": "delete from events where seq = 3",
    "a doubled event": "insert into events select 100, at, kind, body, digest from events where seq = 3;"
    "update events set seq = seq + 1000 where seq > 2; update events set seq = 3 where seq = 1100;"
    "update events set seq = seq - 999 where seq > 1000",
    "two events swapped": "update events set seq = 100 where seq = 4; update events set seq = 4 where seq = 3;"
    "update events set seq = 3 where seq = 100",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_first_damaged_event_is_named_and_those_before_it_can_be_kept(file: Path, damage: str) -> None:
    with writing(file) as journal:
        journal.append(*(TimeSpent(wall_s=float(i)) for i in range(6)))
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        (at,) = db.execute("select at from events where seq = 2").fetchone()
        db.executescript(damage)
    sound = 3 if "1000" in damage else 2  # a doubled event is whole at its first place
    written = [TimeSpent(wall_s=float(i)) for i in range(sound)]
    with reading(file) as journal:
        found = journal.read()
        assert [next(found) for _ in range(sound)] == written
        with pytest.raises(JournalError, match=rf"event {sound + 1} .*The {sound} before it are whole: .* --mend"):
            next(found)
    assert mend_journal(file.parent) == (sound, file.parent / "journal.damaged-1.sqlite")
    with writing(file) as journal:
        assert list(journal.read()) == written
        assert journal._db.execute("select at from events where seq = 2").fetchone() == (at,)
        journal.append(TimeSpent(wall_s=7.0))
        assert len(list(journal.read())) == sound + 1
    assert sorted(p.name for p in file.parent.iterdir()) == ["journal.damaged-1.sqlite", "journal.sqlite", "lock"]


@pytest.mark.parametrize("seq", [1, 3])
def test_of_an_opening_that_is_not_whole_nothing_is_kept(file: Path, seq: int) -> None:
    with writing(file) as journal:
        journal.append(*toy.first_events())
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("update events set digest = '' where seq = ?", (seq,))
    with reading(file) as journal, pytest.raises(JournalError, match=f"event {seq} .* --mend"):
        list(journal.read())
    assert mend_journal(file.parent) == (0, file.parent / "journal.damaged-1.sqlite")
    assert not file.exists()


def test_what_a_reader_of_the_damaged_journal_left_is_not_taken_for_the_mended_ones(file: Path) -> None:
    with writing(file) as journal:
        journal.append(*(TimeSpent(wall_s=float(i)) for i in range(6)))
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("update events set digest = '' where seq = 3")
        other.execute("begin")
        other.execute("select * from events").fetchone()  # it holds the file open, and its write-ahead log
        assert mend_journal(file.parent)[0] == 2
        with reading(file) as journal:
            assert len(list(journal.read())) == 2


def test_nothing_is_mended_where_nothing_is_damaged(file: Path) -> None:
    with writing(file) as journal:
        journal.append(TimeSpent(wall_s=1.0))
    with pytest.raises(JournalError, match="nothing is damaged"):
        mend_journal(file.parent)


def test_of_two_writers_that_hold_the_journal_since_its_lock_was_deleted_one_stops(file: Path) -> None:
    with writing(file) as first:
        first.append(TimeSpent(wall_s=1.0))
        (file.parent / "lock").unlink()
        with writing(file) as second:
            second.append(TimeSpent(wall_s=2.0))
            with pytest.raises(
                JournalError, match=r"another process wrote to this study \(event 2\), so this one stops"
            ):
                first.append(TimeSpent(wall_s=3.0))
            second.append(TimeSpent(wall_s=4.0))
            assert [event.wall_s for event in second.read() if isinstance(event, TimeSpent)] == [1.0, 2.0, 4.0]


def test_a_journal_of_a_release_without_digests_gets_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(journal_module, "MIGRATIONS", MIGRATIONS[:1])
        older.setattr(SqliteJournal, "_last", lambda self: (0, ""))
        with writing(file) as journal:
            journal._db.execute("insert into events (kind, body) values ('Worked', '{\"wall_s\": 1.0}')")
    with reading(file) as journal:
        assert list(journal.read()) == [TimeSpent(wall_s=1.0)]
    with writing(file) as journal:
        journal.append(TimeSpent(wall_s=2.0))
        assert list(journal.read()) == [TimeSpent(wall_s=1.0), TimeSpent(wall_s=2.0)]
        assert all(len(digest) == 20 for *_, digest in journal.rows())


def test_no_flipped_bit_of_a_journal_is_taken_for_what_was_written(file: Path, tmp_path: Path) -> None:
    with writing(file) as journal:
        journal.append(*EVERY_EVENT)
    whole, written = file.read_bytes(), list(EVERY_EVENT)
    flips, copy = np.random.default_rng(0), tmp_path / "copy" / "journal.sqlite"
    copy.parent.mkdir()
    seen = {"refused": 0, "as written": 0}
    for _ in range(300):
        flipped = bytearray(whole)
        flipped[int(flips.integers(len(whole)))] ^= 1 << int(flips.integers(8))
        copy.write_bytes(flipped)
        try:
            with reading(copy) as journal:
                found = list(journal.read())
        except JournalError:
            seen["refused"] += 1
        else:
            assert found == written
            seen["as written"] += 1
    assert min(seen.values()) > 0, seen


@pytest.mark.parametrize(
    ("kind", "body"), [("Worked", "{}"), ("Worked", '{"wall_s": "long"}'), ("Told", '{"number": 0}')]
)
def test_an_event_that_cannot_be_read_is_named(kind: str, body: str) -> None:
    with pytest.raises(JournalError, match=f"a {kind} event that cannot be read"):
        from_json(kind, body)


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_an_event_with_a_field_of_a_later_release_is_still_read(event: Event) -> None:
    body = to_json(event)
    assert from_json(kind_of(event), body[:-1] + ', "of_tomorrow": 1}') == event


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_score_that_is_not_finite_does_not_make_the_journal_unreadable(file: Path, value: float) -> None:
    event = Scored(object_id="m", scores=(Score(task="t", split="validation", value=value, n=1),))
    with writing(file) as journal:
        with contextlib.suppress(ValueError):
            journal.append(event)
        assert len(list(journal.read())) <= 1


def test_an_empty_journal_where_a_search_has_worked_is_not_begun_anew(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    with writing(file) as journal:
        assert list(journal.read()) == []
    file.write_bytes(b"")
    (file.parent / "logs").mkdir()
    (file.parent / "logs" / "0.log").touch()
    with pytest.raises(JournalError, match="it is empty, and a search has worked here"):
        SqliteJournal(file, writer=True)


def test_what_sqlite_quotes_of_a_damaged_file_may_be_no_text(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quote(self: SqliteJournal) -> bool:
        return bool(b"\xec".decode())

    with writing(file) as journal:
        journal.append(TimeSpent(wall_s=1.0))
    monkeypatch.setattr(SqliteJournal, "_has_events", quote)
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(file, writer=False)


def test_the_trials_can_be_asked_in_sql(file: Path) -> None:
    with writing(file) as journal:
        journal.append(*EVERY_EVENT)
        rows = list(journal._db.execute("select number, type, failed from trials"))
    assert rows == [(0, "step", None)]


def test_a_writer_brings_an_older_journal_up_to_date(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(file) as journal:
        journal.append(TimeSpent(wall_s=1.0))
    later = (*MIGRATIONS, "create view hours as select sum(body ->> '$.wall_s') / 3600 as h from events;")
    monkeypatch.setattr(journal_module, "MIGRATIONS", later)
    with writing(file) as journal:
        assert list(journal.read()) == [TimeSpent(wall_s=1.0)]
        assert journal._db.execute("select h * 3600 from hours").fetchone() == (1.0,)
    with writing(file) as journal:
        assert journal._db.execute("pragma user_version").fetchone() == (len(later),)


def test_a_password_that_an_older_release_journalled_is_read_by_nobody() -> None:
    asked = {"kind": "agent", "model": "mine", "base_url": "https://me:hunter2@host/v1?key=hunter3"}
    config = {"policy": asked, "actions": {"teach": {"judges": [{"base_url": "http://hunter4@host/v1"}]}}}
    body = to_json(StudyOpened(config=config, seed=0, goals=()))
    opened = from_json("Opened", body)
    assert isinstance(opened, StudyOpened)
    assert opened.config["policy"]["base_url"] == "https://host/v1"
    assert opened.config["actions"]["teach"]["judges"] == [{"base_url": "http://host/v1"}]
    assert "hunter" not in to_json(opened)
