"""The order service alone with its threads and its file, one process: `python -m benchmarks.matching JSON`.

JSON: orders, seconds, rate (changes a second over all instruments). Half of an instrument's orders buy below
its quote, half sell above it. One change in a hundred reaches the best of them, its size being that of the
order, so that it fills this one; its owner places the same again. The changes are made beforehand and handed
over a millisecond's worth at a time, as the publisher does. Prints one line of figures: the use of the whole
process, `loop_percent` of it on the event loop, `feed_percent` for handing over changes that nobody takes.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.stock import stock
from crypto_stream.bus.orders import Attach, Command, OrderMessages, Place, Received, Reported
from crypto_stream.market.orders import ExecType, Rules, Side, Status, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import LoopClock
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.service import Orders
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.validation import OrderSettings
from crypto_stream.storage.sqlite_order_reader import SqliteOrderReader
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter

_INSTRUMENTS = 100
_OWNERS = 100
_TICK_S = 0.001
_ROUND = 200  # changes of an instrument after which they repeat; two of them fill an order
_SETTLED_S = 30.0
_LATENCY_MS = 200.0
_BUY, _SELL, _AMOUNT = 9_998, 10_002, "1"  # prices in hundredths


class Bench:
    """The service, its sessions and the counters."""

    def __init__(self, folder: Path, orders: int) -> None:
        """Make a file of open orders and a service that uses it."""
        self.orders = orders
        self.fills = self.placed = self.failed = 0
        symbols = [f"s{number:02d}usdt" for number in range(_INSTRUMENTS)]
        rounds = [list(_round(symbol)) for symbol in symbols]
        self.quotes = {changes[0].symbol: changes[0] for changes in rounds}
        # Staggered per instrument, so that not all of them fill at the same time.
        self.changes = [
            changes[(turn + place) % _ROUND] for turn in range(_ROUND) for place, changes in enumerate(rounds)
        ]
        stock(folder / "orders.db", _tickets(symbols, orders))
        clock = LoopClock()
        loop = asyncio.get_running_loop()
        store = StoreWriter(
            SqliteOrderWriter(folder / "orders.db"),
            SqliteOrderReader(folder / "orders.db"),
            loop.call_soon_threadsafe,
        )
        terms = OrderSettings(_LATENCY_MS, 1, False, OrderLimits(*4 * [1_000_000]), max_sessions=1_000)
        self.service = Orders(self.quotes, _no_rules, terms, store, clock, self._on_news)

    async def open(self) -> None:
        """Load the stored orders and attach every owner."""
        self.service.start()
        attach = [Attach(number, f"owner-{number}", False) for number in range(_OWNERS)]
        self.service.commands("one", attach)
        await self.settled()

    async def settled(self) -> None:
        """Wait until as many orders are active as at first; RuntimeError if that takes too long."""
        deadline = time.monotonic() + _SETTLED_S
        while self.active != self.orders or self.placed != self.fills:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{self.active} orders are active, not {self.orders}: {self.service.trouble}"
                )
            await asyncio.sleep(0.01)

    @property
    def active(self) -> int:
        """The number of active orders."""
        return self.service.counts().active

    def take(self, quotes: Sequence[Quote]) -> None:
        """Pass published quotes to the service."""
        for quote in quotes:
            self.quotes[quote.symbol] = quote
        self.service.quoted(quotes)

    def _on_news(self, gateway: str, messages: OrderMessages) -> bool:
        """Act as a gateway and its clients: acknowledge reports, and replace orders that were filled."""
        commands: list[Command] = []
        for told in messages.messages:
            if not isinstance(told, Reported):
                self.failed += 1
                continue
            report = told.report
            commands.append(Received(told.session, report.seq))
            if report.exec_type is ExecType.NEW:
                self.placed += 1
            elif report.order.status is Status.FILLED:
                self.fills += 1
                commands.append(Place(told.session, self.fills, report.order.ticket))
        self.service.commands(gateway, commands)
        return True


async def run(orders: int, seconds: float, rate: float) -> dict[str, Any]:
    """Measure first the cost of the changes alone, then the service."""
    with tempfile.TemporaryDirectory(prefix="matching-") as place:
        bench = Bench(Path(place), orders)
        began_s, cpu_s = time.perf_counter(), _cpu_s()
        await feed(bench.changes, rate, min(seconds, 3.0), lambda quotes: None)
        feed_percent = (_cpu_s() - cpu_s) / (time.perf_counter() - began_s) * 100
        await bench.open()
        await feed(bench.changes, rate, min(seconds, 2.0), bench.take)
        await bench.settled()
        fills, placed = bench.fills, bench.placed
        began_s, cpu_s, loop_s = time.perf_counter(), _cpu_s(), time.thread_time()
        changes = await feed(bench.changes, rate, seconds, bench.take)
        elapsed = time.perf_counter() - began_s
        used, loop = _cpu_s() - cpu_s, time.thread_time() - loop_s
        await bench.settled()
        fills, placed = bench.fills - fills, bench.placed - placed
        resting = bench.active
        bench.service.stop()
    if bench.failed:
        raise RuntimeError(f"{bench.failed} commands were refused")
    if fills * 100 < changes:
        raise RuntimeError(f"{changes} changes filled {fills} orders, {placed} were placed again")
    return {
        "engine_percent": used / elapsed * 100, "loop_percent": loop / elapsed * 100,
        "feed_percent": feed_percent, "changes": changes,
        "changes_per_s": changes / elapsed, "fills": fills, "placed": placed, "resting": resting,
    }  # fmt: skip


async def feed(
    changes: Sequence[Quote], rate: float, seconds: float, take: Callable[[Sequence[Quote]], None]
) -> int:
    """Pass on `rate` changes a second, repeating them; return how many."""
    began = time.perf_counter()
    total = int(rate * seconds)
    number = 0
    while number < total:
        due = min(total, int((time.perf_counter() - began) * rate) + 1)
        while number < due:
            at = number % len(changes)
            part = changes[at : at + due - number]
            take(part)
            number += len(part)
        await asyncio.sleep(_TICK_S)
    late = time.perf_counter() - began - seconds
    if late > seconds / 50 + 0.1:
        raise RuntimeError(f"{total} changes took {seconds + late:.1f} s instead of {seconds:.1f}")
    return total


def _round(symbol: str) -> Iterator[Quote]:
    """Make the changes of one instrument: two reach the best order of a side, the others no order."""
    for number in range(_ROUND):
        bid, ask = (9_999, 10_000) if number % 2 else (10_000, 10_001)
        bid_size, ask_size = f"{1 + number % 7}.5", f"{1 + number % 5}.25"
        if number == 0:
            bid, ask, ask_size = _BUY - 1, _BUY, _AMOUNT
        elif number == _ROUND // 2:
            bid, ask, bid_size = _SELL, _SELL + 1, _AMOUNT
        yield Quote(
            symbol=symbol, base=symbol[:3].upper(), quote="USDT", source="bench", price=_text(bid),
            bid=_text(bid), bid_size=bid_size, ask=_text(ask), ask_size=ask_size, open_24h=None,
            high_24h=None, low_24h=None, volume_24h=None, change_24h=None, change_abs_24h=None,
            time=None, received=0, published=0, seq=number, stale=False, synthetic=False,
        )  # fmt: skip


def _tickets(symbols: Sequence[str], orders: int) -> dict[str, list[Ticket]]:
    tickets: dict[str, list[Ticket]] = {f"owner-{number}": [] for number in range(_OWNERS)}
    for number in range(orders):
        place, level = number % len(symbols), number // len(symbols)
        side = Side.SELL if level % 2 else Side.BUY
        price = _SELL + level // 2 if level % 2 else _BUY - level // 2
        owner = f"owner-{(place + level) % _OWNERS}"
        tickets[owner].append(Ticket(symbols[place], side, _AMOUNT, _text(price)))
    return tickets


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def _no_rules(source: str, symbol: str) -> Rules | None:
    return None


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    wish = json.loads(sys.argv[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(wish["orders"], wish["seconds"], wish["rate"]))), flush=True)


if __name__ == "__main__":
    main()
