"""Quotes and bars of every venue's replayed recording, as text, against a recomputation that shares no code.

Binance and OKX have tests of their own (`test_replay`, `test_history_replay`). Skipped unless
CRYPTO_STREAM_RECORDINGS names the folder of recordings, which are not part of the project.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.handlers.test_conformance import VENUES as HANDLERS
from tests.handlers.test_recordings import recordings
from tests.process.charts import run, whole
from tests.process.programs import address, program
from tests.recomputed.figures import Figures, bars
from tests.recomputed.said import frames
from tests.recomputed.venues import VENUES
from tests.waiting import SCALE

__all__ = ["recordings"]  # the fixture

pytestmark = pytest.mark.timeout(240 * SCALE)

FILES = [
    "bitfinex/spot-20210417.ndjson", "bitget/singles.ndjson", "bitstamp/spot-20210417.ndjson",
    "bitstamp/spot-20220105.ndjson", "bybit/spot-20260809.ndjson",
    "coinbase/advanced-20260809-part1.ndjson.gz", "gate/v4-spot-20210422.ndjson",
    "gate/singles.ndjson", "htx/spot-20210417-part1.ndjson.gz",
    "htx/singles.ndjson", "kraken/v2-singles.ndjson", "kucoin/singles.ndjson", "mexc/singles.ndjson",
    "upbit/singles.ndjson",
]  # fmt: skip
ELSEWHERE = {"binance", "okx"}
# No frame of a spot pair was ever recorded of what we request there.
NOTHING_RECORDED = {"cryptocom", "gemini", "hyperliquid"}
LENGTHS = {"1s": 1_000, "1m": 60_000, "1d": 86_400_000}
_KEEP_ALL = {"CRYPTO_STREAM_KEEP_1S": "0", "CRYPTO_STREAM_KEEP_1M": "0"}


async def _replayed(http: httpx.AsyncClient) -> dict[str, Any]:
    """Return the source's status once the recording is over and its last quotes are published."""
    async with asyncio.timeout(120 * SCALE):
        while True:
            (source,) = (await http.get("/sources")).json()["sources"]
            quotes = (await http.get("/courses")).json()
            if source["state"] == "ended" and all(quote["source"] for quote in quotes):
                return dict(source)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", FILES)
async def test_a_replay_is_what_the_venue_said(tmp_path: Path, recordings: Path, name: str) -> None:
    """Every frame is counted; bid, ask and price of each instrument, and every bar, letter by letter."""
    file, venue = recordings / name, name.partition("/")[0]
    read, figures, count = VENUES[venue](), Figures(), 0
    for frame in frames(file):
        count += 1
        figures.take(read(frame))
    replay = ("--sources", f"replay:{venue}:{file}", "--replay-speed", "full")
    charts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    with program(run(tmp_path, *replay), tmp_path, **_KEEP_ALL) as running:
        async with httpx.AsyncClient(base_url=await address(running), timeout=20 * SCALE) as http:
            source = await _replayed(http)
            quotes = (await http.get("/courses")).json()
            for symbol in figures.trades:
                for interval in LENGTHS:
                    charts[symbol, interval] = (await whole(http, symbol, interval))[0]

    assert {each["symbol"]: (each["bid"], each["ask"], each["price"]) for each in quotes} == figures.final()
    assert figures.symbols
    assert sum(source["frames"].values()) == count
    assert source["frames"].get("malformed", 0) == 0
    for (symbol, interval), served in charts.items():
        expected = bars(figures.trades[symbol], LENGTHS[interval])
        assert [_plain(bar) for bar in served] == expected, (symbol, interval)


def _plain(bar: dict[str, Any]) -> dict[str, Any]:
    """Give a served bar in the form of `bars`: prices letter by letter, the volume as a number."""
    names = ("time", "open", "high", "low", "close", "trades")
    return {**{name: bar[name] for name in names}, "volume": Decimal(bar["volume"])}


def test_every_venue_is_recomputed_or_named() -> None:
    """A new venue needs a recording, or an entry that says that there is none."""
    assert {name.partition("/")[0] for name in FILES} | ELSEWHERE | NOTHING_RECORDED == HANDLERS.keys()
    assert VENUES.keys() | {"okx"} | NOTHING_RECORDED == HANDLERS.keys()
