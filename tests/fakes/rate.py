"""How often each client of a fake venue does something."""

from __future__ import annotations

import time
from collections import deque

from tests.fakes.client import Client


class Rate:
    """Counts events per client: more than `most` in any `seconds` are too many."""

    def __init__(self, most: int, seconds: float) -> None:
        """Start without any event."""
        self._most = most
        self._seconds = seconds
        self._times: dict[Client, deque[float]] = {}

    def is_exceeded(self, client: Client) -> bool:
        """Count one event of `client` now; return whether it was one too many."""
        times = self._times.setdefault(client, deque(maxlen=self._most + 1))
        times.append(time.monotonic())
        return len(times) > self._most and times[-1] - times[0] < self._seconds
