"""The chart of a replayed recording, bar by bar, against a recomputation that shares no code with it.

Skipped unless CRYPTO_STREAM_RECORDINGS names the folder of recordings, which are not part of the project.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.handlers.test_recordings import received, recordings
from tests.process.charts import run, whole
from tests.process.programs import address, program
from tests.waiting import SCALE

__all__ = ["recordings"]  # the fixture

pytestmark = pytest.mark.timeout(240 * SCALE)

LENGTHS = {
    "1s": 1000, "5s": 5000, "15s": 15_000, "1m": 60_000, "5m": 300_000, "15m": 900_000,
    "1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000,
}  # fmt: skip
FULL = [
    "binance/spot-20210404-btc-eth-dot.ndjson", "binance/spot-20210417.ndjson",
    "binance/spot-20210814.ndjson", "binance/us-spot-20210405.ndjson", "binance/singles.ndjson",
    "okx/public-20220513.ndjson", "okx/okex-public-20210722.ndjson", "okx/singles.ndjson",
    "okx/documented-examples.ndjson",
]  # fmt: skip
# Single messages of several years in one file: counted from the newest, the first ones would be forgotten.
_KEEP_ALL = {"CRYPTO_STREAM_KEEP_1S": "0", "CRYPTO_STREAM_KEEP_1M": "0"}
AS_RECORDED = ["okx/public-20220513.ndjson", "binance/spot-20210814.ndjson"]


class Traded(NamedTuple):
    """One trade as the recording tells it; `number` grows with each trade of a pair."""

    symbol: str
    number: int
    time: int
    price: str
    size: str


def binance_trades(file: Path) -> Iterator[Traded]:
    """Read aggregate trades, of combined streams or of a raw one."""
    for text in received(file):
        message = json.loads(text)
        data = message.get("data", message)
        if isinstance(data, dict) and data.get("e") == "aggTrade":
            yield Traded(data["s"].lower(), data["a"], data["T"], data["p"], data["q"])


def okx_trades(file: Path) -> Iterator[Traded]:
    """Read trades of spot pairs: their ids have two parts."""
    for text in received(file):
        message = {} if text == "pong" else json.loads(text)
        about = message.get("arg", {})
        if about.get("channel") == "trades" and len(about["instId"].split("-")) == 2:
            for one in message.get("data", []):
                symbol = about["instId"].replace("-", "").lower()
                yield Traded(symbol, int(one["tradeId"]), int(one["ts"]), one["px"], one["sz"])


def in_bars(trades: Iterator[Traded]) -> dict[str, list[Traded]]:
    """Leave out what a venue repeats, and what comes after a trade of a later second."""
    kept: dict[str, list[Traded]] = {}
    numbers: dict[str, int] = {}
    for trade in trades:
        if trade.number <= numbers.get(trade.symbol, -1):
            continue
        numbers[trade.symbol] = trade.number
        mine = kept.setdefault(trade.symbol, [])
        if not mine or trade.time // 1000 >= mine[-1].time // 1000:
            mine.append(trade)
    return kept


def computed(trades: list[Traded], length: int) -> list[dict[str, Any]]:
    """Put trades into buckets of `length` ms and take first, highest, lowest, last and the exact sum."""
    buckets: dict[int, list[Traded]] = {}
    for trade in trades:
        buckets.setdefault(trade.time - trade.time % length, []).append(trade)
    return [
        {
            "time": at,
            "open": inside[0].price,
            "high": max((one.price for one in inside), key=Decimal),
            "low": min((one.price for one in inside), key=Decimal),
            "close": inside[-1].price,
            "volume": sum((Decimal(one.size) for one in inside), Decimal(0)),
            "trades": len(inside),
        }
        for at, inside in sorted(buckets.items())
    ]


def plain(bars: list[dict[str, Any]], source: str) -> list[dict[str, Any]]:
    """Give served bars in the form of `computed`: prices letter by letter, the volume as a number."""
    assert {bar["source"] for bar in bars} <= {source}
    names = ("time", "open", "high", "low", "close", "trades")
    return [{name: bar[name] for name in names} | {"volume": Decimal(bar["volume"])} for bar in bars]


async def _charts(
    folder: Path, venue: str, file: Path, speed: str, symbols: list[str]
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Play a recording to its end; return what /history then has of each symbol and interval."""
    replay = ("--sources", f"replay:{venue}:{file}", "--replay-speed", speed)
    with program(run(folder, *replay), folder, **_KEEP_ALL) as running:
        async with httpx.AsyncClient(base_url=await address(running), timeout=20 * SCALE) as http:
            async with asyncio.timeout(150 * SCALE):
                while True:
                    if (await http.get("/sources")).json()["sources"][0]["state"] == "ended":
                        break
                    await asyncio.sleep(0.05)
            return {
                (symbol, interval): (await whole(http, symbol, interval))[0]
                for symbol in symbols
                for interval in LENGTHS
            }


@pytest.mark.parametrize(
    ("name", "speed"), [*((name, "full") for name in FULL), *((name, "recorded") for name in AS_RECORDED)]
)
async def test_the_chart_of_a_replay_is_the_recomputed_one(
    tmp_path: Path, recordings: Path, name: str, speed: str
) -> None:
    """Every bar of every interval, in exact decimals; nothing more and nothing less."""
    file, venue = recordings / name, name.partition("/")[0]
    read = binance_trades if venue == "binance" else okx_trades
    trades = in_bars(read(file))
    served = await _charts(tmp_path, venue, file, speed, list(trades))

    assert trades
    for (symbol, interval), bars in served.items():
        expected = computed(trades[symbol], LENGTHS[interval])
        assert plain(bars, f"replay:{venue}") == expected, (symbol, interval)
