"""The clocks and timers of the order service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from crypto_stream.wall_clock import wall_ms


class Clock(Protocol):
    """Clocks and timers; callbacks run on the event loop."""

    def now_ms(self) -> int:
        """Return ms since the epoch."""

    def now_s(self) -> float:
        """Return monotonic seconds."""

    def at(self, due_s: float, call: Callable[[], object]) -> None:
        """Call once `now_s` has reached `due_s`."""

    def soon(self, call: Callable[[], object]) -> None:
        """Call in the next iteration of the event loop."""


class LoopClock:
    """The clocks of this machine and of the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> int:
        """Return ms since the epoch."""
        return wall_ms()

    def now_s(self) -> float:
        """Return the loop's own time, which its timers use."""
        return self._loop.time()

    def at(self, due_s: float, call: Callable[[], object]) -> None:
        """Call once the loop's time has reached `due_s`."""
        self._loop.call_at(due_s, call)

    def soon(self, call: Callable[[], object]) -> None:
        """Call in the next iteration of the event loop."""
        self._loop.call_soon(call)
