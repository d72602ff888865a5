"""A venue that gives prices but no trades to make bars of: the chart has a gap, and everybody says why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import msgspec
import pytest

from crypto_stream.bus.messages import GetHistory, HistoryPage
from tests.engine.process import Engine
from tests.engine.process import running as engine_running
from tests.fakes import FakeBinance, FakeOKX
from tests.process.charts import Json, page, run
from tests.process.programs import address, program
from tests.waiting import SCALE

SYMBOL = "btcusdt"
WHY = "binance: no trades although it is traded"


async def bars(engine: Engine) -> HistoryPage:
    return msgspec.msgpack.decode(
        await engine.request(GetHistory(SYMBOL, "1s", limit=5000)), type=HistoryPage
    )


@pytest.mark.parametrize("fault", ["silent:trade", "same:trade", "broken:trade", "old:trade"])
async def test_where_nobody_else_trades_there_is_a_gap_with_its_reason(fault: str, tmp_path: Path) -> None:
    """It begins after the last bar and ends with the next trade; /venues, /sources and /readyz say it too."""
    async with FakeBinance([SYMBOL]) as binance:
        options = ["--sources", "binance", "--pairs", SYMBOL, "--stale-after", "1.5"]
        environment = {
            "CRYPTO_STREAM_BINANCE_URL": binance.url,
            "CRYPTO_STREAM_BINANCE_REST_URL": binance.rest_url,
        }
        with program(run(tmp_path, *options), tmp_path, **environment) as running:
            async with httpx.AsyncClient(base_url=await address(running)) as http:
                await until_page(http, lambda got: len(got["bars"]) >= 2)
                await binance.fault(fault)
                during = await until_page(http, lambda got: bool(got["gaps"]) and not got["gaps"][-1]["to"])
                venues = (await http.get(f"/venues/{SYMBOL}")).json()
                async with asyncio.timeout(5 * SCALE):
                    while not (ready := (await http.get("/readyz")).json())["degraded"]:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                lacking = (await http.get("/sources")).json()["sources"][0]["lacking"]
                metrics = (await http.get("/metrics")).text.splitlines()
                course = (await http.get(f"/courses/{SYMBOL}")).json()
                await binance.fault("none")
                after = await until_page(
                    http,
                    lambda got: got["gaps"][-1]["to"] and got["bars"][-1]["time"] > got["gaps"][-1]["to"],
                )

    (gap,) = [each for each in after["gaps"] if each["reason"] == WHY]
    assert during["gaps"][-1] == {"from": gap["from"], "to": None, "reason": WHY}
    assert max(bar["time"] for bar in during["bars"]) <= gap["from"]
    assert (venues["reason"], venues["stale"], venues["serving"]) == (WHY, False, "binance")
    assert venues["sources"][0]["reason"] == "no trades although it is traded"
    assert f"{WHY}: {SYMBOL}" in ready["degraded"]
    assert lacking == {SYMBOL: "no trades although it is traded"}
    assert 'crypto_stream_source_lacking{source="binance"} 1.0' in metrics
    assert not course["stale"]
    assert "channel fell silent" in (tmp_path / "app.log").read_text()


@pytest.mark.parametrize("fault", ["silent:trade", "old:trade"])
async def test_where_another_venue_trades_bars_go_on(fault: str, tmp_path: Path) -> None:
    """The gap ends where the other venue begins to serve."""
    async with FakeBinance([SYMBOL]) as binance, FakeOKX([SYMBOL]) as okx:
        options = {fake.name: {"url": fake.url, "rest_url": fake.rest_url} for fake in (binance, okx)}
        quick = {"stale_after": 1.5, "pairs": SYMBOL, "sources": "binance,okx"}
        async with engine_running(tmp_path, options, **quick) as engine:
            await until_source(engine, "binance")
            await binance.fault(fault)
            got = await until_source(engine, "okx")

    (gap,) = [each for each in got.gaps if each.reason == WHY]
    assert gap.to is not None


async def until_source(engine: Engine, source: str) -> HistoryPage:
    """Wait until the newest of several bars is made of one source's trades."""
    async with asyncio.timeout(20 * SCALE):
        while True:
            got = await bars(engine)
            if len(got.bars) > 2 and got.bars[-1].source == source:
                return got
            await asyncio.sleep(0.05)


async def until_page(http: httpx.AsyncClient, holds: object) -> Json:
    """Ask for the seconds of the history until they are as wanted."""
    assert callable(holds)
    async with asyncio.timeout(20 * SCALE):
        while True:
            got = await page(http, SYMBOL, interval="1s", limit=5000)
            if holds(got):
                return got
            await asyncio.sleep(0.1)
