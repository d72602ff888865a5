"""Bars of real pairs while venues come and go: whose they are, and where there are none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import msgspec

from crypto_stream.bus.messages import GetHistory, HistoryPage
from crypto_stream.market.bars import STORED, Bar, Gap
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from tests.engine.process import Engine, running
from tests.fakes import FakeBinance, FakeOKX
from tests.waiting import SCALE, until

SYMBOL = "btcusdt"
DAY_MS = 86_400_000
# The prices tell whose a bar is: so far apart that the guard would take them for two coins.
QUICK = {
    "stale_after": 1.0 * SCALE,
    "failback_after": 1.0 * SCALE,
    "pairs": SYMBOL,
    "jump_guard": 0,
}


@asynccontextmanager
async def trading(folder: Path) -> AsyncIterator[tuple[Engine, FakeBinance, FakeOKX]]:
    """Run an engine on two venues; the second one's prices are more than ten times the first one's."""
    async with FakeBinance([SYMBOL], price="5000") as binance, FakeOKX([SYMBOL], price="60000") as okx:
        options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
        async with running(folder, options, sources="binance,okx", **QUICK) as engine:
            yield engine, binance, okx


async def page(engine: Engine) -> HistoryPage:
    return msgspec.msgpack.decode(
        await engine.request(GetHistory(SYMBOL, "1s", limit=5000)), type=HistoryPage
    )


async def until_bars(engine: Engine, source: str, count: int) -> HistoryPage:
    """Wait for closed bars made of one source's trades alone."""
    async with asyncio.timeout(20 * SCALE):
        while True:
            got = await page(engine)
            if sum(bar.closed and bar.source == source for bar in got.bars) >= count:
                return got
            await asyncio.sleep(0.05)


def live(engine: Engine, source: str) -> bool:
    return any(status.name == source and status.state == "live" for status in engine.beats[-1].sources)


async def test_a_failover_mixes_no_prices(tmp_path: Path) -> None:
    """Each bar is of the source that served then; only the one in which it changed names both; no gap."""
    async with trading(tmp_path) as (engine, binance, _):
        begun = await until_bars(engine, "binance", 2)
        early = sum(bar.source == "okx" for bar in begun.bars)
        await until(lambda: live(engine, "okx"))
        await binance.fault("refuse")
        got = await until_bars(engine, "okx", early + 2)

    sources = [source for source, _ in groupby(bar.source for bar in got.bars)]
    first = sources.index("binance")  # at the start okx may be live a moment earlier, and serve
    assert sources[first:] in (["binance", "binance+okx", "okx"], ["binance", "okx"])
    assert sources[:first] in ([], ["okx+binance"], ["okx"], ["okx", "okx+binance"])
    assert all(float(bar.high) < 10_000 for bar in got.bars if bar.source == "binance")
    assert all(float(bar.low) > 50_000 for bar in got.bars if bar.source == "okx")
    assert got.gaps == []


async def test_stored_bars_of_the_future_hold_up_nothing(tmp_path: Path) -> None:
    """Bars go on at the venue's time at once; those of a day ahead are put aside, and so is their gap."""
    now_ms = time.time_ns() // 1_000_000
    ahead = now_ms - now_ms % DAY_MS + 2 * DAY_MS
    (tmp_path / "data").mkdir(mode=0o700)
    writer = SqliteHistoryWriter(tmp_path / "data" / "history.db")
    wrong = Bar(ahead, "9", "9", "9", "9", "1", 1, "binance")
    bars = [StoredBar(SYMBOL, interval, wrong) for interval in STORED]
    writer.write(Batch(bars, [(SYMBOL, Gap(ahead + 1000, None, "lost"))], now_ms))
    writer.close()
    async with trading(tmp_path) as (engine, _, _):
        got = await until_bars(engine, "binance", 3)

    assert all(now_ms - 60_000 < bar.time < now_ms + 600_000 for bar in got.bars if bar.source == "binance")
    assert all(gap.from_ < now_ms + 600_000 for gap in got.gaps)


async def test_where_nothing_is_live_there_is_a_gap_and_no_bar(tmp_path: Path) -> None:
    """It has the reason, begins after the last bar and ends before the next."""
    async with trading(tmp_path) as (engine, binance, okx):
        await until_bars(engine, "binance", 2)
        await okx.fault("refuse")
        await binance.fault("refuse")
        await until(lambda: not engine.serving("binance") and not engine.serving("okx"))
        during = await page(engine)
        await binance.fault("none")
        before = sum(bar.source == "binance" for bar in during.bars)
        got = await until_bars(engine, "binance", before + 2)

    (gap,) = [one for one in got.gaps if one.to is not None]
    assert [one.to for one in during.gaps] == [None]
    assert "binance" in gap.reason
    assert not [bar for bar in got.bars if gap.from_ < bar.time and bar.time + 1000 <= (gap.to or 0)]
    assert [bar.time for bar in got.bars if bar.time >= (gap.to or 0) - 1000]
