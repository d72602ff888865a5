"""Well-formed but implausible frames, on real sockets: only they are dropped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from crypto_stream.feed.handler import Event, Trade, Update
from handlers import binance as binance_handler
from tests.fakes import FakeBinance, FakeOKX
from tests.fakes.venue import FakeVenue
from tests.feed.assembled import assembled, source_of
from tests.feed.rig import Feed, running
from tests.instruments import named
from tests.waiting import SCALE, until

PAIR = "btcusdt"
YEAR_2099_MS = 4_070_908_800_000
Spoil = Callable[[dict[str, Any]], object]


def send(fake: FakeVenue, what: str, spoil: Spoil) -> None:
    """Send another frame of this kind, changed."""
    for _, frame in fake.frames(fake.walks[PAIR], what):
        message = json.loads(frame)
        data = message["data"]
        spoil(data[0] if isinstance(data, list) else data)
        for client in fake.clients:
            client.send(json.dumps(message))


def later(field: str, ms: int) -> Spoil:
    """Return a timestamp in the future; OKX sends it as text."""

    def spoil(data: dict[str, Any]) -> None:
        at = time.time_ns() // 1_000_000 + ms
        data[field] = str(at) if isinstance(data[field], str) else at

    return spoil


def trades(feed: Feed, source: str) -> list[Trade]:
    """Return the trades that the book accepted."""
    return [event for name, event in feed.events if name == source and isinstance(event, Trade)]


async def continues(feed: Feed, fake: FakeVenue) -> None:
    """Wait for ten more trades; nothing moved, nothing is ahead of the clock."""
    count = len(trades(feed, fake.name))
    await until(lambda: len(trades(feed, fake.name)) >= count + 10)
    entry = feed.composition.book.entry(fake.name, PAIR)

    assert entry is not None
    assert entry.time is not None
    assert entry.time < time.time_ns() // 1_000_000 + 5_000
    assert 50_000 < float(entry.price or 0) < 70_000
    assert feed.serving(PAIR) == fake.name
    assert len(fake.connects) == 1


@pytest.mark.parametrize("what", ["trade", "ticker"])
@pytest.mark.parametrize("ms", [16_000, 86_400_000, YEAR_2099_MS - 1_790_000_000_000])
@pytest.mark.parametrize("kind", [FakeBinance, FakeOKX])
async def test_only_a_timestamp_in_the_future_is_dropped(
    kind: type[FakeBinance] | type[FakeOKX], ms: int, what: str
) -> None:
    """Seconds, a day, decades ahead: its price is not used, later ones are."""
    async with kind([PAIR], price="60000") as fake, running(fake, pairs=PAIR) as feed:
        await until(lambda: len(trades(feed, fake.name)) > 5)
        field = "ts" if kind is FakeOKX else "T" if what == "trade" else "E"
        for _ in range(5):
            send(fake, what, later(field, ms))
        dropped = feed.composition.book.of(fake.name).dropped
        await until(lambda: dropped["future"] == 5)

        await continues(feed, fake)
        assert dropped["future"] == 5


@pytest.mark.parametrize("kind", [FakeBinance, FakeOKX])
async def test_a_timestamp_in_microseconds_is_read(kind: type[FakeBinance] | type[FakeOKX]) -> None:
    """A venue that changes its unit delivers prices all the same, with times in ms."""
    async with kind([PAIR], price="60000") as fake, running(fake, pairs=PAIR) as feed:
        await until(lambda: len(trades(feed, fake.name)) > 5)
        at = time.time_ns() // 1_000_000
        stamp: Any = at * 1_000 + 7 if kind is FakeBinance else str(at * 1_000 + 7)
        fake.walks[PAIR].trade_id += 1
        send(fake, "trade", lambda data: data.update({"T" if kind is FakeBinance else "ts": stamp}))

        await until(lambda: any(trade.time == at for trade in trades(feed, fake.name)))
        await continues(feed, fake)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.update(p="0.00000000"),
        lambda data: data.update(p="-5"),
        lambda data: data.update(p="9" * 40),
        lambda data: data.update(p="30000"),
        lambda data: data.update(q="-1"),
    ],
)
async def test_only_an_implausible_price_is_dropped(spoil: Spoil) -> None:
    """Not a number, or far outside the venue's own bid and ask."""
    async with FakeBinance([PAIR]) as fake, running(fake, pairs=PAIR) as feed:
        await until(lambda: len(trades(feed, "binance")) > 5)
        fake.walks[PAIR].trade_id += 1
        send(fake, "trade", spoil)
        dropped = feed.composition.book.of("binance").dropped
        await until(lambda: dropped["bad_price"] + dropped["bad_number"] == 1)

        await continues(feed, fake)
        assert all(50_000 < float(trade.price) < 70_000 for trade in trades(feed, "binance"))


@pytest.mark.parametrize("field", ["a", "tradeId"])
async def test_an_id_that_jumps_ahead_costs_no_trade(field: str) -> None:
    """Later trades have smaller ids, and each counts once."""
    fake = FakeBinance([PAIR], price="60000") if field == "a" else FakeOKX([PAIR], price="60000")
    async with fake, running(fake, pairs=PAIR) as feed:
        await until(lambda: len(trades(feed, fake.name)) > 5)
        far = 2**62
        send(fake, "trade", lambda data: data.update({field: str(far) if field == "tradeId" else far}))
        await continues(feed, fake)
        keys = [trade.key for trade in trades(feed, fake.name) if trade.key != far]

        assert keys == list(range(keys[0], keys[-1] + 1))


async def test_trades_out_of_order_are_all_taken_and_none_twice() -> None:
    """Each pair in reverse order; then all of them twice."""
    async with FakeBinance([PAIR], rate=40) as fake, running(fake, pairs=PAIR) as feed:
        for fault in ("out-of-order", "duplicates"):
            await fake.fault(fault)
            count = len(trades(feed, "binance"))
            await until(lambda count=count: len(trades(feed, "binance")) > count + 20)  # type: ignore[misc]
        keys = [trade.key for trade in trades(feed, "binance")]

        assert len(keys) == len(set(keys))
        assert keys != sorted(keys)
        assert len(set(range(min(keys), max(keys))) - set(keys)) <= 2  # held back when a fault began or ended


async def test_a_restarted_sequence_is_followed() -> None:
    """OKX's `seqId` starts again: after 5 s its top of book is accepted as before."""
    async with FakeOKX([PAIR]) as okx, running(okx, pairs=PAIR, stale_after=60) as feed:
        await until(lambda: feed.serving(PAIR) == "okx")
        okx.walks[PAIR].update_id = 8
        begun = time.monotonic_ns()

        def followed() -> bool:
            entry = feed.composition.book.entry("okx", PAIR)
            return entry is not None and entry.top_channel == "bbo-tbt" and entry.top_ns > begun + 4 * 10**9

        await until(followed, 10 * SCALE)

        assert len(okx.connects) == 1


async def test_a_handler_without_bounds_is_safe_too() -> None:
    """Whatever its events contain: the feed checks them, and later ones are served."""
    async with FakeBinance([PAIR]) as fake:
        odd = _odd_events()

        class Reader(binance_handler.Reader):
            def read(self, frame: bytes) -> list[Event]:
                return [*(odd.pop() for _ in odd[:1]), *super().read(frame)]

        async with assembled(source_of(fake, reader=Reader), pairs=PAIR) as feed:
            await until(lambda: feed.serving(PAIR) == "binance")
            await until(lambda: not odd)
            await continues(feed, fake)
            dropped = feed.composition.book.of("binance").dropped

            assert dropped["bad_time"] == dropped["bad_key"] == dropped["bad_number"] == 2
            assert dropped["bad_event"] == 1


def _odd_events() -> list[Event]:
    year_9999 = 253_402_300_799_000
    return [
        Trade(named(PAIR), "aggTrade", year_9999, year_9999, "1", "1"),
        Trade(named(PAIR), "aggTrade", 2**80, None, "1", "1"),
        Trade(named(PAIR), "aggTrade", 1, None, "no price", "1"),
        Trade(named(PAIR), "aggTrade", 2, None, "1", "one"),
        Update(named(PAIR), "bookTicker", -2, None, bid="1"),
        Update(named(PAIR), "bookTicker", year_9999, year_9999, bid="1"),
        Update(named(PAIR), "x" * 1000, 1, None, bid="1"),
    ]
