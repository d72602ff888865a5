"""The orders in a file: atomic, read as written, and no file is ever replaced."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from crypto_stream.market.orders import Order, Position
from crypto_stream.storage.interface import CorruptError, OrderBatch, OwnerState, UnusableError
from crypto_stream.storage.sqlite_order_reader import SqliteOrderReader
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter
from tests.storage.reports import ANN, BOB, MOST, batch, placed, told, traded


def everything(path: Path) -> list[list[tuple[object, ...]]]:
    """Read all rows of all tables."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [database.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables.fetchall()]


def contents(path: Path) -> dict[str, bytes]:
    """Read the file and its log; not while this process has it open: that would release its locks."""
    return {
        part.name: part.read_bytes() for part in path.parent.glob("orders.db*") if part.suffix != ".db-shm"
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


@pytest.fixture
def writer(path: Path) -> Iterator[SqliteOrderWriter]:
    made = SqliteOrderWriter(path)
    made.open()
    yield made
    made.close()


@pytest.fixture
def reader(path: Path, writer: SqliteOrderWriter) -> Iterator[SqliteOrderReader]:
    made = SqliteOrderReader(path)
    yield made
    made.close()


def test_a_commit_of_the_live_writer_waits_for_the_disk(writer: SqliteOrderWriter) -> None:
    """The writing connection uses synchronous FULL (2) and WAL, also when opened again."""
    writer.open()
    assert writer._database is not None

    assert writer._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock, as a backup would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(_path: Path) -> Iterator[None]:
    """Let the kernel refuse every write of this process to a file, as a full disk does."""
    process = psutil.Process()
    soft, hard = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("trouble", [locked, full])
def test_a_failed_write_changes_nothing(
    writer: SqliteOrderWriter, reader: SqliteOrderReader, path: Path, trouble: object
) -> None:
    """Neither order, report, position nor acknowledgement; reads continue; reopened, all can be written."""
    writer.write(batch(told(placed(1), 1)))
    before = everything(path)
    more = OrderBatch([traded(placed(1), 2), told(placed(2, BOB, "new"), 1)], {ANN: 1}, frozenset())
    assert callable(trouble)
    with trouble(path):
        with pytest.raises(OSError, match=r"orders\.db: "):
            writer.write(more)
        with pytest.raises(OSError, match=r"orders\.db: "):
            writer.open()
        during = (reader.orders(ANN, MOST), reader.positions(ANN), writer.owner(ANN))
    after = everything(path)
    found = writer.open()
    writer.write(more)

    assert during == ([placed(1)], [], OwnerState(1, [told(placed(1), 1)]))
    assert after == before
    assert (found.active, found.next_rank) == ([placed(1)], 2)
    assert reader.positions(ANN) == [Position("eurrub", "10", "870")]
    assert reader.orders(BOB, MOST) == [placed(2, BOB, "new")]


def test_a_batch_without_enough_space_is_not_written(writer: SqliteOrderWriter, path: Path) -> None:
    """It is refused as a whole; with space again it is written."""
    writer.write(batch(told(placed(1), 1)))
    before = everything(path)
    many = batch(*(told(placed(rank, symbol=f"s{rank}"), rank) for rank in range(2, 3000)))
    assert writer._database is not None
    writer._database.execute("PRAGMA max_page_count = 40")
    with pytest.raises(OSError, match="full"):
        writer.write(many)
    after = everything(path)
    writer._database.execute("PRAGMA max_page_count = 100000")
    writer.write(many)

    assert after == before
    assert len(writer.open().active) == 2999


def test_a_duplicate_seq_is_an_internal_error(writer: SqliteOrderWriter, path: Path) -> None:
    """It is no OSError, which would be retried, and nothing of the batch is stored."""
    writer.write(batch(told(placed(1), 1)))
    before = everything(path)
    with pytest.raises(sqlite3.IntegrityError):
        writer.write(batch(traded(placed(1), 2), told(placed(2), 1)))

    assert everything(path) == before


def left_behind(path: Path, orders: int) -> Path:
    """Leave a file with its log, as a killed engine would: all orders in the file, one more in the log."""
    alive = path.parent / "alive" / path.name
    alive.parent.mkdir()
    writer = SqliteOrderWriter(alive)
    writer.open()
    writer.write(batch(*(told(placed(rank), rank) for rank in range(1, orders + 1))))
    writer.close()
    writer.open()
    writer.write(batch(told(placed(orders + 1), orders + 1)))
    for part in alive.parent.iterdir():
        shutil.copy(part, path.parent)
    writer.close()
    return path


def test_a_killed_writers_log_is_read(path: Path) -> None:
    """What was committed but not checkpointed is there at the next start."""
    left_behind(path, 10)
    with closing(SqliteOrderWriter(path)) as writer:
        assert [order.rank for order in writer.open().active] == list(range(1, 12))


@pytest.mark.parametrize(("start", "of_each"), [(0, 1), (4096, 1), (0, 4096), (3 * 4096, 4096)])
def test_a_corrupt_file_stays_byte_for_byte(path: Path, start: int, of_each: int) -> None:
    """Whether its header or its pages are damaged: CorruptError at each start, no new file."""
    left_behind(path, 1000)
    content = bytearray(path.read_bytes())
    for at in range(start, len(content), of_each):
        content[at] ^= 0xFF
    path.write_bytes(content)
    before = contents(path)
    for _ in range(2):
        writer = SqliteOrderWriter(path)
        with pytest.raises(CorruptError):
            writer.open()
        with pytest.raises(OSError, match="not open"):
            writer.write(batch(told(placed(9), 1)))
        with closing(SqliteOrderReader(path)) as reader, pytest.raises(CorruptError):
            reader.orders(ANN, MOST)
        writer.close()

    assert before.keys() == {"orders.db", "orders.db-wal", "orders.db-mark"}
    assert contents(path) == before


@pytest.mark.parametrize("broken", ["kind = 'stop'", "side = 0", "amount = CAST(x'ff' AS TEXT)"])
def test_an_invalid_row_is_corrupt(path: Path, broken: str) -> None:
    """Rows that SQLite accepts but we cannot read need an operator too."""
    left_behind(path, 3)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE orders SET {broken} WHERE rank = 2")
    with closing(SqliteOrderReader(path)) as reader, pytest.raises(CorruptError):
        reader.orders(ANN, MOST)
    with pytest.raises(CorruptError):
        SqliteOrderWriter(path).open()


@pytest.mark.parametrize("gone", ["orders.db", "orders.db-wal", "orders.db-shm"])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_deleted_while_in_use_is_detected(
    writer: SqliteOrderWriter, path: Path, gone: str, replaced: bool
) -> None:
    """What is written to a deleted file would be lost: nothing more is accepted, no file is created."""
    writer.write(batch(told(placed(1), 1)))
    aside = path.with_name("aside")
    path.with_name(gone).rename(aside)
    if replaced:
        shutil.copy(aside, path.with_name(gone))
    for _ in range(2):
        with pytest.raises(UnusableError, match="moved or deleted"):
            writer.write(batch(told(placed(2), 2)))
        with pytest.raises(UnusableError, match="moved or deleted"):
            writer.open()
    there = path.with_name(gone).exists()
    aside.rename(path.with_name(gone))
    found = writer.open()

    assert there is replaced
    assert found.active == [placed(1)]


def test_a_file_deleted_while_closed_is_detected(writer: SqliteOrderWriter, path: Path) -> None:
    """The process that used it knows that it existed."""
    writer.close()
    path.unlink()
    with pytest.raises(UnusableError, match="put it back"):
        writer.open()

    assert not path.exists()


@pytest.mark.parametrize("emptied", [False, True])
def test_a_log_without_its_file_is_not_deleted(path: Path, emptied: bool) -> None:
    """SQLite would delete the log, which contains the last acknowledged changes."""
    left_behind(path, 10)
    if emptied:
        path.write_bytes(b"")
    else:
        path.unlink()
    before = contents(path)
    with pytest.raises(UnusableError, match="its log orders"):
        SqliteOrderWriter(path).open()

    assert contents(path) == before


def test_the_tables_of_a_newer_version_are_not_changed(path: Path) -> None:
    """An older program must not write there; nor into a file that contains no orders."""
    for table, version, words in (
        ("t", 0, "not Crypto Stream's orders.db"),
        ("t", 2, "not Crypto Stream's orders.db"),
        ("", 99, "version 99"),
    ):
        if not table:
            path.unlink()
            SqliteOrderWriter(path).open()
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"CREATE TABLE IF NOT EXISTS {table or 't'} (a)")
            other.execute(f"PRAGMA user_version = {version}")
        before = contents(path)
        with pytest.raises(UnusableError, match=words):
            SqliteOrderWriter(path).open()

        assert contents(path) == before


def test_an_unusable_path_needs_an_operator(path: Path) -> None:
    """A folder at the file's path is not treated as a temporary problem."""
    path.mkdir()
    with pytest.raises(UnusableError):
        SqliteOrderWriter(path).open()


def test_a_locked_file_is_opened_later(path: Path) -> None:
    """A start that cannot write has opened nothing, and succeeds at the next attempt."""
    left_behind(path, 3)
    with closing(SqliteOrderWriter(path)) as writer:
        with locked(path), pytest.raises(OSError, match="locked"):
            writer.open()

        assert len(writer.open().active) == 4


def test_a_reader_creates_no_file(path: Path) -> None:
    """Before a writer has run, there is nothing to read and nothing is created."""
    with closing(SqliteOrderReader(path)) as reader, pytest.raises(UnusableError):
        reader.orders(ANN, 1)

    assert not path.exists()


def test_a_reader_follows_a_replaced_file(
    writer: SqliteOrderWriter, reader: SqliteOrderReader, path: Path
) -> None:
    """A deleted file is not read any longer."""
    writer.write(batch(told(placed(1), 1)))
    before: Sequence[Order] = reader.orders(ANN, MOST)
    for part in path.parent.glob("orders.db*"):
        part.unlink()
    with pytest.raises(UnusableError):
        reader.orders(ANN, MOST)

    assert before == [placed(1)]
