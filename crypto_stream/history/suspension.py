"""Whether this process was suspended, as when its machine sleeps or somebody stops it; time without that."""

from __future__ import annotations

import time
from collections.abc import Callable

# So long a suspension is made up for: by what the venues' sockets hold, and by the walks.
_COMPENSATED_MS = 30_000
# After so long a one it is read first what came meanwhile, for as long again, before a clock decides.
_BLOCKED_NS = 1_000_000_000


class Suspension:
    """Look at the clock whenever something runs, and see how long nothing did.

    `clock_ns` is to go on while the machine sleeps.
    """

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._measured_ns = clock_ns()
        self._settled_ns = self._measured_ns

    @property
    def settling(self) -> bool:
        """Say whether what came during a suspension may still be unread."""
        return self._measured_ns < self._settled_ns

    def measure(self) -> int:
        """Return for how many ms nothing ran since the last look; 0 for what is made up for."""
        before_ns, self._measured_ns = self._measured_ns, self._clock_ns()
        if self._measured_ns - before_ns > _BLOCKED_NS:
            self._settled_ns = self._measured_ns + _BLOCKED_NS
        suspended_ms = (self._measured_ns - before_ns) // 1_000_000
        return suspended_ms if suspended_ms > _COMPENSATED_MS else 0


class Uptime:
    """Count the time in which this process ran: by so much at least every venue's clock has gone on.

    A jump of the clock that is handed in, forwards or back, counts a second at most.
    """

    def __init__(self) -> None:
        self.ns = 0
        self._before_ns: int | None = None

    def count(self, now_ns: int) -> int:
        """Take a look at a clock that nobody sets; return how long this process has lived (ns)."""
        before = now_ns if self._before_ns is None else self._before_ns
        self.ns += min(max(now_ns - before, 0), _BLOCKED_NS)
        self._before_ns = max(now_ns, before)
        return self.ns
