"""How often something happens at a fake venue."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable


class Rate:
    """Counts events, each `who` separately: more than `most` in any `seconds` are too many."""

    def __init__(self, most: int, seconds: float) -> None:
        """Start without any event."""
        self._most = most
        self._seconds = seconds
        self._times: dict[Hashable, deque[float]] = {}

    def is_exceeded(self, who: Hashable = None) -> bool:
        """Count one event of `who` now; return whether it was one too many."""
        times = self._times.setdefault(who, deque(maxlen=self._most + 1))
        times.append(time.monotonic())
        return len(times) > self._most and times[-1] - times[0] < self._seconds
