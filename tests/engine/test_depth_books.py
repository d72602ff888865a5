"""Which books an engine keeps, and how long orders wait for one, on fake venues: without a bus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from crypto_stream.engine.activity import Activity
from crypto_stream.engine.depth import DepthBooks
from crypto_stream.feed.books import AWAITED
from crypto_stream.feed.depth import FULL
from crypto_stream.market.prices import LeftOut
from tests.fakes import FakeBinance
from tests.feed.assembled import assembled, source_of
from tests.waiting import DEADLINE_S, until

PAIR, OTHER = "btcusdt", "ethusdt"


@asynccontextmanager
async def books_of(fake: FakeBinance, **changed: Any) -> AsyncIterator[DepthBooks]:
    """Keep the books of a venue that delivers the prices of both instruments."""
    async with assembled(source_of(fake, **changed), pairs=f"{PAIR},{OTHER}") as feed:
        await until(lambda: all(feed.serving(symbol) == fake.name for symbol in (PAIR, OTHER)))
        activity = Activity(feed.composition.live_prices, feed.composition.loop.sources)
        books = DepthBooks(feed.composition, activity)
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
