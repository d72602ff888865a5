"""Whether this process stood still, as when its machine sleeps or somebody stopped it."""

from __future__ import annotations

import time
from collections.abc import Callable

# So long a standstill is made up for: by what the venues' sockets hold, and by the walks.
_MADE_UP_MS = 30_000
# After so long a one it is read first what came meanwhile, for as long again, before a clock decides.
_BLOCKED_NS = 1_000_000_000


def running_ns() -> int:
    """Tell a time that goes on while the machine sleeps, where the system has one, and that nobody sets."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)


class Standstill:
    """Look at the clock whenever something runs, and see how long nothing did."""

    def __init__(self, clock_ns: Callable[[], int] = running_ns) -> None:
        """Begin now."""
        self._clock_ns = clock_ns
        self._looked_ns = clock_ns()
        self._settled_ns = self._looked_ns

    @property
    def settling(self) -> bool:
        """Say whether what came during a standstill may still be unread."""
        return self._looked_ns < self._settled_ns

    def look(self) -> int:
        """Return for how many ms nothing ran since the last look; 0 for what is made up for."""
        before_ns, self._looked_ns = self._looked_ns, self._clock_ns()
        if self._looked_ns - before_ns > _BLOCKED_NS:
            self._settled_ns = self._looked_ns + _BLOCKED_NS
        stood_ms = (self._looked_ns - before_ns) // 1_000_000
        return stood_ms if stood_ms > _MADE_UP_MS else 0
