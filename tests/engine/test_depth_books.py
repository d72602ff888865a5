"""Which books an engine keeps, and how long orders wait for one, on fake venues: without a bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crypto_stream.engine import depth
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.depth import TOO_MANY, DepthBooks
from crypto_stream.feed.books import AWAITED
from crypto_stream.feed.depth import FULL
from crypto_stream.market.prices import LeftOut
from tests.fakes import FakeBinance, FakeOKX
from tests.feed.assembled import assembled, source_of
from tests.waiting import DEADLINE_S, until

PAIR, OTHER = "btcusdt", "ethusdt"


class Books(DepthBooks):
    """They count how often they determine which ones are kept."""

    rounds = 0

    def _apply(self, now_ns: int) -> None:
        self.rounds += 1
        super()._apply(now_ns)


@asynccontextmanager
async def books_of(fake: FakeBinance, **changed: Any) -> AsyncIterator[Books]:
    """Keep the books of a venue that delivers the prices of both instruments."""
    async with assembled(source_of(fake, **changed), pairs=f"{PAIR},{OTHER}") as feed:
        await until(lambda: all(feed.serving(symbol) == fake.name for symbol in (PAIR, OTHER)))
        activity = Activity(feed.composition.live_prices, feed.composition.loop.sources)
        books = Books(feed.composition, activity)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(books.run())
            yield books
            task.cancel()


async def test_who_watches_comes_before_who_asks_now_and_then() -> None:
    """Requests keep the only book that a venue allows until somebody watches another, and no longer."""
    async with FakeBinance([PAIR, OTHER]) as fake, books_of(fake, books=1) as books:
        books.need(PAIR)
        await until(lambda: books.at(fake.name, PAIR))
        books.watch(OTHER)
        await until(lambda: books.at(fake.name, OTHER))
        books.need(PAIR)
        left_out = books.current(PAIR).left_out
        kept = books.at(fake.name, OTHER)

    assert LeftOut(fake.name, FULL) in left_out
    assert kept is not None


async def test_a_book_that_never_comes_is_awaited_for_three_seconds() -> None:
    """However often it is needed meanwhile; the venue has neither sent nor refused it."""
    async with FakeBinance([PAIR, OTHER]) as fake, books_of(fake) as books:
        fake.lost_books = 10**9
        begin_s = time.monotonic()
        books.need(PAIR)
        awaited = books.awaits(fake.name, PAIR)
        async with asyncio.timeout(DEADLINE_S):
            while books.awaits(fake.name, PAIR):
                books.need(PAIR)
                await asyncio.sleep(0.01)
        waited_s = time.monotonic() - begin_s
        left_out = books.current(PAIR).left_out

    assert awaited
    assert waited_s >= 3.0
    assert LeftOut(fake.name, AWAITED) in left_out


async def test_while_nothing_changes_nothing_is_determined_anew() -> None:
    """Neither by time, nor by orders in an instrument whose book is kept."""
    async with FakeBinance([PAIR, OTHER]) as fake, books_of(fake) as books:
        books.watch(OTHER)
        books.need(PAIR)
        await until(lambda: books.at(fake.name, PAIR) and books.at(fake.name, OTHER))
        rounds = books.rounds
        for _ in range(5):
            books.need(PAIR)
            await asyncio.sleep(0.1)

    assert books.rounds == rounds


async def test_an_order_beyond_what_can_be_kept_costs_nothing_and_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its book is kept as soon as another is not needed any more, if it is still needed itself."""
    monkeypatch.setattr(depth, "MOST", 1)
    async with FakeBinance([PAIR, OTHER]) as fake, books_of(fake) as books:
        monkeypatch.setattr(depth, "_LEASE_NS", 500_000_000)
        books.need(PAIR)
        await until(lambda: books.current(PAIR).venues)
        rounds = books.rounds
        for _ in range(10):
            books.need(OTHER)
        after = books.rounds
        monkeypatch.setattr(depth, "_LEASE_NS", 10**12)
        books.need(OTHER)
        await until(lambda: books.current(OTHER).venues)
        gone = books.current(PAIR).left_out

    assert after == rounds
    assert gone == [LeftOut(fake.name, TOO_MANY)]


async def test_a_book_that_is_needed_no_more_is_kept_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it was needed before: the last time counts."""
    monkeypatch.setattr(depth, "_LEASE_NS", 400_000_000)
    async with FakeBinance([PAIR, OTHER]) as fake, books_of(fake) as books:
        books.need(PAIR)
        await until(lambda: books.current(PAIR).venues)
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < 1.0:
            books.need(PAIR)
            await asyncio.sleep(0.01)
        kept = books.current(PAIR).venues
        await until(lambda: not books.current(PAIR).venues)

    assert kept


async def test_a_source_that_carries_an_instrument_only_now_gives_its_book() -> None:
    """Nobody has to ask for it again."""
    async with FakeBinance([PAIR, OTHER]) as binance, FakeOKX([PAIR, OTHER]) as okx:
        small = source_of(binance, instruments=1)
        async with assembled(small, source_of(okx), pairs=f"{OTHER},{PAIR}", standby="all") as feed:
            await until(lambda: feed.state("okx") == feed.state("binance") == "live")
            activity = Activity(feed.composition.live_prices, feed.composition.loop.sources)
            books = DepthBooks(feed.composition, activity)
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(books.run())
                books.watch(PAIR)
                await until(lambda: [each.source for each in books.current(PAIR).venues] == ["okx"])
                feed.composition.remove({OTHER})
                feed.composition.use_room("binance")
                await until(lambda: len(books.current(PAIR).venues) == 2)
                found = {each.source for each in books.current(PAIR).venues}
                task.cancel()

    assert found == {"binance", "okx"}
