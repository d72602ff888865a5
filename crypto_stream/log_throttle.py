"""A log that a stranger cannot fill."""

from __future__ import annotations

import time
from collections.abc import Callable

# Kinds remembered at once; then all are forgotten, and each may be told once more.
_MOST = 1000


class LogThrottle:
    """Say of each kind of trouble, once in `every_s`, that it is to be logged."""

    def __init__(self, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the time in seconds from `clock`."""
        self._every_s = every_s
        self._clock = clock
        self._next: dict[str, float] = {}

    def due(self, kind: str) -> bool:
        """Return True for the first of its kind within that time."""
        now = self._clock()
        if now < self._next.get(kind, now):
            return False
        if len(self._next) >= _MOST:
            self._next.clear()
        self._next[kind] = now + self._every_s
        return True
