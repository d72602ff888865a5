"""Limits the CPU time of history reads: a few at once, each followed by a pause as long as it took."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import TypeVar

_Read = TypeVar("_Read")
# A page takes milliseconds; many at once would delay the event loop.
_CONCURRENT_READS = 2
_MAX_PAUSE_S = 1.0  # a slow disk takes no CPU time


class ReadLimiter:
    """Run reads on threads, in the order of the calls, using at most half a core on average.

    A waiting call can be cancelled at no cost. A read that has begun occupies its slot until its thread is
    done, so a hanging disk never blocks more than two threads.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_CONCURRENT_READS)
        self._pause_ends_s = [0.0] * _CONCURRENT_READS  # when the pause of each free slot ends; a heap

    async def __call__(self, prepare: Callable[[], Callable[[], _Read]]) -> _Read:
        """Wait for a slot, call `prepare`, run the function it returns on a thread, and return its result."""
        await self._free.acquire()
        pause_ends_s = heapq.heappop(self._pause_ends_s)
        try:
            pause_s = pause_ends_s - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            began_s = time.monotonic()
            reading = asyncio.get_running_loop().run_in_executor(None, prepare())
        except BaseException:
            self._release(pause_ends_s)
            raise

        def done(_reading: asyncio.Future[_Read]) -> None:
            now_s = time.monotonic()
            self._release(now_s + min(now_s - began_s, _MAX_PAUSE_S))

        reading.add_done_callback(done)
        return await asyncio.shield(reading)

    def _release(self, pause_ends_s: float) -> None:
        heapq.heappush(self._pause_ends_s, pause_ends_s)
        self._free.release()
