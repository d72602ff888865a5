"""The threads that write and read: in batches, in order, and nothing sent that is not stored."""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crypto_stream.market.orders import ExecType, Order, Position, Report, Side, Ticket
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.writes import Item, Lookup, OwnerRead, PendingReport, Stored
from crypto_stream.storage.interface import (
    CorruptError,
    LoadedOrders,
    OrderBatch,
    OrderReader,
    OwnerState,
    OwnerSummary,
)
from crypto_stream.storage.sqlite_order_reader import SqliteOrderReader
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter
from tests.small_disk import small_disk
from tests.waiting import DEADLINE_S

RETRY_S = 0.005


class Memory:
    """A simple store: a list that can fail and hang. Both writer and reader."""

    advice = "look at it"

    def __init__(self) -> None:
        self.batches: list[OrderBatch] = []
        self.refuses: OSError | None = None
        self.unreadable: OSError | None = None
        self.free = threading.Event()
        self.free.set()
        self.opened = 0

    def open(self) -> LoadedOrders:
        self.opened += 1
        if self.refuses is not None:
            raise self.refuses
        return LoadedOrders([], frozenset(), len(self.reports) + 1)

    def unused(self, seconds: float, most: int) -> list[str]:
        return []

    def remove(self, owner: str) -> None:
        self.removed = owner

    def tidy(self) -> bool:
        return False

    def owners(self, most: int) -> list[OwnerSummary]:
        return []

    def write(self, batch: OrderBatch) -> None:
        assert self.free.wait(DEADLINE_S)
        if self.refuses is not None:
            raise self.refuses
        self.batches.append(batch)

    def owner(self, owner: str, after: int = 0) -> OwnerState:
        reports = [report for report in self.reports if report.order.owner == owner]
        told = max((batch.read.get(owner, 0) for batch in self.batches), default=0)
        return OwnerState(len(reports), [report for report in reports if report.seq > max(told, after)])

    def existing(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        newest = {
            (report.order.owner, report.order.ticket.client_order_id or ""): report for report in self.reports
        }
        return {name: newest[name] for name in names if name in newest}

    def order(self, owner: str, order_id: str) -> Order | None:
        report = self.newest_report(owner, order_id)
        return None if report is None else report.order

    def newest_report(self, owner: str, order_id: str) -> Report | None:
        if self.unreadable is not None:
            raise self.unreadable
        found = [report for report in self.reports if report.order.order_id == order_id]
        return found[-1] if found and found[-1].order.owner == owner else None

    def orders(self, owner: str, max_closed: int) -> list[Order]:
        return [report.order for report in self.reports if report.order.owner == owner][-max_closed:]

    def trades(self, owner: str, symbol: str, most: int) -> list[Report]:
        return [report for report in self.reports if report.exec_type is ExecType.TRADE][-most:]

    def positions(self, owner: str) -> list[Position]:
        return []

    def close(self) -> None:
        self.free.set()

    @property
    def reports(self) -> list[Report]:
        return [report for batch in self.batches for report in batch.reports]


@dataclass
class Results:
    """Records the results of the store, in order; runs as the event loop."""

    calls: queue.SimpleQueue[Callable[[], object]] = field(default_factory=queue.SimpleQueue)
    opens: list[LoadedOrders] = field(default_factory=list)
    results: list[Stored] = field(default_factory=list)
    failures: list[tuple[list[Item], str, bool]] = field(default_factory=list)
    refusals: list[tuple[str, bool]] = field(default_factory=list)
    notes: list[object] = field(default_factory=list)

    def opened(self, found: LoadedOrders) -> None:
        self.opens.append(found)

    def stored(self, results: list[Stored]) -> None:
        self.results += results
        self.notes += [one.report for one in results]

    def refused(self, reason: str, *, fatal: bool) -> None:
        self.refusals.append((reason, fatal))

    def failed(self, items: list[Item], reason: str, *, fatal: bool) -> None:
        self.failures.append((items, reason, fatal))

    def until(self, condition: Callable[[], object]) -> None:
        """Run what is posted until a condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            try:
                self.calls.get(timeout=0.005)()
            except queue.Empty:
                continue


@contextmanager
def writing(memory: Memory) -> Iterator[tuple[StoreWriter, Results]]:
    heard = Results()
    store = StoreWriter(memory, memory, heard.calls.put, RETRY_S, slow_s=0.0)
    store.start(heard)
    try:
        yield store, heard
    finally:
        memory.free.set()
        store.stop(DEADLINE_S)


def new(number: int, owner: str = "me", name: str | None = None) -> PendingReport:
    ticket = Ticket("btcusdt", Side.BUY, "1", "2", client_order_id=name)
    order = Order(f"o{number}", owner, number, ticket, 5, 5, changed_ms=5)
    return PendingReport(Report(0, f"e{number}", ExecType.NEW, 5, order))


def lookup(heard: Results, note: str) -> Lookup:
    def read(reader: OrderReader) -> Callable[[], None]:
        order = reader.order("me", note)
        return lambda: heard.notes.append(("read", note, order is not None))

    return Lookup(
        lambda: heard.notes.append(("begin", note)), read, lambda reason: heard.notes.append((note, reason))
    )


def test_all_queued_reports_are_written_together() -> None:
    """During one transaction the next batch is collected."""
    memory = Memory()
    with writing(memory) as (store, heard):
        memory.free.clear()
        store.put(new(1))
        heard.until(lambda: store.stuck)
        for number in range(2, 102):
            store.put(new(number))
        told_early = list(heard.results)
        memory.free.set()
        heard.until(lambda: len(heard.results) == 101)

    assert told_early == []
    assert [len(batch.reports) for batch in memory.batches] == [1, 100]
    assert [one.report.seq for one in heard.results] == list(range(1, 102))
    assert store.commits == 2


def test_each_owner_has_its_own_numbers() -> None:
    """They continue from the store's; every report is numbered once."""
    memory = Memory()
    with writing(memory) as (store, heard):
        for number in range(30):
            store.put(new(number, f"owner{number % 3}"))
        heard.until(lambda: len(heard.results) == 30)
    with writing(memory) as (store, heard):
        store.put(new(30, "owner1"))
        heard.until(lambda: heard.results)

    assert [report.seq for report in memory.reports if report.order.owner == "owner1"] == list(range(1, 12))


def test_an_owner_read_has_no_gaps_and_no_duplicates() -> None:
    """A report is either in it, or sent after it, however the batches are split."""
    memory = Memory()
    with writing(memory) as (store, heard):
        found: list[tuple[OwnerState, int]] = []
        for number in range(300):
            store.put(new(number))
            if number % 10 == 0:
                store.put(OwnerRead("me", lambda one: found.append((one, len(heard.results)))))
        heard.until(lambda: len(found) == 30 and len(heard.results) == 300)

    assert all(len(one.unread) == one.last_seq == told for one, told in found)


def test_a_lookup_sees_all_that_was_put_before_it() -> None:
    """That is sent before it begins, and later items are not delayed by it."""
    memory = Memory()
    with writing(memory) as (store, heard):
        for number in range(50):
            store.put(new(number))
            store.put(lookup(heard, f"o{number}"))
        heard.until(lambda: sum(isinstance(note, tuple) and len(note) == 3 for note in heard.notes) == 50)

    for number in range(50):
        begin = heard.notes.index(("begin", f"o{number}"))
        told = [note.order.order_id for note in heard.notes[:begin] if isinstance(note, Report)]
        assert f"o{number}" in told
        assert heard.notes.index(("read", f"o{number}", True)) > begin


def test_a_known_client_order_id_creates_no_order() -> None:
    """Neither an old one nor one of the same batch; those of other owners are independent."""
    memory = Memory()
    with writing(memory) as (store, heard):
        store.put(new(1, name="a"))
        heard.until(lambda: heard.results)
        memory.free.clear()
        store.put(new(2))
        heard.until(lambda: store.stuck)
        for item in (new(3, name="a"), new(4, name="b"), new(5, name="b"), new(6, "you", name="a")):
            store.put(item)
        memory.free.set()
        heard.until(lambda: len(heard.results) == 6)

    assert [(one.report.order.order_id, one.known) for one in heard.results] == [
        ("o1", False),
        ("o2", False),
        ("o1", True),
        ("o4", False),
        ("o4", True),
        ("o6", False),
    ]
    assert [report.seq for report in memory.reports if report.order.owner == "me"] == [1, 2, 3]


def test_after_a_failure_nothing_is_written_until_the_listener_knows() -> None:
    """Items queued meanwhile were decided on lost state: they are returned, none is written."""
    memory = Memory()
    with writing(memory) as (store, heard):
        heard.until(lambda: heard.opens)
        memory.refuses = OSError("disk full")
        store.put(new(1))
        store.put(lookup(heard, "o1"))
        heard.until(lambda: heard.failures)
        memory.refuses = None
        store.put(new(2))
        time.sleep(RETRY_S * 4)
        before = memory.opened
        late = store.forget(reopen=True)
        heard.until(lambda: len(heard.opens) == 2)
        store.put(new(3))
        heard.until(lambda: heard.results)

    items = [item for failure, _, _ in heard.failures for item in failure]
    assert [type(item) for item in items + late] == [PendingReport, Lookup, PendingReport]
    assert heard.failures[0][1:] == ("disk full", False)
    assert before == 1
    assert [report.order.order_id for report in memory.reports] == ["o3"]


def test_opening_is_retried() -> None:
    """Without end, and reported each time; queued items remain."""
    memory = Memory()
    memory.refuses = OSError("locked")
    with writing(memory) as (store, heard):
        store.put(new(1))
        heard.until(lambda: len(heard.refusals) >= 3)
        memory.refuses = None
        heard.until(lambda: heard.results)

    assert set(heard.refusals) == {("locked", False)}


@pytest.mark.parametrize("reading", [False, True])
def test_a_corrupt_store_is_never_opened_again(reading: bool) -> None:
    """Whether the writer or a reader finds it: an operator must repair it."""
    memory = Memory()
    with writing(memory) as (store, heard):
        heard.until(lambda: heard.opens)
        if reading:
            memory.unreadable = CorruptError("malformed")
            store.put(lookup(heard, "o1"))
        else:
            memory.refuses = CorruptError("malformed")
            store.put(new(1))
        heard.until(lambda: heard.failures)
        store.forget(reopen=not heard.failures[0][2])
        memory.refuses = None
        time.sleep(RETRY_S * 4)

    assert heard.failures[0][1:] == ("malformed", True)
    assert memory.opened == 1


def test_a_failed_read_fails_one_answer() -> None:
    """The error is passed on; others are still answered."""
    memory = Memory()
    with writing(memory) as (store, heard):
        memory.unreadable = OSError("busy")
        store.put(lookup(heard, "o1"))
        heard.until(lambda: ("o1", "busy") in heard.notes)
        memory.unreadable = None
        store.put(lookup(heard, "o2"))
        heard.until(lambda: ("read", "o2", False) in heard.notes)

    assert heard.failures == []


def test_acknowledgements_are_written_soon_without_a_report() -> None:
    """Alone after a quarter of a second, or along with the next report; the highest seq counts."""
    memory = Memory()
    with writing(memory) as (store, heard):
        store.received("me", 3)
        store.received("me", 2)
        heard.until(lambda: memory.batches)
        store.put(new(1))
        store.received("you", 4)
        heard.until(lambda: any(batch.read.get("you") for batch in memory.batches))

    assert memory.batches[0] == OrderBatch([], {"me": 3}, frozenset())


def test_at_the_end_queued_items_are_written() -> None:
    """Stopping waits for the disk, and everything pending is stored."""
    memory = Memory()
    with writing(memory) as (store, heard):
        heard.until(lambda: heard.opens)
        for number in range(5_000):
            store.put(new(number))

    assert len(memory.reports) == 5_000


def test_an_internal_error_stops_orders_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The engine continues; commands are refused, and refer to the log."""
    memory = Memory()
    with writing(memory) as (store, heard):
        heard.until(lambda: heard.opens)
        memory.batches = None  # type: ignore[assignment]
        store.put(new(1))
        heard.until(lambda: heard.failures)

    assert heard.failures[0][2]
    assert "log" in heard.failures[0][1]
    assert caplog.records[0].exc_info is not None


@contextmanager
def on_file(path: Path) -> Iterator[tuple[StoreWriter, Results]]:
    """Write to a real, opened file."""
    heard = Results()
    store = StoreWriter(SqliteOrderWriter(path), SqliteOrderReader(path), heard.calls.put, RETRY_S)
    store.start(heard)
    try:
        heard.until(lambda: heard.opens)
        yield store, heard
    finally:
        store.stop(DEADLINE_S)


def stored(path: Path) -> list[tuple[int, str]]:
    """Read seq and event of all reports."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT seq, exec_id FROM reports ORDER BY seq").fetchall()


def test_a_full_disk_contains_only_what_was_reported(tmp_path: Path) -> None:
    """A real one: what was not stored is returned completely, in order; later seqs have no gap."""
    with small_disk(tmp_path / "disk") as disk:
        path = disk.folder / "orders.db"
        with on_file(path) as (store, heard):
            store.put(new(0))
            heard.until(lambda: heard.results)
            disk.fill()
            for number in range(1, 3_000):
                store.put(new(number))
            heard.until(lambda: heard.failures)
            queued_since = store.forget(reopen=True)
            heard.until(lambda: heard.refusals or len(heard.opens) == 2)
            disk.empty()
            heard.until(lambda: len(heard.opens) == 2)
            written = [one.pending for one in heard.results]
            store.put(new(3_000))
            heard.until(lambda: len(heard.results) > len(written))
        found = stored(path)

    ((items, reason, fatal),) = heard.failures
    assert (written + items + queued_since, fatal) == ([new(number) for number in range(3_000)], False)
    assert "full" in reason
    assert found == [(one.report.seq, one.pending.report.exec_id) for one in heard.results]
    assert [seq for seq, _ in found] == list(range(1, len(found) + 1))


def test_a_deleted_file_accepts_nothing(tmp_path: Path) -> None:
    """Queued items are returned, with the hint that an operator must act; no file is created."""
    path = tmp_path / "orders.db"
    with on_file(path) as (store, heard):
        store.put(new(1))
        heard.until(lambda: heard.results)
        for part in tmp_path.glob("orders.db*"):
            part.unlink()
        store.put(new(2))
        heard.until(lambda: heard.failures)

    ((items, reason, fatal),) = heard.failures
    assert ([type(item) for item in items], fatal) == ([PendingReport], True)
    assert "moved or deleted" in reason
    assert not path.exists()


def test_a_hundred_thousand_changes_are_each_written_once(tmp_path: Path) -> None:
    """More than the bound: callers are told so, and nothing is lost."""
    path = tmp_path / "orders.db"
    changes = [new(number) for number in range(100_000)]
    behind = None
    with on_file(path) as (store, heard):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for change in changes:
                store.put(change)
                behind = behind or store.behind  # a lock held for long is a failure, after which none wait
            other.execute("ROLLBACK")
        heard.until(lambda: heard.failures or len(heard.results) == 100_000)
        back = [item for items, _, _ in heard.failures for item in items] + store.forget(reopen=False)

    assert behind is not None
    assert len(back) + len(heard.results) == 100_000
    assert stored(path) == [(one.report.seq, one.pending.report.exec_id) for one in heard.results]
