"""Viewers who watch all prices whatever happens, and judge what they see."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import socketio

# Prices stay live for 5 s without a word of the engine. What was live, as seen here, may be a flush old.
_EARLY_S = 4.7
# Instruments that change each second, so that their silence is one of the installation.
LIVELY = ("ticker_00", "ticker_50", "btcusdt")
# The header by which a proxy may say which gateway it has chosen.
SERVED_BY = "Served-By"


class Viewer:
    """One of them: what it has seen, and what it should not have seen (`faults`).

    `connects`, `greetings` and `snapshots` count events, `stale` quotes that turned stale, `pause_s` is the
    longest time without a quote, `gateways` those that served it, all since `begin`. `heard_s` is when it
    heard of a quote last, `gateway` who serves it, `whole_s` when all `lively` instruments were live again.
    """

    def __init__(self, session: aiohttp.ClientSession, lively: Sequence[str] = LIVELY) -> None:
        """Watch over connections of a session."""
        self.lively = lively
        self.gateway = ""
        self.gateways: set[str] = set()
        self.whole_s = 0.0
        self.client = socketio.AsyncClient(
            http_session=session, reconnection_delay=0.1, reconnection_delay_max=0.5
        )
        self.faults: list[str] = []
        self.connects = self.greetings = self.snapshots = self.stale = 0
        self.pause_s = 0.0
        self._epoch: str | None = None
        self._is_early = False  # the gateway has not reached the engine yet, and will greet again
        self._seqs: dict[str, int] = {}
        self._live_s: dict[str, float] = {}
        self._is_live: dict[str, bool] = {}
        self.heard_s = time.monotonic()
        self.client.on("connect", self._connected)
        self.client.on("hello", self._greeted)
        self.client.on("snapshot", self._shown)
        self.client.on("quotes", self._quoted)

    def begin(self) -> None:
        """Count from here on."""
        self.pause_s, self.stale = 0.0, 0
        self.gateways = {self.gateway}
        self.connects = self.greetings = self.snapshots = 0

    def live_since(self, since_s: float) -> bool:
        """Return whether it is connected, and has had live prices of the lively instruments since then."""
        times = [self._live_s.get(symbol, 0.0) for symbol in self.lively]
        return bool(self.client.connected) and all(self._is_live.values()) and min(times) > since_s

    async def move(self, url: str) -> None:
        """Connect anew, wherever that leads."""
        await self.client.disconnect()
        await self.client.connect(url, transports=["websocket"])

    def served_by(self, gateway: str) -> None:
        """Note who serves it from now on."""
        self.gateway = gateway
        self.gateways.add(gateway)

    def unexplained(self) -> int:
        """Return how many greetings and snapshots came without a connection of its own."""
        return max(0, self.greetings - self.connects) + max(0, self.snapshots - self.connects)

    async def _connected(self) -> None:
        self.connects += 1
        self._is_early = False
        await self.client.emit("subscribe", {"symbols": "all"})

    async def _greeted(self, hello: Any) -> None:
        self._is_early = hello["epoch"] is None
        if self._is_early:
            return
        if self._epoch not in (None, hello["epoch"]):
            self.faults.append(f"the epoch was {self._epoch}, is {hello['epoch']}")
        self.greetings += 1
        self._epoch = hello["epoch"]

    async def _shown(self, quotes: Any) -> None:
        if not self._is_early:  # else it is empty, and comes again
            self.snapshots += 1
            self._take(quotes)

    async def _quoted(self, quotes: Any) -> None:
        self._take(quotes)

    def _take(self, quotes: list[dict[str, Any]]) -> None:
        now_s, was_whole = time.monotonic(), self._is_whole()
        self.pause_s = max(self.pause_s, now_s - self.heard_s)
        self.heard_s = now_s
        for quote in quotes:
            symbol, seq, live = quote["symbol"], quote["seq"], not quote["stale"]
            if seq < self._seqs.get(symbol, 0):
                self.faults.append(f"{symbol}: seq went back from {self._seqs[symbol]} to {seq}")
            if self._is_live.get(symbol) and not live:
                self.stale += 1
                if (age_s := now_s - self._live_s[symbol]) < _EARLY_S:
                    self.faults.append(f"{symbol}: stale {age_s:.2f} s after a live price")
            self._seqs[symbol], self._is_live[symbol] = seq, live
            if live:
                self._live_s[symbol] = now_s
        if not was_whole and self._is_whole():
            self.whole_s = now_s

    def _is_whole(self) -> bool:
        return all(self._is_live.get(symbol) for symbol in self.lively)


@asynccontextmanager
async def watching(url: str, lively: Sequence[str] = LIVELY) -> AsyncIterator[Viewer]:
    """Connect a viewer, with WebSockets only."""
    noting, told = aiohttp.TraceConfig(), list[Callable[[str], None]]()

    async def note(_session: object, _context: object, ended: aiohttp.TraceRequestEndParams) -> None:
        for tell in told:
            tell(ended.response.headers.get(SERVED_BY, ""))

    noting.on_request_end.append(note)
    async with aiohttp.ClientSession(trace_configs=[noting]) as session:
        viewer = Viewer(session, lively)
        told.append(viewer.served_by)
        await viewer.client.connect(url, transports=["websocket"])
        try:
            yield viewer
        finally:
            await viewer.client.shutdown()
