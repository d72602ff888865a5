"""What waits in an order client until its caller takes it: bounded, each with its own policy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from crypto_stream.client.messages import MarketData, Report

MOST_REPORTS = 10_000
_MOST_KNOWN = 1_000


class Known:
    """Which reports were had: those up to a seq, counted anew where the gateway keeps other orders.

    Other orders have another `store`; where that does not tell (all files were put back together), a seq that
    was had with another `exec_id` does.
    """

    def __init__(self) -> None:
        self._store: str | None = None
        self._seq = 0
        self._newest: dict[int, str] = {}

    def is_new(self, report: Report) -> bool:
        """Say whether a report was not had before, and remember it."""
        other = self._newest.get(report.seq, report.exec_id) != report.exec_id
        if other or report.store != self._store:
            self._store, self._seq = report.store, 0
            self._newest.clear()
        if report.seq <= self._seq:
            return False
        self._seq = report.seq
        self._newest[report.seq] = report.exec_id
        if len(self._newest) > _MOST_KNOWN:
            del self._newest[next(iter(self._newest))]
        return True


class ReportQueue:
    """Reports in their order, at most 10,000; one reader.

    Before anybody reads, the oldest give way: a program that does not care loses nothing else. Once somebody
    reads nothing is lost: a full queue holds up the one who fills it.
    """

    def __init__(self, most: int = MOST_REPORTS) -> None:
        """Hold at most `most`."""
        self._most = most
        self._waiting: deque[Report] = deque(maxlen=most)
        self._is_read = False
        self._closed = False
        self._came = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, report: Report) -> None:
        """Add a report; wait for room where somebody reads."""
        while self._is_read and len(self._waiting) == self._most and not self._closed:
            self._taken.clear()
            await self._taken.wait()
        self._waiting.append(report)
        self._came.set()

    async def __aiter__(self) -> AsyncIterator[Report]:
        """Yield each report once, until the client is closed."""
        self._is_read = True
        while True:
            while self._waiting:
                report = self._waiting.popleft()
                self._taken.set()
                yield report
            if self._closed:
                return
            self._came.clear()
            await self._came.wait()

    def close(self) -> None:
        """End the reading once all is read."""
        self._closed = True
        self._came.set()
        self._taken.set()


class QuoteQueue:
    """The newest quote of each instrument; a newer one takes the place of one that nobody took yet."""

    def __init__(self) -> None:
        self._newest: dict[str, MarketData] = {}
        self._closed = False
        self._came = asyncio.Event()

    def put(self, quote: MarketData) -> None:
        """Keep the newest."""
        self._newest[quote.instrument] = quote
        self._came.set()

    def forget(self, instrument: str) -> None:
        """Drop what waits of an instrument."""
        self._newest.pop(instrument, None)

    async def __aiter__(self) -> AsyncIterator[MarketData]:
        """Yield what changed, newest only, until the client is closed."""
        while not self._closed:
            while self._newest:
                yield self._newest.pop(next(iter(self._newest)))
            self._came.clear()
            await self._came.wait()

    def close(self) -> None:
        """End the reading."""
        self._closed = True
        self._came.set()
