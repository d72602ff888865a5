"""A small engine for tests: the real bus, three instruments, and everything controlled by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.local_engine import LocalEnginePort
from crypto_stream.bus.messages import (
    Beat,
    ChangedInstruments,
    ChangeInstruments,
    GetHistory,
    GetSparks,
    GetTopic,
    HistoryCounts,
    HistoryPage,
    InstrumentsChanged,
    LiveBars,
    OrderCounts,
    Pin,
    Quotes,
    RequestBody,
    Snapshot,
    Sparks,
    Switched,
    TopicUpdate,
    Watch,
    Watched,
)
from crypto_stream.bus.orders import Command, OrderMessages, SessionMessage
from crypto_stream.errors import RefusedError
from crypto_stream.market.bars import Bar, Gap
from crypto_stream.market.best import Best, BestSide, Share
from crypto_stream.market.depth import Depth, VenueDepth, depth
from crypto_stream.market.index import Constituent, Index
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.prices import LeftOut
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceState, SourceStatus, Switch, VenueRow, Venues

INSTRUMENTS = [
    Instrument("btcusdt", "BTC", "USDT"),
    Instrument("ethusdt", "ETH", "USDT"),
    Instrument("ticker_00", None, None, synthetic=True),
]


def now_ms() -> int:
    """Read the clock that quotes use."""
    return time.time_ns() // 1_000_000


def quote(instrument: Instrument, seq: int, price: str | None = "100.00", *, stale: bool = False) -> Quote:
    """Make a quote with all fields set."""
    source = "synthetic" if instrument.synthetic else "binance"
    return Quote(
        *(instrument.symbol, instrument.base, instrument.quote, source, price),
        *("99.50", "1.2", "100.50", "0.8", "90.00", "110.00", "80.00", "12345.6", "11.11", "10.00"),
        *(now_ms(), now_ms(), now_ms(), seq),
        stale,
        instrument.synthetic,
    )


def bar(time: int, *, closed: bool = True) -> Bar:
    """Make a bar with all fields set."""
    return Bar(time, "1.00", "3", "0.50", "2.0", "12.5", 7, "binance", closed)


def page(*bars: Bar, gaps: Sequence[Gap] = (Gap(500, 900, "lost"),)) -> HistoryPage:
    """Make a page of 1 s bars."""
    return HistoryPage("btcusdt", "1s", 1000, "e1", 9, 1000, None, list(bars), list(gaps))


class Engine:
    """Serve the bus at `path` as one epoch; use as `async with`. Beats each 0.2 s unless `silent`."""

    def __init__(
        self, path: Path, epoch: str = "e1", instruments: list[Instrument] = INSTRUMENTS, run: str = "r1"
    ) -> None:
        self.epoch = epoch
        self.run = run
        self.seq = len(instruments)
        self.instruments = instruments
        self.quotes = {one.symbol: quote(one, at) for at, one in enumerate(instruments, 1)}
        self.states: dict[str, SourceState] = {"binance": "live", "synthetic": "live"}
        self.reasons: dict[str, str] = {}
        self.pin: str | None = None
        self.asked: list[RequestBody] = []
        self.sparks = {"btcusdt": [(60_000, "100.00")]}
        self.commands: list[tuple[str, Command]] = []
        self.gateways_left = 0
        self.updates = 0
        self.silent = False
        self.has_room = True  # for topics
        self.history_trouble: str | None = None
        self.orders_trouble: str | None = None
        self.order_counts: OrderCounts | None = None
        self.history_counts: HistoryCounts | None = None
        self.followers: int | None = None
        self.may_read = asyncio.Event()  # cleared: history requests wait
        self.may_read.set()
        self.topics: dict[str, Callable[[str], object]] = {
            "venues": self.venues,
            "best": self.best,
            "index": self.index,
            "depth": self.depth,
        }
        self.page: HistoryPage | RefusedError = page(bar(1000), bar(2000, closed=False))
        self._port = LocalEnginePort(path, self)
        self._beating: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._port.__aenter__()
        self._beat()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._beating is not None
        self._beating.cancel()
        await self._port.__aexit__(None, None, None)

    def sources(self) -> list[SourceStatus]:
        """List the sources with the states that are set."""
        return [
            SourceStatus(
                *(
                    name,
                    state,
                    now_ms(),
                    self.pin == name,
                    None,
                    "cut by a test",
                    12,
                    1,
                    2,
                    2,
                    "ws://127.0.0.1",
                ),
                frames={"ticker": 7},
                dropped={"ticker": 1},
            )
            for name, state in self.states.items()
        ]

    def snapshot(self) -> Snapshot:
        """Return the whole current state."""
        quotes = list(self.quotes.values())
        return Snapshot(
            self.epoch,
            self.seq,
            self.instruments,
            quotes,
            self.sources(),
            self.pin,
            dict(self.reasons),
            run=self.run,
        )

    async def answer(self, _gateway: str, ask: RequestBody) -> Any:
        """Respond as the real engine does."""
        self.asked.append(ask)
        if isinstance(ask, GetTopic):
            return self.topics[ask.topic](ask.key)
        if isinstance(ask, Watch):
            wanted = [(topic, key) for topic, keys in ask.keys.items() for key in keys]
            return Watched([], [], [] if self.has_room else wanted)
        if isinstance(ask, GetHistory):
            await self.may_read.wait()
            if isinstance(self.page, RefusedError):
                raise self.page
            return self.page
        if isinstance(ask, GetSparks):
            return Sparks(self.epoch, self.seq, 60_000, self.sparks)
        if isinstance(ask, Pin):
            if ask.source not in {*self.states, "auto"}:
                raise RefusedError("unknown_source", f"no source {ask.source!r}")
            self.pin = None if ask.source == "auto" else ask.source
        if isinstance(ask, ChangeInstruments):
            if "refused" in ask.remove:
                raise RefusedError("unknown_instrument", "there is no instrument 'refused'")
            return ChangedInstruments(ask.add, ask.remove)
        return None

    def orders(self, gateway: str, commands: list[Command]) -> None:
        """Record the commands of sessions; a test responds with `send_orders`."""
        self.commands += [(gateway, command) for command in commands]

    def send_orders(self, gateway: str, *news: SessionMessage) -> None:
        """Send messages to the sessions of a gateway."""
        self._port.send_orders(gateway, OrderMessages(list(news)))

    def drained(self, gateway: str) -> None:
        """Do nothing: no more messages are pending."""

    def left(self, _gateway: str) -> None:
        """Count gateways that have left."""
        self.gateways_left += 1

    def change(self, symbol: str = "btcusdt", **fields: Any) -> Quote:
        """Change a quote's fields and publish it with the next seq."""
        self.seq += 1
        changed = msgspec.structs.replace(
            self.quotes[symbol], seq=self.seq, received=now_ms(), published=now_ms(), **fields
        )
        self.quotes[symbol] = changed
        self._port.publish(Quotes(self.seq, [changed], {symbol: "test"} if changed.stale else {}))
        return changed

    def add(self, instrument: Instrument) -> None:
        """Add an instrument, with a quote."""
        self.seq += 1
        self.instruments = [*self.instruments, instrument]
        self.quotes[instrument.symbol] = quote(instrument, self.seq)
        self._port.publish(InstrumentsChanged([instrument], []))
        self._port.publish(Quotes(self.seq, [self.quotes[instrument.symbol]], {}))

    def remove(self, symbol: str) -> None:
        """Remove an instrument."""
        self.instruments = [one for one in self.instruments if one.symbol != symbol]
        del self.quotes[symbol]
        self._port.publish(InstrumentsChanged([], [symbol]))

    def switch(self, symbols: list[str]) -> None:
        """Publish a change of source."""
        self._port.publish(Switched(Switch(symbols, "binance", "okx", "lost", now_ms())))

    def venues(self, symbol: str, price: str = "100.00") -> Venues:
        """Make the per-source quotes of an instrument."""
        row = VenueRow("binance", "live", True, False, price, "99.50", "1", "100.50", "2", now_ms(), 5)
        return Venues(symbol, "binance", False, None, "99.50", "binance", "100.50", "binance", [row])

    def best(self, symbol: str, bid: str = "99.50") -> Best:
        """Make the best bid and ask of an instrument."""
        one, other = (BestSide(price, "1.5", [Share("binance", "1.5", 5)]) for price in (bid, "100.50"))
        left_out = [LeftOut("okx", "halted")]
        return Best(symbol, False, None, one, other, "100.00", False, ["binance"], left_out)

    def depth(self, symbol: str) -> Depth:
        """Return the books of an instrument: of one venue, with two levels a side."""
        bids, asks = [("99.5", "1"), ("99", "2")], [("100.5", "1"), ("101", "3")]
        book = VenueDepth("binance", None, 5, 20, bids, asks)
        return depth(symbol, [book], [LeftOut("okx", "halted")])

    def index(self, symbol: str, price: str = "100.00") -> Index:
        """Make the index of an instrument."""
        made = [Constituent(name, "100", "mid", "7.5", 5) for name in ("binance", "okx", "kraken")]
        return Index(symbol, price, now_ms(), False, None, made, [LeftOut("bybit", "halted")])

    def publish_venues(self, symbol: str, price: str) -> None:
        """Publish new per-source quotes."""
        self.publish_update("venues", symbol, self.venues(symbol, price))

    def publish_bars(self, seq: int, previous: int | None, *bars: Bar, symbol: str = "btcusdt") -> None:
        """Publish bars of one second."""
        bars_now = LiveBars(self.epoch, symbol, "1s", seq, previous, list(bars), None)
        self.publish_update("candles", f"{symbol}/1s", bars_now)

    def publish_update(self, topic: str, key: str, payload: object) -> None:
        """Publish the next update of a topic."""
        self.updates += 1
        self._port.publish(TopicUpdate(topic, key, self.updates, encode_value(payload)))

    def refresh(self) -> None:
        """Publish a whole snapshot again."""
        self._port.publish(self.snapshot())

    def watched(self, topic: str = "venues") -> list[str] | None:
        """Return which keys of a topic gateways asked last to watch, None before they did."""
        asked = next((ask.keys for ask in reversed(self.asked) if isinstance(ask, Watch)), None)
        return None if asked is None else asked.get(topic, [])

    def _beat(self) -> None:
        if not self.silent:
            troubles = (self.history_trouble, self.orders_trouble)
            counts = (self.order_counts, self.history_counts)
            beat = Beat(now_ms(), self.sources(), self.pin, 0.5, *troubles, *counts, followers=self.followers)
            self._port.publish(beat)
        self._beating = asyncio.get_running_loop().call_later(0.2, self._beat)
