"""Detect that this process was suspended, as when its machine sleeps; measure time without that."""

from __future__ import annotations

import time
from collections.abc import Callable

# After a suspension up to this long nothing is missing: the sockets have buffered what the venues sent.
_COMPENSATED_MS = 30_000
# After a suspension this long, buffered data is read for as long again before clocks decide anything.
_BLOCKED_NS = 1_000_000_000


class Suspension:
    """Measure how long nothing ran, by calling `measure` regularly.

    `clock_ns` must also advance while the machine sleeps.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._measured_ns = clock_ns()
        self._settled_ns = self._measured_ns

    @property
    def settling(self) -> bool:
        """Whether data that arrived during a suspension may still be unread."""
        return self._measured_ns < self._settled_ns

    def measure(self) -> int:
        """Return how many ms nothing ran since the last call; 0 if no data can be missing."""
        before_ns, self._measured_ns = self._measured_ns, self._clock_ns()
        if self._measured_ns - before_ns > _BLOCKED_NS:
            self._settled_ns = self._measured_ns + _BLOCKED_NS
        suspended_ms = (self._measured_ns - before_ns) // 1_000_000
        return suspended_ms if suspended_ms > _COMPENSATED_MS else 0


class Uptime:
    """Count the time in which this process ran, by which every venue's clock has advanced at least.

    Jumps of the clock count as at most one second.
    """

    def __init__(self) -> None:
        self.ns = 0
        self._before_ns: int | None = None

    def count(self, now_ns: int) -> int:
        """Update with the monotonic clock; return how long this process has run (ns)."""
        before = now_ns if self._before_ns is None else self._before_ns
        self.ns += min(max(now_ns - before, 0), _BLOCKED_NS)
        self._before_ns = max(now_ns, before)
        return self.ns
