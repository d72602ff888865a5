"""Engine.IO's heartbeats: one timer for all sessions, where engine.io has a green thread for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ref

from engineio.packet import PING, Packet

_TICK_S = 0.1
# How often a missing pong is forgiven while frames are queued: `Delivery` cuts off slow clients earlier.
_MAX_EXEMPTIONS = 2


class Heartbeat:
    """Pings each session after the interval and closes those that do not answer.

    Replaces engine.io's `_send_ping` threads and its service task. Entries are weak references, so that they
    do not keep closed sessions alive.
    """

    def __init__(self, engine: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """`engine` is an `engineio.Server`; `run` is the timer's loop."""
        self._engine = engine
        self._clock = clock
        self._ping = Packet(PING)
        self._due: deque[tuple[float, ref[Any]]] = deque()
        self._pinged: deque[tuple[float, ref[Any], float, int]] = deque()

    def schedule(self, session: Any) -> None:
        """Ping a session one interval from now."""
        self._due.append((self._clock() + self._engine.ping_interval, ref(session)))

    def run(self) -> None:
        """Call `beat` for ever."""
        while True:
            time.sleep(_TICK_S)
            self.beat()

    def beat(self) -> None:
        """Ping the sessions that are due; close those that did not answer in time."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            if (session := self._due.popleft()[1]()) is not None:
                self._send(session, now)
        while self._pinged and self._pinged[0][0] <= now:
            _, pinged, pinged_at, exemptions = self._pinged.popleft()
            if (session := pinged()) is not None:
                self._check(session, pinged_at, exemptions, now)

    def _send(self, session: Any, now: float) -> None:
        if session.closing or session.closed:
            self._forget(session)
            return
        session.last_ping = pinged_at = time.time()
        session.send(self._ping)
        self._pinged.append((now + self._engine.ping_timeout, ref(session), pinged_at, 0))

    def _check(self, session: Any, pinged_at: float, exemptions: int, now: float) -> None:
        if session.closed:
            self._forget(session)
        elif session.last_ping == pinged_at:
            if session.upgraded and session.queue.qsize() and exemptions < _MAX_EXEMPTIONS:
                session.last_ping = pinged_at = time.time()
                self._pinged.append(
                    (now + self._engine.ping_timeout, ref(session), pinged_at, exemptions + 1)
                )
                return
            session.close(wait=False, abort=False, reason=self._engine.reason.PING_TIMEOUT)
            self._forget(session)

    def _forget(self, session: Any) -> None:
        self._engine.sockets.pop(session.sid, None)
