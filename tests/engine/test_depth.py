"""Books as gateways are told of them by a real engine on fake venues: only while they are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from crypto_stream.bus.messages import ChangeInstruments, GetTopic, TopicUpdate, Watch
from crypto_stream.engine.depth import FAR
from crypto_stream.errors import RefusedError
from crypto_stream.market.depth import NO_BOOK, Depth
from crypto_stream.market.prices import LeftOut
from tests.engine.process import Engine, running
from tests.fakes import (
    FAKES,
    FakeBinance,
    FakeBitfinex,
    FakeBitget,
    FakeBybit,
    FakeCoinbase,
    FakeGemini,
    FakeHyperliquid,
    FakeKraken,
    FakeOKX,
    FakeVenue,
)
from tests.waiting import DEADLINE_S, SCALE, until

PAIR, OTHER = "btcusdt", "ethusdt"
WITH_BOOKS = ["binance", "okx", "kraken", "coinbase"]
WHOLE = ["bitstamp", "cryptocom", "gate", "htx", "kucoin", "mexc", "upbit"]


async def ask(engine: Engine, symbol: str = PAIR) -> Depth:
    """Ask for the books of an instrument."""
    return msgspec.msgpack.decode(await engine.request(GetTopic("depth", symbol)), type=Depth)


async def with_all(engine: Engine, count: int) -> Depth:
    """Ask until so many venues' books are there."""
    found = await ask(engine)
    while len(found.venues) < count:
        found = await ask(engine)
    return found


def books_open(fakes: list[FakeVenue]) -> list[str]:
    """Name the venues that somebody takes books from."""
    return [
        fake.name
        for fake in fakes
        if any(channel == fake.book_channel for client in fake.clients for channel, _ in client.streams)
    ]


def booked(fake: FakeVenue) -> set[str]:
    """Return the symbols whose books somebody takes from a venue."""
    streams = {stream for client in fake.clients for stream in client.streams}
    return {symbol for channel, symbol in streams if channel == fake.book_channel}


@asynccontextmanager
async def venues(folder: Path, *fakes: FakeVenue) -> AsyncIterator[Engine]:
    """Run an engine that is connected to fake venues."""
    options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in fakes}
    names = ",".join(fake.name for fake in fakes)
    async with running(
        folder,
        options,
        sources=f"{names},synthetic",
        stale_after=1.0 * SCALE,
        pairs="BTC-USDT",
        standby="all",
    ) as engine:
        yield engine


@pytest.mark.timeout(12 * DEADLINE_S)
async def test_books_of_all_venues_while_somebody_watches(tmp_path: Path) -> None:
    """On connections of their own, which end with the last one who looks; a venue without books is named."""
    async with (
        FakeBinance([PAIR]) as binance,
        FakeOKX([PAIR]) as okx,
        FakeKraken([PAIR]) as kraken,
        FakeCoinbase([PAIR]) as coinbase,
        FakeHyperliquid([PAIR]) as hyperliquid,
    ):
        fakes: list[FakeVenue] = [binance, okx, kraken, coinbase, hyperliquid]
        async with venues(tmp_path, *fakes) as engine:
            await until(lambda: engine.serving("binance"))
            before = books_open(fakes)
            found = await with_all(engine, 4)
            await engine.request(Watch({"depth": [PAIR]}))
            told = 0
            while told < 3:
                told = len(engine.all(TopicUpdate))
                await ask(engine)
            while_watched = books_open(fakes)
            await engine.request(Watch({}))
            await until(lambda: not books_open(fakes), 60.0)

        violations = [sentence for fake in fakes for sentence in fake.violations]

    assert before == []
    assert while_watched == WITH_BOOKS
    assert [each.source for each in found.venues] == WITH_BOOKS
    assert found.left_out == [LeftOut("hyperliquid", NO_BOOK)]
    assert all(each.bids and each.asks for each in found.venues)
    assert {source for level in (*found.bids, *found.asks) for source in level.sources} <= set(WITH_BOOKS)
    assert sorted(found.bids, key=lambda each: -Decimal(each.price)) == found.bids
    assert violations == []


@pytest.mark.timeout(12 * DEADLINE_S)
@pytest.mark.parametrize("name", WHOLE)
async def test_a_venue_that_sends_its_first_levels_whole(tmp_path: Path, name: str) -> None:
    """Its book is there while somebody watches, each side in order, and follows its quotes."""
    async with FAKES[name]([PAIR]) as fake, venues(tmp_path, fake) as engine:
        await until(lambda: engine.serving(name))
        await engine.request(Watch({"depth": [PAIR]}))
        found = await with_all(engine, 1)
        first = found.venues[0]
        while found.venues[:1] == [first]:
            found = await with_all(engine, 1)

    (book,) = found.venues
    bids, asks = ([Decimal(price) for price, _ in side] for side in (book.bids, book.asks))
    assert book.source == name
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert len(bids) > 2
    assert bids[0] < asks[0]
    assert fake.violations == []


@pytest.mark.timeout(12 * DEADLINE_S)
@pytest.mark.parametrize("factor", ["10", "0.1", "1.02"])
async def test_a_book_that_lies_does_not_count(tmp_path: Path, factor: str) -> None:
    """It flows, but contradicts the same venue's quotes: the ladder has the others alone, and says why."""
    async with FakeBinance([PAIR]) as liar, FakeOKX([PAIR]) as okx, venues(tmp_path, liar, okx) as engine:
        await until(lambda: engine.serving("binance"))
        liar.book(liar.walks[PAIR]).factor = Decimal(factor)
        await engine.request(Watch({"depth": [PAIR]}))
        found = await ask(engine)
        while LeftOut("binance", FAR) not in found.left_out or not found.venues:
            found = await ask(engine)
        liar.books[PAIR].factor = Decimal(1)
        again = await with_all(engine, 2)

    assert [each.source for each in found.venues] == ["okx"]
    assert {source for level in (*found.bids, *found.asks) for source in level.sources} == {"okx"}
    assert [each.source for each in again.venues] == ["binance", "okx"]


@pytest.mark.timeout(12 * DEADLINE_S)
@pytest.mark.parametrize(
    "kind", [FakeOKX, FakeKraken, FakeCoinbase, FakeBybit, FakeBitfinex, FakeGemini, FakeBitget]
)
async def test_a_lost_frame_is_noticed_and_the_book_rebuilt(tmp_path: Path, kind: type[FakeVenue]) -> None:
    """Meanwhile the venue is left out, and the reason says what happened; its prices go on."""
    async with kind([PAIR], rate=50) as fake, venues(tmp_path, fake) as engine:
        await with_all(engine, 1)
        await engine.request(Watch({"depth": [PAIR]}))
        reasons: set[str] = set()
        number = 0
        while not reasons:
            if fake.books[PAIR].number > number + 100:  # a few frames may say nothing that a checksum covers
                fake.lost_books, number = 5, fake.books[PAIR].number
            for update in engine.all(TopicUpdate):
                value = msgspec.msgpack.decode(update.payload, type=Depth)
                reasons |= {each.reason for each in value.left_out}
            await ask(engine)
        fake.lost_books = 0
        again = await with_all(engine, 1)
        serving = engine.serving(fake.name)

    assert reasons & {"the checksum is wrong"} or any(
        text.startswith(("changes are missing", "frames were lost", "a frame was lost")) for text in reasons
    )
    assert again.venues[0].source == fake.name
    assert serving


@pytest.mark.timeout(12 * DEADLINE_S)
async def test_books_follow_instruments_that_come_and_go(tmp_path: Path) -> None:
    """An added one has its book, whose subscription ends when it is removed; the others' go on."""
    async with FakeBinance([PAIR, OTHER]) as fake, venues(tmp_path, fake) as engine:
        await with_all(engine, 1)
        await engine.request(ChangeInstruments([OTHER], []))
        await until(lambda: engine.serving("binance", OTHER))
        await engine.request(Watch({"depth": [PAIR, OTHER]}))
        await until(lambda: any(update.key == OTHER for update in engine.all(TopicUpdate)))
        both = booked(fake)
        await engine.request(ChangeInstruments([], [OTHER]))
        await until(lambda: booked(fake) == {PAIR})
        with pytest.raises(RefusedError) as refused:
            await ask(engine, OTHER)
        found = await with_all(engine, 1)

    assert both == {PAIR, OTHER}
    assert refused.value.code == "unknown_key"
    assert [each.source for each in found.venues] == ["binance"]
    assert fake.violations == []


async def test_an_instrument_without_books_says_why(tmp_path: Path) -> None:
    """Generated prices have none; what does not exist is refused."""
    async with FakeBinance([PAIR]) as fake, venues(tmp_path, fake) as engine:
        value = await ask(engine, "ticker_00")
        with pytest.raises(RefusedError) as refused:
            await ask(engine, "nothing")

    assert value.stale
    assert value.left_out in ([LeftOut("synthetic", NO_BOOK)], [])
    assert refused.value.code == "unknown_key"
