"""The HTTP connections of this process: who waits, who is answered, who goes when there is no room."""

from __future__ import annotations

import time
from collections.abc import Callable

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics

# Bytes of requests that are not whole yet, of all connections together.
MOST_HELD = 8 * 1024 * 1024
# Seconds the answer to one request may take, the client's reading of it included; a poll waits up to 45.
ANSWER_S = 120.0


class Connections:
    """Know every connection that is not a WebSocket, in the order in which they began to wait.

    Beyond `most` connections, those `elsewhere` (WebSockets) counted too, and beyond `MOST_HELD` bytes, the
    one that has waited longest for the rest of a request, or for one at all, is ended.
    """

    def __init__(
        self,
        most: int,
        counters: DeliveryMetrics,
        elsewhere: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        most_held: int = MOST_HELD,
    ) -> None:
        """Count what is ended in `counters`."""
        self.open = 0
        self._most = most
        self._counters = counters
        self._elsewhere = elsewhere
        self._clock = clock
        self._most_held = most_held
        self._held = 0
        self._waiting: dict[Seat, None] = {}
        self._working: dict[Seat, float] = {}

    def enter(self, end: Callable[[], object], recently: Callable[[], bool]) -> Seat:
        """Take a new connection, which waits. `end` ends it; `recently` tells once that it was of use."""
        self.open += 1
        seat = Seat(self, end, recently)
        seat.wait()
        return seat

    def room(self) -> bool:
        """Say whether one more may be accepted; where not, one is ended, if any may be."""
        if self.open + self._elsewhere() < self._most:
            return True
        self.make_room()
        return False

    def make_room(self) -> bool:
        """End the connection that has waited longest; False when there is none."""
        for _ in range(len(self._waiting)):
            seat = next(iter(self._waiting))
            if not seat.recently():
                self._end(seat, "no_room")
                return True
            seat.wait()  # what is answered on the hub counts as waiting all along
        return False

    def sweep(self) -> None:
        """End those whose answer takes too long."""
        due = self._clock() - ANSWER_S
        while self._working:
            seat, since = next(iter(self._working.items()))
            if since > due:
                return
            self._end(seat, "slow_reader")

    @property
    def busy(self) -> bool:
        """Whether anybody is being answered, or may be about to ask for the first time."""
        return bool(self._waiting or self._working)

    def end_waiting(self) -> None:
        """End those that wait for one more request, as the server does.

        Who has not asked anything yet is left: its request may be on its way.
        """
        for seat in list(self._waiting):
            if seat.served or seat.recently():
                self._end(seat, "shutdown")

    def _hold(self, seat: Seat, size: int) -> None:
        self._held += size - seat.held
        seat.held = size
        while self._held > self._most_held:
            oldest = next((one for one in self._waiting if one.held), seat)
            self._end(oldest, "no_memory")
            self._held -= oldest.held
            oldest.held = 0

    def _end(self, seat: Seat, reason: str) -> None:
        self._waiting.pop(seat, None)
        self._working.pop(seat, None)
        seat.ended = True
        self._counters.ended_connections[reason] += 1
        seat.end()


def _gone() -> bool:
    return False


class Seat:
    """One connection's place among all."""

    __slots__ = ("_all", "_gone", "end", "ended", "held", "recently", "served")

    def __init__(
        self, everything: Connections, end: Callable[[], object], recently: Callable[[], bool]
    ) -> None:
        """Belong to `everything`."""
        self._all = everything
        self._gone = self.ended = self.served = False
        self.end: Callable[[], object] = end
        self.recently = recently
        self.held = 0

    def wait(self) -> None:
        """Begin to wait: for a request, or for the end of the connection."""
        if self.ended:
            return
        self._all._working.pop(self, None)
        self._all._waiting.pop(self, None)
        self._all._waiting[self] = None

    def work(self) -> None:
        """Begin to be answered."""
        self.served = True
        self._all._waiting.pop(self, None)
        if self.ended:
            return
        self._all._working[self] = self._all._clock()

    def hold(self, size: int) -> None:
        """Keep so many bytes of a request now; ConnectionAbortedError when the connection was ended."""
        if self.ended and size:
            raise ConnectionAbortedError
        self._all._hold(self, size)

    def leave(self) -> None:
        """Be no connection of this kind any more; the second time nothing happens."""
        if not self._gone:
            self._gone = True
            self.hold(0)
            self.end = self.recently = _gone  # else it and the connection would hold each other
            self._all.open -= 1
            self._all._waiting.pop(self, None)
            self._all._working.pop(self, None)
