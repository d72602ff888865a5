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


def test_failed_save_changes_nothing(tmp_path: Path) -> None:
    """A save that fails half-way does not change the stored values."""
    path = tmp_path / "state.db"
    store = SqliteStateStore(path)
    store.save({"pin": "okx"})
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON state BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with pytest.raises(OSError, match="disk full"):
        store.save({"pin": "binance"})

    assert store.load() == {"pin": "okx"}


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
