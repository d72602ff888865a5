"""Measure what best and index cost: `python -m benchmarks.prices` (about 2 minutes; --quick).

Tops of book of five sources go through the book and the publisher, in one process: for the quote alone, and
with the recorder of index bars, at rates and numbers of pairs that differ. Time is simulated, so that a
second has as many events as it says, and bars close as they would. CPU of the process per event. Then one
value of best and of index, as it is computed for who looks. Nobody looks while events are measured.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import click

from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.history import open_history
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.index_bars import IndexBars
from crypto_stream.engine.publisher import Publisher
from crypto_stream.feed.facts import FailoverTimes
from crypto_stream.feed.failover import Failover
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.live_prices import LivePrices
from crypto_stream.market.best import best
from crypto_stream.market.book import Book
from crypto_stream.market.clock import Boot, EngineClock
from crypto_stream.market.events import Update
from crypto_stream.market.index import IndexRule, series_name
from crypto_stream.market.instruments import Instrument, Instruments
from crypto_stream.settings import Settings
from tests.feed.world import Facts

_SOURCES = ("one", "two", "three", "four", "five")
_RULE = IndexRule(3, Decimal(1))
_S = 1_000_000_000
_TICK_NS = _S // 10
_BATCH = 20  # events of one iteration of the event loop
_ALONE = "an event: the quote alone, {} pairs"
_LOADS = ((3, 1_000), (3, 10_000), (1_000, 10_000))  # pairs, events a second
_AIM_US = 3.0
_HEADINGS = ("what", "µs", "on top of the quote", "aim", "runs")


@click.command(help=__doc__)
@options("prices")
@click.option("--seconds", default=10.0, show_default=True, help="Simulated seconds of each run.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure each in turn, print the table, write the results."""
    if quick:
        runs, seconds = 1, 0.3
    measures = _measures(seconds)
    names = chosen(measures, only)
    rows = interleaved(names, runs, lambda name: measures[name]())
    middle = medians(names, rows)
    setting = {"sources": len(_SOURCES), "seconds": seconds, "aim_us": _AIM_US}
    lines = [_line(name, middle) for name in names]
    finish(output, _HEADINGS, lines, {"setting": setting, "medians": middle, "runs": rows})


def _measures(seconds: float) -> dict[str, Callable[[], Row]]:
    measures: dict[str, Callable[[], Row]] = {}
    for pairs, rate in _LOADS:
        measures[_ALONE.format(pairs)] = partial(_events, pairs, 10_000, seconds, indexed=False)
        measures[f"an event: with the index, {pairs} pairs, {rate}/s"] = partial(
            _events, pairs, rate, seconds, indexed=True
        )
    measures["one value: best"] = partial(_values, "best", seconds)
    measures["one value: index"] = partial(_values, "index", seconds)
    return measures


def _line(name: str, middle: dict[str, Row]) -> list[object]:
    row = middle.get(name)
    if row is None:
        return [name, None, None, None, None]
    pairs = name.split(", ")[1].split(" ")[0] if "index, " in name else ""
    alone = middle.get(_ALONE.format(pairs), {}).get("us")
    more = row["us"] - alone if pairs and alone is not None else None
    return [name, row["us"], more, f"< {_AIM_US:g}" if pairs else None, row["runs"]]


class _SimulatedClocks:
    """Clocks that advance only when they are told to."""

    def __init__(self) -> None:
        self.now_ns = time.monotonic_ns()
        self._wall_ms = time.time_ns() // 1_000_000 - self.now_ns // 1_000_000

    def wall_ms(self) -> int:
        """Return the simulated time in ms since the epoch."""
        return self._wall_ms + self.now_ns // 1_000_000

    def monotonic_ns(self) -> int:
        """Return the simulated time."""
        return self.now_ns

    def running_ns(self) -> int:
        """Return the simulated time."""
        return self.now_ns

    def boot(self) -> Boot | None:
        """Return that the boot is unknown."""
        return None


class _Desk:
    """Five live sources and what is made of their events; nothing is connected."""

    def __init__(self, folder: Path, pairs: int) -> None:
        self.clocks = _SimulatedClocks()
        self.instruments = [Instrument(f"c{number}usdt", f"C{number}", "USDT") for number in range(pairs)]
        symbols = [each.symbol for each in self.instruments]
        chains = dict.fromkeys(symbols, _SOURCES)
        self.book = Book()
        facts = {name: Facts(state="live") for name in _SOURCES}
        limits = FailoverTimes(5 * _S, 60 * _S, 30 * _S)
        self.failover = Failover(chains, self.book, limits, guard=JumpGuard(self.book, 5.0))
        self.publisher = Publisher(
            Instruments(self.instruments), self.book, self.failover, lambda _: None, epoch="e1", seq=1
        )
        prices = LivePrices(self.failover, self.book, facts, limits)
        self.activity = Activity(prices, facts)
        clock = EngineClock(self.clocks)
        self.history = open_history(Settings(data_dir=folder), [*symbols, *map(series_name, symbols)], clock)
        self.indexes = Indexes(self.activity.prices, _RULE, {}, clock, self.clocks.monotonic_ns)
        self.index_bars = IndexBars(self.indexes, self.history, symbols)
        self.activity.listeners.append(self.index_bars.happened)
        self._key = 0
        for event, source in self.events(pairs * len(_SOURCES)):
            self.book.of(source).apply(event, self.clocks.now_ns)
        self.publisher.switched(self.failover.decide(self.clocks.now_ns, facts).changes)

    def events(self, count: int) -> Iterator[tuple[Update, str]]:
        """Make tops of book of all pairs and sources in turn, each a little different from the last one."""
        for number in range(self._key, self._key + count):
            instrument = self.instruments[number // len(_SOURCES) % len(self.instruments)]
            bid, ask = f"{60000 + number % 97}.10", f"{60000 + number % 97}.20"
            yield (
                Update(instrument, "top", number, bid=bid, bid_size="1.5", ask=ask, ask_size="0.5"),
                _SOURCES[number % len(_SOURCES)],
            )
        self._key += count


def _events(pairs: int, rate: int, seconds: float, *, indexed: bool) -> Row:
    with tempfile.TemporaryDirectory(prefix="prices-") as folder:
        return asyncio.run(_play(Path(folder), pairs, rate, seconds, indexed=indexed))


async def _play(folder: Path, pairs: int, rate: int, seconds: float, *, indexed: bool) -> Row:
    desk = _Desk(folder, pairs)
    events = list(desk.events(round(rate * seconds)))
    parts = {name: desk.book.of(name) for name in _SOURCES}
    publish, note, clocks = desk.publisher.accepted, desk.activity.accepted, desk.clocks
    step_ns, next_tick_ns, ticks = _S // rate, clocks.now_ns + _TICK_NS, 0
    await asyncio.sleep(0)
    began = time.process_time()
    for number, (event, source) in enumerate(events):
        clocks.now_ns += step_ns
        if parts[source].apply(event, clocks.now_ns):
            publish(source, event)
            if indexed:
                note(source, event)
        if not number % _BATCH:
            await asyncio.sleep(0)
        if indexed and clocks.now_ns >= next_tick_ns:
            next_tick_ns, ticks = next_tick_ns + _TICK_NS, ticks + 1
            desk.activity.tick(clocks.now_ns)
            desk.index_bars.tick(clocks.now_ns)
    used = time.process_time() - began
    desk.history.tick()
    return {"us": used / len(events) * 1e6, "events": len(events), "ticks": ticks}


def _values(what: str, seconds: float) -> Row:
    with tempfile.TemporaryDirectory(prefix="prices-") as folder:
        return asyncio.run(_compute(Path(folder), what, seconds))


async def _compute(folder: Path, what: str, seconds: float) -> Row:
    desk = _Desk(folder, 1)
    symbol = desk.instruments[0].symbol
    compute: Callable[[], object] = (
        partial(desk.indexes.current, symbol)
        if what == "index"
        else lambda: best(desk.activity.prices(symbol, desk.clocks.now_ns))
    )
    count = round(2_000 * seconds)
    began = time.process_time()
    for _ in range(count):
        compute()
    return {"us": (time.process_time() - began) / count * 1e6, "values": count}


if __name__ == "__main__":
    main()
