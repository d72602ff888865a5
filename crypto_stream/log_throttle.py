"""Throttling of log lines that a client could otherwise trigger without limit."""

from __future__ import annotations

import time
from collections.abc import Callable

# At most this many kinds are tracked; beyond that all are forgotten, and each may be logged once more.
_MAX_KINDS = 1000


class LogThrottle:
    """Allow one log line per kind every `every_s` seconds; `clock` returns seconds."""

    def __init__(self, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._next: dict[str, float] = {}

    def due(self, kind: str) -> bool:
        """Return whether a line of this `kind` is to be logged now."""
        now = self._clock()
        if now < self._next.get(kind, now):
            return False
        if len(self._next) >= _MAX_KINDS:
            self._next.clear()
        self._next[kind] = now + self._every_s
        return True
