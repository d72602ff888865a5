"""The history in a file: what is written is read, whatever happens in between."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import SettingError
from crypto_stream.market.bars import INTERVALS, Gap, folded, stored_for
from crypto_stream.storage.interface import Batch, CorruptError, Retention, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from crypto_stream.storage.sqlite_history_reader import SqliteHistoryReader
from tests.storage.bars import ALL, bar, seconds


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


@pytest.fixture
def writer(path: Path) -> SqliteHistoryWriter:
    made = SqliteHistoryWriter(path)
    made.prepare()
    return made


@pytest.fixture
def reader(path: Path) -> SqliteHistoryReader:
    return SqliteHistoryReader(path)


FOR_EVER = Retention(2**62, steady=True)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def test_old_bars_are_pruned_counted_from_the_series_newest(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader
) -> None:
    """A series that is quiet for long retains its last bars."""
    times = (0, MINUTE - 1000, MINUTE, 2 * MINUTE, 3 * MINUTE)
    writer.write(Batch([*seconds(*times), *seconds(1000, symbol="ticker_01")], [], 1))
    for symbol in ("ticker_00", "ticker_01", "ticker_02"):
        writer.prune(symbol, "1s", 2 * MINUTE, FOR_EVER)

    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert [one.time for one in reader.bars("ticker_01", "1s", ALL)] == [1000]


@given(st.sampled_from(["1s", "1m", "1h"]), st.integers(0, 10**6), st.integers(1, 200), st.integers(0, 10**6))
def test_pruning_changes_no_folded_bar(
    tmp_path_factory: pytest.TempPathFactory, interval: str, begin: int, count: int, keep_s: int
) -> None:
    """A longer bar remains complete, or is removed completely."""
    path = tmp_path_factory.mktemp("pruned") / "history.db"
    writer, reader = SqliteHistoryWriter(path), SqliteHistoryReader(path)
    length = INTERVALS[interval]
    bars = [bar((begin + number) * length, str(number + 1)) for number in range(count)]
    writer.write(Batch([StoredBar("ticker_00", interval, one) for one in bars], [], 1))
    writer.prune("ticker_00", interval, keep_s * length // 100, FOR_EVER)
    stay = reader.bars("ticker_00", interval, ALL)
    writer.close()

    assert stay
    for longer, ms in INTERVALS.items():
        if stored_for(longer) == interval:
            before = {one.time: one for one in folded(bars, ms)}
            assert all(before[one.time] == one for one in folded(stay, ms)), longer


def test_a_clock_that_is_ahead_removes_nothing(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader
) -> None:
    """A bar in the future does not make the others old; nor does a wall clock alone."""
    writer.write(Batch(seconds(0, MINUTE, 40 * DAY), [], 1))
    writer.prune("ticker_00", "1s", HOUR, Retention(2 * MINUTE, steady=True))
    writer.write(Batch(seconds(0, MINUTE, symbol="ticker_01"), [], 1))
    writer.prune("ticker_01", "1s", HOUR, Retention(40 * DAY, steady=True))

    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [0, MINUTE, 40 * DAY]
    assert [one.time for one in reader.bars("ticker_01", "1s", ALL)] == [0, MINUTE]


def test_a_large_share_is_removed_only_by_a_steady_clock_and_is_counted(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader
) -> None:
    """Removing a tenth of a series at once requires certainty, and is logged."""
    writer.write(Batch(seconds(*range(0, 3_000_000, 1000), 40 * DAY), [], 1))
    waits = writer.prune("ticker_00", "1s", HOUR, Retention(40 * DAY, steady=False))
    kept = len(reader.bars("ticker_00", "1s", ALL))
    goes = writer.prune("ticker_00", "1s", HOUR, Retention(40 * DAY, steady=True))

    assert (waits, kept) == (0, 3001)
    assert (goes, len(reader.bars("ticker_00", "1s", ALL))) == (3000, 1)


def test_a_locked_file_is_a_temporary_error(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader, path: Path
) -> None:
    """The write can be repeated later; reads continue meanwhile."""
    writer.write(Batch(seconds(1000), [], 1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="locked"):
            writer.write(Batch(seconds(2000), [], 2))
        during = [one.time for one in reader.bars("ticker_00", "1s", ALL)]
    writer.write(Batch(seconds(2000), [], 2))

    assert during == [1000]
    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [1000, 2000]


def test_tidying_checkpoints_the_log(writer: SqliteHistoryWriter, path: Path, tmp_path: Path) -> None:
    """What the log contains is in the file afterwards, even if the writer never closes it."""
    writer.write(Batch(seconds(1000), [], 1))
    writer.tidy()
    alone = tmp_path / "alone.db"
    alone.write_bytes(path.read_bytes())

    assert [one.time for one in SqliteHistoryReader(alone).bars("ticker_00", "1s", ALL)] == [1000]


def test_tidying_creates_no_file(path: Path) -> None:
    """A missing file is an error: the writer creates a new one."""
    with pytest.raises(OSError, match="unable to open"):
        SqliteHistoryWriter(path).tidy()

    assert not path.exists()


def test_a_corrupt_file_is_renamed_at_the_start(path: Path, reader: SqliteHistoryReader) -> None:
    """A new one is created; nothing of the old one is lost."""
    path.write_bytes(b"this was a database once" * 100)
    writer = SqliteHistoryWriter(path)
    writer.prepare()
    writer.write(Batch(seconds(1000), [], 1))
    aside = [other for other in path.parent.iterdir() if ".corrupt-" in other.name]

    assert [other.read_bytes() for other in aside] == [b"this was a database once" * 100]
    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [1000]


def test_a_file_that_becomes_corrupt_is_renamed_and_logged(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader, path: Path
) -> None:
    """The batch that found it fails once, and is written into the new file the next time."""
    writer.write(Batch([one for time in range(5000) for one in seconds(time)], [], 1))
    writer.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    with pytest.raises(CorruptError):
        reader.bars("ticker_00", "1s", ALL)
    with pytest.raises(CorruptError):
        writer.write(Batch(seconds(6000), [], 2))
    writer.write(Batch(seconds(6000), [], 2))
    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [6000]


def test_what_cannot_be_opened_is_a_wrong_setting(path: Path) -> None:
    """A path that cannot be used as a file is not treated as corrupt."""
    path.mkdir()
    with pytest.raises(SettingError, match=r"history\.db"):
        SqliteHistoryWriter(path).prepare()


def test_without_a_file_there_is_no_history(reader: SqliteHistoryReader) -> None:
    """The first start finds nothing."""
    assert reader.bars("btcusdt", "1s", ALL) == []
    assert reader.gaps("btcusdt", 0, 10) == []
    assert reader.first("btcusdt", "1s") is None
    assert (reader.newest("1s"), reader.alive_ms()) == ({}, None)


def test_a_corrupt_file_that_cannot_be_renamed_is_a_wrong_setting(tmp_path: Path) -> None:
    """Neither overwritten nor ignored: the user must decide (here its new name would be too long)."""
    path = tmp_path / f"{'x' * 240}.db"
    path.write_bytes(b"this was a database once" * 100)

    with pytest.raises(SettingError, match="is corrupt, and cannot be renamed"):
        SqliteHistoryWriter(path).prepare()
    assert path.read_bytes() == b"this was a database once" * 100


def test_a_locked_file_can_be_prepared_later(path: Path, reader: SqliteHistoryReader) -> None:
    """A temporary problem does not prevent a start."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        writer = SqliteHistoryWriter(path)
        writer.prepare()
    writer.write(Batch(seconds(1000), [], 1))

    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [1000]


def test_a_deleted_file_is_created_again(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader, path: Path
) -> None:
    """What is written to a deleted file would be lost silently."""
    writer.write(Batch(seconds(1000), [], 1))
    for part in path.parent.glob("history.db*"):
        part.unlink()
    writer.write(Batch(seconds(2000), [], 2))

    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [2000]


def test_a_healthy_file_is_not_moved_by_a_check(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader, path: Path
) -> None:
    """The reader may have read the corrupt file that was moved aside just before."""
    writer.write(Batch(seconds(1000), [], 1))
    writer.check("malformed")
    writer.write(Batch(seconds(2000), [], 2))

    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [1000, 2000]
    assert not list(path.parent.glob("*.corrupt-*"))


def test_a_full_file_is_an_error_and_what_is_in_it_can_be_read(
    writer: SqliteHistoryWriter, reader: SqliteHistoryReader
) -> None:
    """A batch is written completely or not at all; it can be written when there is space again."""
    writer.write(Batch(seconds(1000), [], 1))
    assert writer._database is not None
    writer._database.execute("PRAGMA max_page_count = 1")
    many = [one for time in range(2000, 3_000_000, 1000) for one in seconds(time)]
    with pytest.raises(OSError, match="full"):
        writer.write(Batch(many, [("new", Gap(1, 2, "x"))], 2))
    during = [one.time for one in reader.bars("ticker_00", "1s", ALL)]
    writer._database.execute("PRAGMA max_page_count = 100000")
    writer.write(Batch(many, [("new", Gap(1, 2, "x"))], 3))

    assert during == [1000]
    assert len(reader.bars("ticker_00", "1s", ALL)) == 1 + len(many)
    assert reader.gaps("new", 0, 10) == [Gap(1, 2, "x")]
    assert reader.alive_ms() == 3


def test_a_database_of_another_program_is_refused_and_not_changed(path: Path) -> None:
    """The start fails with a clear text; no table is created."""
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE things (a)")
    with (
        pytest.raises(SettingError, match=r"not Crypto Stream.s history\.db"),
        closing(SqliteHistoryWriter(path)) as writer,
    ):
        writer.prepare()
    with closing(sqlite3.connect(path)) as other:
        assert [name for (name,) in other.execute("SELECT name FROM sqlite_master")] == ["things"]
