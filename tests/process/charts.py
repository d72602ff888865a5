"""Who looks at charts: one keeps a series as the contract says, one only writes down what it is told."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import socketio

from tests.waiting import DEADLINE_S

LIMIT = 5_000
Json = dict[str, Any]


def run(folder: Path, *more: str) -> list[str]:
    """Return the command of a whole program on a free port, with its files in `folder`."""
    own = ["--port", "0", "--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    return ["-m", "crypto_stream", "run", *own, *(more or ("--sources", "synthetic"))]


async def page(http: httpx.AsyncClient, symbol: str, **asked: Any) -> Json:
    """Fetch a page of the history, asking again while the engine is away."""
    async with asyncio.timeout(3 * DEADLINE_S):
        while True:
            answer = await http.get(f"/history/{symbol}", params=asked)
            if answer.status_code != 503:
                answer.raise_for_status()
                return dict(answer.json())
            await asyncio.sleep(0.05)


def starts(log: str) -> list[int]:
    """Read the `seq` at which each run of the engine began out of a program's log."""
    return [int(found) for found in re.findall(r"engine started .*\bseq=(\d+)", log)]


async def whole(http: httpx.AsyncClient, symbol: str, interval: str) -> tuple[list[Json], list[Json]]:
    """Fetch all bars and gaps of a series, oldest first, page by page from the newest on."""
    bars: list[Json] = []
    gaps: dict[int, Json] = {}
    asked: Json = {}
    while True:
        got = await page(http, symbol, interval=interval, limit=LIMIT, **asked)
        bars = [*got["bars"], *bars]
        gaps |= {gap["from"]: gap for gap in got["gaps"]}
        if got["older"] is None:
            return bars, [gaps[at] for at in sorted(gaps)]
        asked = {"to": got["older"]}


class Watcher:
    """One viewer's notes: closed bars and quoted prices, with when each was first told (wall clock, ms)."""

    def __init__(self, session: aiohttp.ClientSession, interval: str) -> None:
        """Prepare a viewer of bars by `interval`."""
        self.interval = interval
        self.closed: dict[tuple[str, int], tuple[Json, int]] = {}
        self.changed: list[tuple[Json, Json, int]] = []  # told so (when), then otherwise
        self.prices: dict[tuple[str, int], tuple[str, int]] = {}  # by symbol and the quote's time
        self.events: asyncio.Queue[Json] = asyncio.Queue()
        self.client = socketio.AsyncClient(reconnection=False, http_session=session)
        self.client.on("quotes", self._on_quotes)
        self.client.on("candles", self._on_candles)

    def told_since(self, seq: int) -> int:
        """Count the closed bars told as of this `seq` or later."""
        return sum(bar["seq"] >= seq for bar, _ in self.closed.values())

    async def _on_quotes(self, quotes: list[Json]) -> None:
        now_ms = time.time_ns() // 1_000_000
        for quote in quotes:
            if not quote["stale"]:
                self.prices.setdefault((quote["symbol"], quote["time"]), (quote["price"], now_ms))

    async def _on_candles(self, live: Json) -> None:
        now_ms = time.time_ns() // 1_000_000
        for bar in live["bars"]:
            if bar["closed"]:
                before, told_ms = self.closed.setdefault(
                    (live["symbol"], bar["time"]), ({**bar, "seq": live["seq"]}, now_ms)
                )
                if {**before, "seq": 0} != {**bar, "seq": 0}:
                    self.changed.append((before, bar, told_ms))
        self.events.put_nowait(live)


@asynccontextmanager
async def watching(url: str, symbols: Sequence[str], interval: str) -> AsyncIterator[Watcher]:
    """Connect a viewer of the quotes and bars of `symbols`; it must not be cut off."""
    async with aiohttp.ClientSession() as session:
        watcher = Watcher(session, interval)
        await watcher.client.connect(url, transports=["websocket"])
        try:
            await _subscribe(watcher, {"symbols": list(symbols), "interval_ms": 0, "candles": interval})
            yield watcher
            assert watcher.client.connected
        finally:
            await watcher.client.disconnect()


async def _subscribe(watcher: Watcher, wish: Json) -> None:
    """Wish for something, as soon as the gateway has found the engine."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await watcher.client.call("subscribe", wish, timeout=DEADLINE_S)
            if answer.get("code") != "engine_unreachable":
                assert answer["ok"], answer
                return
            await asyncio.sleep(0.02)


class Chart:
    """One series, kept by the rules of the contract: pages, and what comes live."""

    def __init__(self, http: httpx.AsyncClient, symbol: str, interval: str) -> None:
        """Hold nothing yet."""
        self.bars: dict[int, Json] = {}
        self.fetched: list[str] = []  # why each page was
        self.joined = 0  # bars that came live and not on a page
        self.contradictions: list[tuple[Json | None, Json | None]] = []
        self._http = http
        self._symbol = symbol
        self._interval = interval
        self._epoch = ""
        self._seq = -1

    async def begin(self, reason: str) -> None:
        """Fetch the newest page and hold it; what was closed before must stand in it unchanged."""
        got = await page(self._http, self._symbol, interval=self._interval, limit=LIMIT)
        self.fetched.append(reason)
        self._epoch, self._seq = got["epoch"], got["seq"]
        fresh = {bar["time"]: bar for bar in got["bars"]}
        assert len(fresh) == len(got["bars"])
        for at, bar in self.bars.items():
            if bar["closed"] and fresh.get(at) != bar:
                self.contradictions.append((bar, fresh.get(at)))
        self.bars = fresh

    async def take(self, live: Json) -> None:
        """Join one `candles` event."""
        if live["epoch"] != self._epoch:
            await self.begin("epoch")
        elif live["seq"] >= self._seq:
            if self._missed(live):
                await self.begin("missed")
                return
            self._seq = live["seq"]
            for bar in live["bars"]:
                self._put(bar)

    def _missed(self, live: Json) -> bool:
        if not live["bars"]:
            return False
        first, previous = live["bars"][0]["time"], live["previous"]
        if previous is not None and any(previous < at < first for at in self.bars):
            return True  # the engine was killed before it had stored them
        if first <= max(self.bars, default=-1):
            return False
        last = self.bars[max(self.bars)] if self.bars else None
        return last is None or not last["closed"] or live["previous"] != last["time"]

    def _put(self, bar: Json) -> None:
        held = self.bars.get(bar["time"])
        if held is not None and held["closed"]:
            if bar["closed"] and held != bar:
                self.contradictions.append((held, bar))
            return
        self.joined += held is None
        self.bars[bar["time"]] = bar
