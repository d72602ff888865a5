"""Best and index as gateways are told of them by a real engine on three fake venues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from crypto_stream.bus.messages import GetHistory, GetTopic, HistoryPage, RequestBody, TopicUpdate, Watch
from crypto_stream.errors import RefusedError
from crypto_stream.market.best import Best
from crypto_stream.market.index import Index
from tests.engine.process import Engine, running
from tests.fakes import FakeBinance, FakeKraken, FakeOKX
from tests.fakes.venue import FakeVenue
from tests.waiting import DEADLINE_S, SCALE

PAIR = "btcusdt"
_Value = TypeVar("_Value", Best, Index, HistoryPage)


async def ask(engine: Engine, body: RequestBody, kind: type[_Value]) -> _Value:
    """Send a request, and return its answer."""
    return msgspec.msgpack.decode(await engine.request(body), type=kind)


async def index_of(engine: Engine, *, stale: bool) -> Index:
    """Ask for the index until it is live, or stale."""
    found = await ask(engine, GetTopic("index", PAIR), Index)
    while found.stale is not stale:
        found = await ask(engine, GetTopic("index", PAIR), Index)
    return found


@asynccontextmanager
async def venues(folder: Path, **given: Any) -> AsyncIterator[tuple[Engine, list[FakeVenue]]]:
    """Run an engine that is connected to three fake venues."""
    async with FakeBinance([PAIR]) as binance, FakeOKX([PAIR]) as okx, FakeKraken([PAIR]) as kraken:
        fakes: list[FakeVenue] = [binance, okx, kraken]
        options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in fakes}
        quick = {"stale_after": 1.0 * SCALE, "pairs": PAIR, "standby": "all", **given}
        async with running(folder, options, sources="binance,okx,kraken,synthetic", **quick) as engine:
            yield engine, fakes


@pytest.mark.timeout(12 * DEADLINE_S)
async def test_the_index_is_told_recorded_and_stale_when_venues_go(tmp_path: Path) -> None:
    """With all its parts; its bars are read by a name of their own, and a gap says why there are none."""
    async with venues(tmp_path) as (engine, fakes):
        live = await index_of(engine, stale=False)
        best = await ask(engine, GetTopic("best", PAIR), Best)
        await engine.request(Watch({"index": [PAIR], "best": [PAIR]}))
        told: set[str] = set()
        while told != {"index", "best"}:
            await engine.request(GetTopic("best", PAIR))
            told = {update.topic for update in engine.all(TopicUpdate)}
        page = await ask(engine, GetHistory(f"index:{PAIR}", "1s"), HistoryPage)
        while len([bar for bar in page.bars if bar.closed]) < 2:
            page = await ask(engine, GetHistory(f"index:{PAIR}", "1s"), HistoryPage)
        await fakes[1].fault("refuse")
        stale = await index_of(engine, stale=True)
        while not page.gaps:
            page = await ask(engine, GetHistory(f"index:{PAIR}", "1s", from_ms=0), HistoryPage)

    assert [each.source for each in live.constituents] == ["binance", "okx", "kraken"]
    assert live.price == f"{Decimal(live.price or 0):.2f}"  # the venues' finest tick
    assert best.sources == ["binance", "okx", "kraken"]
    assert {bar.source for bar in page.bars} == {"index"}
    assert all(60_000 < Decimal(bar.close) < 61_000 for bar in page.bars)
    assert stale.price is not None
    assert stale.reason == "2 sources are usable, 3 needed"
    assert [each.source for each in stale.left_out] == ["okx"]
    assert page.gaps[-1].reason == stale.reason


async def test_what_too_few_sources_carry_has_no_bars_of_an_index(tmp_path: Path) -> None:
    """The index itself says what it lacks."""
    async with venues(tmp_path, index_min=4) as (engine, _):
        value = await index_of(engine, stale=True)
        synthetic = await ask(engine, GetTopic("index", "ticker_00"), Index)
        for name in (f"index:{PAIR}", "index:ticker_00", "index:nothing"):
            with pytest.raises(RefusedError) as refused:
                await engine.request(GetHistory(name, "1s"))

            assert refused.value.code == "unknown_symbol"

    assert (value.price, value.stale) == (None, True)
    assert value.reason is not None
    assert value.reason.endswith("4 needed")
    assert synthetic.stale
