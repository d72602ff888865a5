"""The orders in a file: atomic, read as written, and no file is ever replaced."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import msgspec
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_stream.market.orders import (
    ExecType,
    Kind,
    Order,
    Outcome,
    Position,
    Report,
    Side,
    Status,
    Ticket,
    TimeInForce,
)
from crypto_stream.storage.interface import CorruptError, OrderBatch, OwnerState, UnusableError
from crypto_stream.storage.sqlite_order_reader import SqliteOrderReader
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter

ANN, BOB = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5", "8f9d6c1e-0000-4000-8000-000000000002"
MOST = 10**6
DIGITS = st.text("0123456789", min_size=1, max_size=18)
DECIMALS = st.builds("{}.{}".format, st.integers(0, 10**20 - 1), DIGITS) | st.integers(1, 10**20).map(str)
MS = st.integers(0, 2**50)


def placed(rank: int, owner: str = ANN, symbol: str = "eurrub", **ticket: object) -> Order:
    asked = msgspec.structs.replace(Ticket(symbol, Side.BUY, "10", "87"), **ticket)
    return Order(f"order-{rank}", owner, rank, asked, 1000 + rank, 1200 + rank, changed_ms=1000 + rank)


def told(order: Order, seq: int, exec_type: ExecType = ExecType.NEW, **more: str) -> Report:
    return Report(seq, f"exec {order.owner} {seq}", exec_type, 1000 + seq, order, **more)


def traded(order: Order, seq: int, amount: str = "10", price: str = "87") -> Report:
    state = {"status": Status.FILLED, "cum_amount": amount, "cum_value": "1", "changed_ms": 5000 + seq}
    last = {"last_amount": amount, "last_price": price, "source": "synthetic"}
    return told(msgspec.structs.replace(order, **state), seq, ExecType.TRADE, **last)


def batch(*reports: Report) -> OrderBatch:
    return OrderBatch(reports, {}, frozenset())


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


TICKETS = st.builds(
    Ticket,
    st.sampled_from(["eurrub", "btcusdt"]),
    st.sampled_from(Side),
    DECIMALS,
    st.none() | DECIMALS,
    st.sampled_from(Kind),
    st.sampled_from(TimeInForce),
    st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64),
    st.none() | st.sampled_from(Outcome),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """Draw events of some orders of two owners, in any order, with unique client_order_ids per owner."""
    tickets = draw(st.lists(TICKETS, max_size=8, unique_by=lambda one: one.client_order_id or id(one)))
    orders = [
        Order(draw(st.uuids().map(str)), draw(st.sampled_from([ANN, BOB])), rank, ticket, draw(MS), draw(MS))
        for rank, ticket in enumerate(tickets, 1)
    ]
    seqs = {ANN: 0, BOB: 0}
    reports = []
    for order in draw(st.lists(st.sampled_from(orders), max_size=20)) if orders else []:
        seqs[order.owner] += 1
        state = [st.sampled_from(Status), MS, DECIMALS, DECIMALS]
        names = ["status", "changed_ms", "cum_amount", "cum_value"]
        now = msgspec.structs.replace(order, **dict(zip(names, map(draw, state), strict=True)))
        happened = st.builds(
            Report,
            *(st.just(seqs[order.owner]), st.uuids().map(str), st.sampled_from(ExecType), MS, st.just(now)),
            *(DECIMALS, DECIMALS, st.none() | st.just("binance"), st.none() | st.text(max_size=20)),
        )
        reports.append(draw(happened))
    return reports


@settings(max_examples=60)
@given(histories(), st.integers(1, 20))
def test_orders_are_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, reports: list[Report], at_once: int
) -> None:
    """However the reports are batched: each order is as in its newest report, and there is no other."""
    path = tmp_path_factory.mktemp("orders") / "orders.db"
    writer, reader = SqliteOrderWriter(path), SqliteOrderReader(path)
    writer.open()
    for start in range(0, len(reports), at_once):
        writer.write(batch(*reports[start : start + at_once]))
    newest = {report.order.rank: report for report in reports}
    orders = [newest[rank].order for rank in sorted(newest)]
    again = SqliteOrderWriter(path).open()

    for owner in (ANN, BOB):
        own = [report for report in reports if report.order.owner == owner]
        assert writer.owner(owner) == OwnerState(len(own), own)
        assert reader.orders(owner, MOST) == [order for order in orders if order.owner == owner]
    for report in newest.values():
        order = report.order
        assert reader.order(order.owner, order.order_id) == order
        assert reader.newest_report(order.owner, order.order_id) == report
        if order.ticket.client_order_id:
            name = (order.owner, order.ticket.client_order_id)
            assert writer.existing([name, (order.owner, "never given")]) == {name: report}
    assert again.active == [order for order in orders if order.status is Status.ACTIVE]
    assert again.next_rank == max(newest, default=0) + 1
    reader.close()
    writer.close()


TRADES = st.lists(st.tuples(st.sampled_from(Side), st.sampled_from(["a", "b"]), DECIMALS, DECIMALS))


@given(TRADES, st.integers(1, 5))
def test_positions_are_exact(
    tmp_path_factory: pytest.TempPathFactory, trades: list[tuple[Side, str, str, str]], at_once: int
) -> None:
    """The sums of amounts and of amount times price of all trades, to the last digit."""
    path = tmp_path_factory.mktemp("orders") / "orders.db"
    writer, reader = SqliteOrderWriter(path), SqliteOrderReader(path)
    writer.open()
    reports = [
        traded(placed(seq, symbol=symbol, side=side), seq, amount, price)
        for seq, (side, symbol, amount, price) in enumerate(trades, 1)
    ]
    for start in range(0, len(reports), at_once):
        writer.write(batch(*reports[start : start + at_once]))
    found = reader.positions(ANN)

    assert [position.symbol for position in found] == sorted({symbol for _, symbol, _, _ in trades})
    for position in found:
        for side, amounts, values in [
            (Side.BUY, position.bought_amount, position.bought_value),
            (Side.SELL, position.sold_amount, position.sold_value),
        ]:
            own = [
                (Fraction(a), Fraction(p))
                for s, symbol, a, p in trades
                if (s, symbol) == (side, position.symbol)
            ]
            assert Fraction(amounts) == sum(amount for amount, _ in own)
            assert Fraction(values) == sum(amount * price for amount, price in own)
            assert "E" not in amounts + values
    reader.close()
    writer.close()


def test_the_first_start_finds_nothing(path: Path) -> None:
    """A new file has no orders; ranks begin at 1; nothing has been received."""
    with closing(SqliteOrderWriter(path)) as writer:
        found = writer.open()

        assert (found.active, found.anonymous, found.next_rank) == ([], frozenset(), 1)
        assert writer.owner(ANN) == OwnerState(0, [])
        assert writer.existing([(ANN, "x")]) == {}


def test_a_commit_of_the_live_writer_waits_for_the_disk(writer: SqliteOrderWriter) -> None:
    """The writing connection uses synchronous FULL (2) and WAL, also when opened again."""
    writer.open()
    assert writer._database is not None

    assert writer._database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer._database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_nobody_reads_another_owners_orders(writer: SqliteOrderWriter, reader: SqliteOrderReader) -> None:
    """Neither by the order's id, nor by its client_order_id, nor in a list."""
    order = placed(1, client_order_id="mine")
    writer.write(batch(told(order, 1), traded(order, 2)))

    assert reader.order(BOB, order.order_id) is None
    assert reader.newest_report(BOB, order.order_id) is None
    assert writer.existing([(BOB, "mine")]) == {}
    assert (reader.orders(BOB, MOST), reader.trades(BOB, "eurrub", MOST), reader.positions(BOB)) == (
        [],
        [],
        [],
    )


def test_two_owners_may_use_one_client_order_id(writer: SqliteOrderWriter) -> None:
    """It is unique per owner; the report is the order's newest one."""
    mine, other = placed(1, client_order_id="x"), placed(2, BOB, client_order_id="x")
    newest = traded(mine, 2)
    writer.write(batch(told(mine, 1), told(other, 1)))
    writer.write(batch(newest))

    assert writer.existing([(ANN, "x"), (BOB, "x")]) == {(ANN, "x"): newest, (BOB, "x"): told(other, 1)}


def test_received_reports_are_not_returned_again(writer: SqliteOrderWriter) -> None:
    """Reports after the highest received seq are unread; that seq never decreases."""
    reports = [told(placed(rank), rank) for rank in (1, 2, 3)]
    writer.write(OrderBatch(reports, {ANN: 1}, frozenset()))
    first = writer.owner(ANN)
    writer.write(OrderBatch([], {ANN: 2}, frozenset()))
    writer.write(OrderBatch([], {ANN: 1, BOB: 7}, frozenset()))

    assert first == OwnerState(3, reports[1:])
    assert writer.owner(ANN) == OwnerState(3, reports[2:])
    assert writer.owner(BOB) == OwnerState(0, [])


def test_a_seq_that_does_not_exist_yet_cannot_be_received(writer: SqliteOrderWriter) -> None:
    """After a restore a gateway may send higher ones: later reports are returned all the same."""
    writer.write(OrderBatch([told(placed(1), 1)], {ANN: 60}, frozenset()))
    later = told(placed(2), 2)
    writer.write(batch(later))

    assert writer.owner(ANN) == OwnerState(2, [later])


def test_anonymous_owners_of_active_orders_are_known(writer: SqliteOrderWriter, path: Path) -> None:
    """Only those: neither named owners nor those without active orders."""
    over = placed(3, "gone")
    reports = [told(placed(1), 1), told(placed(2, BOB), 1), told(over, 1), traded(over, 2)]
    writer.write(OrderBatch(reports, {}, frozenset({BOB, "gone"})))
    writer.write(batch(told(placed(4, BOB), 2)))

    assert writer.open().anonymous == {BOB}
    with closing(SqliteOrderWriter(path)) as again:
        assert again.open().anonymous == {BOB}


def test_the_newest_orders_and_trades_are_listed(
    writer: SqliteOrderWriter, reader: SqliteOrderReader
) -> None:
    """All active ones, the newest others; the newest trades of one instrument."""
    active = [told(placed(rank), rank) for rank in (1, 5)]
    trades = [traded(placed(rank), rank) for rank in (2, 3, 4, 6)]
    other = traded(placed(7, symbol="btcusdt"), 7)
    writer.write(batch(*sorted([*active, *trades, other], key=lambda report: report.seq)))

    assert [order.rank for order in reader.orders(ANN, 3)] == [1, 4, 5, 6, 7]
    assert reader.trades(ANN, "eurrub", 2) == trades[-2:]
    assert reader.trades(ANN, "btcusdt", 2) == [other]
    assert reader.trades(ANN, "never", 2) == []


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
