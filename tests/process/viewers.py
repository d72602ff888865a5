"""Viewers that reconnect by themselves, as a page's do, and subscribe on every connect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import socketio

from tests.waiting import SCALE, until


class Viewer:
    """What one of them has seen: `connects` counts connections, `quotes` updates of the present one."""

    def __init__(self, session: aiohttp.ClientSession, *, subscribes: bool) -> None:
        self.client = socketio.AsyncClient(
            http_session=session, reconnection_delay=0.1, reconnection_delay_max=0.5
        )
        self.connects = 0
        self.quotes = 0
        self.statuses = 0
        self.epochs: set[str] = set()
        self._subscribes = subscribes
        self.client.on("connect", self._connected)
        self.client.on("hello", self._greeted)
        self.client.on("quotes", self._quoted)
        self.client.on("status", self._told)

    async def moves(self) -> None:
        """Wait for a price that changes each second to change again."""
        before = self.connects, self.quotes
        await until(lambda: (self.connects, self.quotes) != before and self.quotes > 0, 30 * SCALE)

    async def _connected(self) -> None:
        self.connects += 1
        self.quotes = 0
        if self._subscribes:
            await self.client.emit("subscribe", {"symbols": ["ticker_00"]})

    async def _greeted(self, hello: Any) -> None:
        if hello["epoch"] is not None:  # else the gateway has not reached the engine yet
            self.epochs.add(hello["epoch"])

    async def _quoted(self, _quotes: Any) -> None:
        self.quotes += 1

    async def _told(self, _status: Any) -> None:
        self.statuses += 1


@asynccontextmanager
async def viewing(
    url: str,
    address: str = "127.0.0.1",
    *,
    subscribes: bool = True,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Viewer]:
    """Connect a viewer from an address of the loopback, with WebSockets only."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        viewer = Viewer(session, subscribes=subscribes)
        await viewer.client.connect(url, transports=["websocket"], headers=dict(headers or {}))
        try:
            yield viewer
        finally:
            await viewer.client.shutdown()
