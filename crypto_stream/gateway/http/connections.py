"""The HTTP connections of this process: which are idle or active, and which are closed to make room."""

from __future__ import annotations

import time
from collections.abc import Callable

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics

# Bytes of incomplete requests, of all connections together.
MAX_BUFFERED = 8 * 1024 * 1024
# Seconds in which one response must be sent and read by the client; a poll waits for up to 45.
ANSWER_S = 120.0


class Connections:
    """All connections that are not WebSockets: those waiting for a request, oldest first, and active ones.

    If there are more than `max_connections`, WebSockets included, or more than `max_buffered` bytes of
    incomplete requests, the one that has waited longest for a request, or for the rest of one, is closed.
    `lingering` counts those that were refused and are still read.
    """

    def __init__(
        self,
        max_connections: int,
        counters: DeliveryMetrics,
        websockets: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        max_buffered: int = MAX_BUFFERED,
    ) -> None:
        """`websockets` counts the WebSockets; `counters` counts the connections closed here."""
        self.open = self.lingering = 0
        self._max_connections = max_connections
        self._counters = counters
        self._websockets = websockets
        self._clock = clock
        self._max_buffered = max_buffered
        self._buffered = 0
        self._waiting: dict[ConnectionEntry, None] = {}
        self._active: dict[ConnectionEntry, float] = {}

    def add(self, end: Callable[[], object], recently_used: Callable[[], bool]) -> ConnectionEntry:
        """Add a connection that waits for a request.

        `end` closes it; `recently_used` says whether it was used since the last call.
        """
        self.open += 1
        entry = ConnectionEntry(self, end, recently_used)
        entry.mark_waiting()
        return entry

    def has_room(self) -> bool:
        """Return whether one more may be accepted; if not, close a waiting one to make room."""
        if self.open + self._websockets() < self._max_connections:
            return True
        self.make_room()
        return False

    def make_room(self) -> bool:
        """Close the connection that has waited longest; False if there is none."""
        for _ in range(len(self._waiting)):
            entry = next(iter(self._waiting))
            if not entry.recently_used():
                self._end(entry, "no_room")
                return True
            entry.mark_waiting()  # cached responses do not mark it active, so it seemed to be waiting
        return False

    def sweep(self) -> None:
        """Close the connections whose response takes too long."""
        due = self._clock() - ANSWER_S
        while self._active:
            entry, since = next(iter(self._active.items()))
            if since > due:
                return
            self._end(entry, "slow_reader")

    @property
    def busy(self) -> bool:
        """Whether a request is being served, or a first one may be on its way."""
        return bool(self._waiting or self._active)

    def end_waiting(self) -> None:
        """Close the connections that wait for another request.

        Those that have sent none yet stay open: their request may be on its way.
        """
        for entry in list(self._waiting):
            if entry.served or entry.recently_used():
                self._end(entry, "shutdown")

    def _set_buffered(self, entry: ConnectionEntry, size: int) -> None:
        self._buffered += size - entry.buffered
        entry.buffered = size
        while self._buffered > self._max_buffered:
            oldest = next((one for one in self._waiting if one.buffered), entry)
            self._end(oldest, "no_memory")
            self._buffered -= oldest.buffered
            oldest.buffered = 0

    def _end(self, entry: ConnectionEntry, reason: str) -> None:
        self._waiting.pop(entry, None)
        self._active.pop(entry, None)
        entry.ended = True
        self._counters.ended_connections[reason] += 1
        entry.end()


def _never() -> bool:
    return False


class ConnectionEntry:
    """The state of one connection in `Connections`."""

    __slots__ = ("_connections", "_removed", "buffered", "end", "ended", "recently_used", "served")

    def __init__(
        self, connections: Connections, end: Callable[[], object], recently_used: Callable[[], bool]
    ) -> None:
        self._connections = connections
        self._removed = self.ended = self.served = False
        self.end: Callable[[], object] = end
        self.recently_used = recently_used
        self.buffered = 0

    def mark_waiting(self) -> None:
        """Note that it now waits: for a request, or to be closed."""
        if self.ended:
            return
        self._connections._active.pop(self, None)
        self._connections._waiting.pop(self, None)
        self._connections._waiting[self] = None

    def mark_active(self) -> None:
        """Note that its request is now served."""
        self.served = True
        self._connections._waiting.pop(self, None)
        if self.ended:
            return
        self._connections._active[self] = self._connections._clock()

    def set_buffered(self, size: int) -> None:
        """Set the bytes of a request that are buffered; ConnectionAbortedError if it has been closed."""
        if self.ended and size:
            raise ConnectionAbortedError
        self._connections._set_buffered(self, size)

    def remove(self) -> None:
        """Remove it, because it was closed or has become a WebSocket; only the first call has an effect."""
        if not self._removed:
            self._removed = True
            self.set_buffered(0)
            self.end = self.recently_used = _never  # avoid a reference cycle with the connection
            self._connections.open -= 1
            self._connections._waiting.pop(self, None)
            self._connections._active.pop(self, None)
