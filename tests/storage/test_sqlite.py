"""Small values in a file: atomic, and a damaged file does not prevent a start."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from crypto_stream.errors import SettingError
from crypto_stream.storage.sqlite import SqliteStateStore


def test_corrupt_file_is_renamed(tmp_path: Path) -> None:
    """A file that is not a database is renamed, and a new one is created."""
    path = tmp_path / "state.db"
    path.write_bytes(b"this was a database once" * 100)
    store = SqliteStateStore(path)
    loaded = store.load()
    store.save({"pin": "okx"})
    aside = [other for other in tmp_path.iterdir() if ".corrupt-" in other.name]

    assert loaded == {}
    assert [other.read_bytes() for other in aside] == [b"this was a database once" * 100]
    assert store.load() == {"pin": "okx"}


def test_an_unusable_path_is_not_treated_as_corrupt(tmp_path: Path) -> None:
    """It is a wrong setting, and is not changed."""
    path = tmp_path / "state.db"
    path.mkdir()
    store = SqliteStateStore(path)
    with pytest.raises(SettingError, match=r"state\.db"):
        store.load()
    with pytest.raises(OSError, match=r"state\.db"):
        store.save({})

    assert [other.name for other in tmp_path.iterdir()] == ["state.db"]


def test_only_values_that_differ_are_written(tmp_path: Path) -> None:
    """The chosen pairs may be long: they are not written again with each switch of a source."""
    path = tmp_path / "state.db"
    store = SqliteStateStore(path)
    store.save({"pairs": "[1]", "timeline": "[]", "seq": "1", "pin": "okx"})
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE written (what)")
        for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old")):
            database.execute(
                f"CREATE TRIGGER on_{event} AFTER {event} ON state "
                f"BEGIN INSERT INTO written VALUES ('{event} ' || {row}.key); END"
            )
    store.save({"pairs": "[1]", "timeline": "[2]", "seq": "1", "ban:okx": "3"})
    with closing(sqlite3.connect(path)) as database:
        written = sorted(what for (what,) in database.execute("SELECT what FROM written"))

    assert written == ["DELETE pin", "INSERT ban:okx", "UPDATE timeline"]
    assert store.load() == {"pairs": "[1]", "timeline": "[2]", "seq": "1", "ban:okx": "3"}


def test_a_failed_save_changes_nothing_and_the_next_one_writes_all(tmp_path: Path) -> None:
    """A save may fail half-way; nothing of it counts as stored."""
    path = tmp_path / "state.db"
    store = SqliteStateStore(path)
    store.save({"pairs": "[1]", "pin": "okx"})
    wanted = {"pairs": "[2]", "pin": "binance", "seq": "1"}
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON state WHEN new.key = 'seq' "
            "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with pytest.raises(OSError, match="disk full"):
        store.save(wanted)
    failed = store.load()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TRIGGER full")
    store.save(wanted)

    assert failed == {"pairs": "[1]", "pin": "okx"}
    assert store.load() == wanted


def test_a_database_of_another_program_is_refused_and_not_changed(tmp_path: Path) -> None:
    """The start fails with a clear text."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE things (a)")
    before = path.read_bytes()
    with pytest.raises(SettingError, match=r"not Crypto Stream.s state\.db"):
        SqliteStateStore(path).load()

    assert path.read_bytes() == before


def test_a_file_of_the_previous_version_is_read(tmp_path: Path) -> None:
    """It has no version number."""
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT")
        old.execute("INSERT INTO state VALUES ('pin', 'okx')")

    assert SqliteStateStore(path).load() == {"pin": "okx"}
