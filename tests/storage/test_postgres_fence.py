"""The fence: wherever an engine is stopped, none of its rows comes after those of a newer term."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import NamedTuple, TypeVar

import pytest

from crypto_stream.market.bars import Gap
from crypto_stream.market.clock import Anchor
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.postgres_stores import PostgresStores
from tests.postgres import Server
from tests.storage.bars import bar, seconds
from tests.storage.forwarder import Forwarder
from tests.storage.leases import Make, acquire, execute, expire, kill
from tests.storage.reports import batch, placed, told, traded
from tests.waiting import DEADLINE_S, SCALE

pytestmark = pytest.mark.timeout(300 * SCALE)

_DAY_MS = 86_400_000
# Write something: what the older engine writes before (1), while it is stopped (2) and after that (3), and
# what the newer one writes (10).
Write = Callable[[int], None]
Rows = list[tuple[object, ...]]
Result = TypeVar("Result")


class Opened(NamedTuple):
    """A store that is open."""

    write: Write
    close: Callable[[], None]


class Kind(NamedTuple):
    """A store: what opens it, all that is in it, and how many statements a transaction has at least."""

    open: Callable[[PostgresStores], Opened]
    rows: str
    statements: int


def _orders(stores: PostgresStores) -> Opened:
    writer, _ = stores.orders()
    writer.open()
    batches = {
        1: batch(told(placed(1), 1)),
        2: batch(traded(placed(1), 2), told(placed(2), 3)),
        3: batch(told(placed(4), 4)),
        10: batch(told(placed(10, "bob"), 1)),
    }
    return Opened(lambda number: writer.write(batches[number]), writer.close)


def _history(stores: PostgresStores) -> Opened:
    writer, _ = stores.history()

    def write(number: int) -> None:
        at = number * _DAY_MS  # each in a partition of its own
        bars = [*seconds(at, at + 1_000), StoredBar(f"symbol_{number}", "1m", bar(at))]
        gaps = [("ticker_00", Gap(at - 5_000, at, f"reason {number}"))]
        writer.write(Batch(bars, gaps, at, anchor=Anchor(at, at, at, None)))

    return Opened(write, writer.close)


def _state(stores: PostgresStores) -> Opened:
    state = stores.state()
    state.load()

    def write(number: int) -> None:
        state.save({"pin": f"source-{number}", f"ban:{number}": "1"})

    return Opened(write, lambda: None)


KINDS = {
    "orders": Kind(_orders, "SELECT rank, status FROM orders ORDER BY rank", 6),
    "history": Kind(
        _history,
        "SELECT text, length_ms, time FROM bar JOIN names ON id = symbol "
        "UNION ALL SELECT reason, from_ms, to_ms FROM gap UNION ALL SELECT 'life', alive_ms, 0 FROM life "
        "UNION ALL SELECT 'clock', at_ms, 0 FROM clock ORDER BY 1, 2, 3",
        6,
    ),
    "state": Kind(_state, "SELECT key, value FROM state WHERE key <> 'saved' ORDER BY key", 4),
}


@pytest.fixture
def forwarder(postgres: Server) -> Iterator[Forwarder]:
    one = Forwarder(postgres.port)
    yield one
    one.close()


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_no_row_of_an_older_term_comes_after_one_of_a_newer(
    postgres: Server, forwarder: Forwarder, made: Make, kind: str, delivered: bool
) -> None:
    """Cut off at each message of a transaction, while another engine takes over; then everything arrives.

    The message is delivered, but not answered, or not delivered either. Nothing or all of it is stored.
    """
    befores, lefts = [], []
    for at in count(1):
        address = postgres.database()
        older = made(address.replace(str(postgres.port), str(forwarder.port)), f"older-{at}")
        case = _Case(address, older, made(address, f"newer-{at}"), KINDS[kind])
        before, left = case.cut_off(forwarder, at, delivered=delivered)
        befores.append(before)
        lefts.append(left)
        if case.stored_in_time:
            break

    assert befores.count(befores[0]) == len(befores)
    whole = lefts.pop()
    assert whole != befores[0]
    assert all(left in (befores[0], whole) for left in lefts)
    assert lefts.count(befores[0]) >= KINDS[kind].statements


class _Case:
    """Two engines on one database, the older one behind a forwarder."""

    def __init__(self, address: str, older: PostgresStores, newer: PostgresStores, kind: Kind) -> None:
        self.stored_in_time = False  # the older engine's second transaction, before it could be stalled
        self._address = address
        self._older = older
        self._newer = newer
        self._kind = kind

    def cut_off(self, forwarder: Forwarder, at: int, *, delivered: bool) -> tuple[Rows, Rows]:
        """Stall the older engine at message `at` of its second transaction, and let the newer one write.

        Returns what was stored before that transaction, and when the newer engine began.
        """
        assert self._older.acquire()
        older = self._kind.open(self._older)
        older.write(1)
        before = self._rows()
        kill(self._older)  # only the writer's messages count
        forwarder.stall_at(at, delivered=delivered)
        writing = threading.Thread(target=self._write_second, args=(older.write,))
        writing.start()
        while writing.is_alive() and not forwarder.stalled.is_set():
            time.sleep(0.001)
        expire(self._address)
        # The sessions of the older one end if they hold on to the lease.
        acquire(self._newer)
        newer = _soon(lambda: self._kind.open(self._newer))
        left = self._rows()
        _soon(lambda: newer.write(10))
        written = self._rows()
        forwarder.resume()
        writing.join()
        with pytest.raises(OSError, match=r"."):
            older.write(3)
        after = self._rows()
        for each in (older, newer):
            each.close()

        assert after == written != left
        return before, left

    def _write_second(self, write: Write) -> None:
        with suppress(OSError):
            write(2)
            self.stored_in_time = True

    def _rows(self) -> Rows:
        return execute(self._address, self._kind.rows)


def _soon(act: Callable[[], Result]) -> Result:
    """Return the result of `act()`; a transaction of the older engine may be in its way for a moment."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return act()
        except OSError:
            assert time.monotonic() < deadline
