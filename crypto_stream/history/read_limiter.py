"""How much of a core reading the history may take: a few reads at once, each resting as long as it took."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import TypeVar

_Read = TypeVar("_Read")
# A page is read and folded within milliseconds; many at once would make the event loop wait for its turn.
_AT_ONCE = 2
_LONGEST_REST_S = 1.0  # a disk that hung for a minute was no work


class ReadLimiter:
    """Read on threads, in the order it was asked for: in sum half of a core at most.

    Who waits can be cancelled and costs nothing then; what was begun keeps its turn until its thread is done,
    so that a disk that hangs never holds more than two threads.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._rested_s = [0.0] * _AT_ONCE  # when each free turn has rested; a heap

    async def __call__(self, prepare: Callable[[], Callable[[], _Read]]) -> _Read:
        """Call `prepare` when it is our turn, and what it gives on a thread; return what that returns."""
        await self._free.acquire()
        rested_s = heapq.heappop(self._rested_s)
        try:
            rest_s = rested_s - time.monotonic()
            if rest_s > 0:
                await asyncio.sleep(rest_s)
            began_s = time.monotonic()
            reading = asyncio.get_running_loop().run_in_executor(None, prepare())
        except BaseException:
            self._release(rested_s)
            raise

        def done(_reading: asyncio.Future[_Read]) -> None:
            now_s = time.monotonic()
            self._release(now_s + min(now_s - began_s, _LONGEST_REST_S))

        reading.add_done_callback(done)
        return await asyncio.shield(reading)

    def _release(self, rested_s: float) -> None:
        heapq.heappush(self._rested_s, rested_s)
        self._free.release()
