"""Bounded queues between the order client's connection and its caller, each with its own overflow policy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from crypto_stream.client.messages import MarketData, Report

MAX_REPORTS = 10_000
_MAX_REMEMBERED = 1_000


class SeenReports:
    """Recognizes reports that were received before: those up to a seq of the gateway's order database.

    Another database has another `store` and starts again from seq 1. A restored backup may have the same
    `store`; it is recognized by a known seq with another `exec_id`.
    """

    def __init__(self) -> None:
        self._store: str | None = None
        self._seq = 0
        self._newest: dict[int, str] = {}

    def is_new(self, report: Report) -> bool:
        """Return whether a report was not received before, and remember it."""
        differs = self._newest.get(report.seq, report.exec_id) != report.exec_id
        if differs or report.store != self._store:
            self._store, self._seq = report.store, 0
            self._newest.clear()
        if report.seq <= self._seq:
            return False
        self._seq = report.seq
        self._newest[report.seq] = report.exec_id
        if len(self._newest) > _MAX_REMEMBERED:
            del self._newest[next(iter(self._newest))]
        return True


class ReportQueue:
    """Reports in their order, at most `size`, for one reader.

    While nobody has begun to read, a full queue drops the oldest report; afterwards `put` waits for room.
    """

    def __init__(self, size: int = MAX_REPORTS) -> None:
        self._size = size
        self._reports: deque[Report] = deque(maxlen=size)
        self._is_read = False
        self._closed = False
        self._added = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, report: Report) -> None:
        """Add a report, waiting for room if there is a reader."""
        while self._is_read and len(self._reports) == self._size and not self._closed:
            self._taken.clear()
            await self._taken.wait()
        self._reports.append(report)
        self._added.set()

    async def __aiter__(self) -> AsyncIterator[Report]:
        """Yield each report once, until the client is closed."""
        self._is_read = True
        while True:
            while self._reports:
                report = self._reports.popleft()
                self._taken.set()
                yield report
            if self._closed:
                return
            self._added.clear()
            await self._added.wait()

    def close(self) -> None:
        """End the iteration once all reports are read."""
        self._closed = True
        self._added.set()
        self._taken.set()


class QuoteQueue:
    """The newest quote of each instrument; an unread quote is replaced by a newer one."""

    def __init__(self) -> None:
        self._newest: dict[str, MarketData] = {}
        self._closed = False
        self._added = asyncio.Event()

    def put(self, quote: MarketData) -> None:
        """Add a quote."""
        self._newest[quote.instrument] = quote
        self._added.set()

    def forget(self, instrument: str) -> None:
        """Drop the unread quote of an instrument."""
        self._newest.pop(instrument, None)

    async def __aiter__(self) -> AsyncIterator[MarketData]:
        """Yield quotes, newest only, until the client is closed."""
        while not self._closed:
            while self._newest:
                yield self._newest.pop(next(iter(self._newest)))
            self._added.clear()
            await self._added.wait()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._added.set()
