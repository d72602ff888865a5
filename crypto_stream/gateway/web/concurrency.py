"""Requests that cost the engine work: how many may run at once, and equal ones share a response."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import Prebuilt

_MAX_BYTES = 8 * 1024 * 1024
_LONGEST_WAIT_S = 10.0


def busy(detail: str) -> ProblemError:
    """Make the problem that asks the client to try again in a second."""
    problem = ProblemError(503, "busy", f"{detail}; try again in a second.")
    problem.headers = {"Retry-After": "1"}
    return problem


class ConcurrencyLimit:
    """Limit how many requests run at once: `most` in total, `per_address` from one address."""

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        self._running: Counter[str] = Counter()

    @contextmanager
    def slot(self, address: str) -> Iterator[None]:
        """Count one request while the block runs; ProblemError 503 beyond a limit."""
        if self._running.total() >= self._most:
            raise busy(f"This gateway already runs {self._most} such requests")
        if self._running[address] >= self._per_address:
            raise busy(f"Your address already has {self._per_address} such requests running")
        self._running[address] += 1
        try:
            yield
        finally:
            self._running[address] -= 1
            if not self._running[address]:
                del self._running[address]


class _InFlight:
    """One response that is being made."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.response: Prebuilt | None = None


class SingleFlight:
    """Make a response once for all equal requests, while it is made and for `reuse_s` seconds after.

    Holds at most 8 MB, or a single response.
    """

    def __init__(self, reuse_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Use `clock`, which returns seconds."""
        self._reuse_s = reuse_s
        self._clock = clock
        self._in_flight: dict[Hashable, _InFlight] = {}
        self._cached: OrderedDict[Hashable, tuple[float, Prebuilt]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Prebuilt]) -> Prebuilt:
        """Return the response for `key`; an error in `make` reaches only its own caller."""
        self._evict()
        if key in self._cached:
            return self._cached[key][1]
        other = self._in_flight.get(key)
        if other is not None and other.done.wait(_LONGEST_WAIT_S) and other.response is not None:
            return other.response
        ours = self._in_flight[key] = _InFlight()
        try:
            response = ours.response = make()
        finally:
            ours.done.set()
            if self._in_flight.get(key) is ours:
                del self._in_flight[key]
        self._cached[key] = (self._clock() + self._reuse_s, response)
        self._cached.move_to_end(key)
        return response

    def _evict(self) -> None:
        """Drop what has expired, then the oldest while there is too much."""
        now_s = self._clock()
        size = sum(len(response.body(False)) for _, response in self._cached.values())
        for key, (until_s, response) in list(self._cached.items()):
            if until_s > now_s and (size <= _MAX_BYTES or len(self._cached) == 1):
                break
            size -= len(response.body(False))
            del self._cached[key]
