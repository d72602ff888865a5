"""A log that a viewer cannot fill."""

from __future__ import annotations

import time
from collections.abc import Callable

_PAUSE_S = 60.0
# Kinds remembered at once; then all are forgotten, and each may be told once more.
_MOST = 1000


class Sparing:
    """Say of each kind of trouble, once a minute, that it is to be logged."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the time in seconds from `clock`."""
        self._clock = clock
        self._next: dict[str, float] = {}

    def due(self, kind: str) -> bool:
        """Return True for the first of its kind within a minute."""
        now = self._clock()
        if now < self._next.get(kind, now):
            return False
        if len(self._next) >= _MOST:
            self._next.clear()
        self._next[kind] = now + _PAUSE_S
        return True
