"""The order service on a real orders.db, with manual clocks, and a disk that can fail."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from crypto_stream.bus.orders import (
    Attach,
    Cancel,
    Detach,
    Failed,
    ListOrders,
    ListTrades,
    OrderMessages,
    OrdersListed,
    Place,
    Received,
    Reported,
    SessionMessage,
    TradesListed,
)
from crypto_stream.market.orders import ExecType, Order, Report, Rules, Side, Status, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.owners import SessionCommand
from crypto_stream.orders.service import Orders
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.validation import OrderSettings
from crypto_stream.orders.writes import Lookup
from crypto_stream.storage.interface import (
    LoadedOrders,
    OrderBatch,
    OrderReader,
    OrderWriter,
    OwnerState,
    Stores,
)
from crypto_stream.storage.sqlite_order_reader import SqliteOrderReader
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter
from tests.waiting import DEADLINE_S

SYMBOLS = ("btcusdt", "ethusdt")
BEGIN_MS = 1_800_000_000_000
SETTINGS = OrderSettings(latency_ms=100, seed=1, outcomes=True, max_open=OrderLimits(50))
BUY, SELL = Side.BUY, Side.SELL
LATEST_MS = 150  # the longest latency of an order
NEW = (1, ExecType.NEW, Status.ACTIVE)
_RETRY_S = 0.005


def a_quote(
    symbol: str = "btcusdt",
    source: str | None = "one",
    *,
    bid: str | None = None,
    bid_size: str | None = None,
    ask: str | None = None,
    ask_size: str | None = None,
    stale: bool = False,
) -> Quote:
    """Create a quote with a top of book."""
    top = (bid, bid_size, ask, ask_size)
    unknown = (None,) * 8
    return Quote(symbol, "BTC", "USDT", source, None, *top, *unknown, 0, 0, stale=stale, synthetic=False)


def limit(side: Side, amount: str, price: str, symbol: str = "btcusdt") -> Ticket:
    """Create a limit order."""
    return Ticket(symbol, side, amount, price)


LIVE = a_quote(bid="99", ask="101")


class ManualClock:
    """Wall clock and monotonic clock in one; it advances only when it is set."""

    def __init__(self, call: Callable[[Callable[[], object]], None]) -> None:
        self.ms = BEGIN_MS
        self._call = call
        self._numbers = count()
        self._timers: list[tuple[float, int, Callable[[], object]]] = []

    def now_ms(self) -> int:
        return self.ms

    def now_s(self) -> float:
        return self.ms / 1000

    def at(self, due_s: float, call: Callable[[], object]) -> None:
        heappush(self._timers, (due_s, next(self._numbers), call))

    def soon(self, call: Callable[[], object]) -> None:
        self._call(call)

    def next_ms(self) -> int | None:
        """Return when the next timer is due."""
        return round(self._timers[0][0] * 1000) if self._timers else None

    def due(self) -> list[Callable[[], object]]:
        """Return, and remove, the timers that are due."""
        calls = []
        while self._timers and round(self._timers[0][0] * 1000) <= self.ms:
            calls.append(heappop(self._timers)[2])
        return calls


class Disk:
    """The real store; it can refuse to write, hang, or be lost as after a kill."""

    def __init__(self, writer: OrderWriter) -> None:
        self._writer = writer
        self.advice = self._writer.advice
        self.refuses: OSError | None = None
        self.free = threading.Event()
        self.free.set()
        self.waits = False
        self.batches: list[OrderBatch] = []

    def open(self) -> LoadedOrders:
        if self.refuses is not None:
            raise self.refuses
        return self._writer.open()

    def write(self, batch: OrderBatch) -> None:
        self.waits = True
        assert self.free.wait(DEADLINE_S)
        self.waits = False
        if self.refuses is not None:
            raise self.refuses
        self._writer.write(batch)
        self.batches.append(batch)

    def owner(self, owner: str, after: int = 0) -> OwnerState:
        return self._writer.owner(owner, after)

    def existing(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        return self._writer.existing(names)

    def unused(self, seconds: float, most: int) -> list[str]:
        return self._writer.unused(seconds, most)

    def remove(self, owner: str) -> None:
        self._writer.remove(owner)

    def tidy(self) -> bool:
        return self._writer.tidy()

    def close(self) -> None:
        self._writer.close()


class House:
    """One run of the service, on the file at `where` or on stores.

    Gateway 1 has all sessions unless another one is given.
    """

    def __init__(
        self,
        where: Path | Stores,
        settings: OrderSettings = SETTINGS,
        rules: Rules | None = None,
        **limits: Any,
    ) -> None:
        self.quotes = {symbol: a_quote(symbol, None, stale=True) for symbol in SYMBOLS}
        writer, reader = _opened(where)
        self.disk = Disk(writer)
        self.told: dict[tuple[str, int], list[SessionMessage]] = {}
        self.behind: set[str] = set()  # gateways that do not read
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._refs = count(1)
        self.clock = ManualClock(self._calls.put)
        self.store = StoreWriter(self.disk, reader, self._calls.put, _RETRY_S, **limits)
        self.orders = Orders(
            self.quotes, lambda _source, _symbol: rules, settings, self.store, self.clock, self._tell
        )

    def start(self) -> None:
        self.orders.start()
        self.settle()

    def stop(self) -> None:
        """Stop regularly: what is pending is written, but no longer reported."""
        self.disk.free.set()
        self.store.stop(DEADLINE_S)

    def kill(self) -> None:
        """Stop as `kill -9` does: what is not stored is lost."""
        self.disk.refuses = OSError("killed")
        self.stop()

    def settle(self) -> None:
        """Run everything that needs no time to pass; not while the disk hangs."""
        while self._run() or (self.disk.free.is_set() and self._pass_barrier()):
            pass

    def advance(self, ms: int) -> None:
        """Let time pass, timer by timer."""
        until_ms = self.clock.ms + ms
        while (due_ms := self.clock.next_ms()) is not None and due_ms <= until_ms:
            self.clock.ms = max(self.clock.ms, due_ms)
            self.settle()
        self.clock.ms = until_ms
        self.settle()

    def repair(self) -> None:
        """Let the disk work again, and wait until that is noticed."""
        self.disk.refuses = None
        self.disk.free.set()
        self.settle()
        self.until(lambda: self.orders.trouble is None)
        self.settle()

    def until(self, condition: Callable[[], object]) -> None:
        """Run until `condition()` holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            if not self._run():
                time.sleep(0.001)

    def attach(self, session: int, owner: str, *, anonymous: bool = False, gateway: str = "one") -> None:
        self.told[gateway, session] = []
        self.orders.commands(gateway, [Attach(session, owner, anonymous)])
        self.settle()

    def detach(self, session: int, gateway: str = "one") -> None:
        self.orders.commands(gateway, [Detach(session)])
        self.settle()

    def place(self, session: int, ticket: Ticket, gateway: str = "one") -> SessionMessage | None:
        """Place an order; return the answer, None while the disk hangs."""
        return self.ask(Place(session, next(self._refs), ticket), gateway)

    def placed(self, session: int, ticket: Ticket, gateway: str = "one") -> Order:
        """Place an order that is accepted."""
        answer = self.place(session, ticket, gateway)
        assert isinstance(answer, Reported), answer
        return answer.report.order

    def cancel(self, session: int, order_id: str, gateway: str = "one") -> SessionMessage | None:
        return self.ask(Cancel(session, next(self._refs), order_id), gateway)

    def listed(self, session: int, gateway: str = "one") -> list[Order]:
        answer = self.ask(ListOrders(session, next(self._refs)), gateway)
        assert isinstance(answer, OrdersListed), answer
        return answer.orders

    def trades(self, session: int, symbol: str | None = "btcusdt") -> TradesListed:
        answer = self.ask(ListTrades(session, next(self._refs), symbol))
        assert isinstance(answer, TradesListed), answer
        return answer

    def receive(self, session: int, seq: int, gateway: str = "one") -> None:
        self.orders.commands(gateway, [Received(session, seq)])
        self.settle()

    def quote(self, quote: Quote) -> None:
        """Publish a quote."""
        self.quotes[quote.symbol] = quote
        self.orders.quoted([quote])
        self.settle()

    def stale(self, symbol: str = "btcusdt") -> None:
        """Make an instrument's quote stale."""
        self.quote(replace(self.quotes[symbol], stale=True))

    def reports(self, session: int, gateway: str = "one") -> list[Report]:
        """Return the reports that a session was sent, including repetitions."""
        return [one.report for one in self.told[gateway, session] if isinstance(one, Reported)]

    def failures(self, session: int) -> list[str]:
        """Return the codes of refusals."""
        return [one.code for one in self.told["one", session] if isinstance(one, Failed)]

    def ask(self, command: SessionCommand, gateway: str = "one") -> SessionMessage | None:
        """Send a session's command; return the answer, None while the disk hangs."""
        self.orders.commands(gateway, [command])
        self.settle()
        told = self.told[gateway, command.session]
        return next((one for one in told if one.ref == command.ref), None)

    def _tell(self, gateway: str, messages: OrderMessages) -> bool:
        for one in messages.messages:
            self.told[gateway, one.session].append(one)
        return gateway not in self.behind

    def _run(self) -> int:
        """Run callbacks and due timers; return their number."""
        ran = 0
        while True:
            for call in self.clock.due():
                call()
                ran += 1
            try:
                self._calls.get_nowait()()
            except queue.Empty:
                return ran
            ran += 1

    def _pass_barrier(self) -> bool:
        """Wait until both threads are idle; return whether there were results."""
        ours: list[object] = []
        passed: list[object] = []
        self.store.put(
            Lookup(lambda: ours.append(1), lambda _reader: lambda: passed.append(1), passed.append)
        )
        ran = 0
        deadline = time.monotonic() + DEADLINE_S
        while not passed:
            trouble = self.orders.trouble
            if trouble is not None and (self.disk.refuses is not None or "restart" in trouble):
                return bool(self._run())  # nothing will move before it is mended
            assert time.monotonic() < deadline
            try:
                self._calls.get(timeout=0.01)()
                ran += 1
            except queue.Empty:
                continue
        return ran > len(ours) + len(passed) or not self._calls.empty()


def _opened(where: Path | Stores) -> tuple[OrderWriter, OrderReader]:
    if isinstance(where, Path):
        return SqliteOrderWriter(where), SqliteOrderReader(where)
    return where.orders()


@contextmanager
def house(
    where: Path | Stores, settings: OrderSettings = SETTINGS, rules: Rules | None = None, **limits: Any
) -> Iterator[House]:
    """Run the service within the block; `limits` are those of the store."""
    one = House(where, settings, rules, **limits)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def said(one: House, session: int = 1) -> list[tuple[int, ExecType, Status]]:
    """List the reports that a session was sent: seq, event, status."""
    return [(report.seq, report.exec_type, report.order.status) for report in one.reports(session)]
