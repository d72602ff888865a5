"""Engine.IO's heartbeats: one clock for all sessions, where engine.io has a green thread for each."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ref

from engineio.packet import PING, Packet

_TICK_S = 0.1
# Times an unanswered ping is excused because the client does not read: its patience ends elsewhere.
_EXCUSES = 2


class Heartbeat:
    """Ping each session after a quiet interval and end those that do not answer.

    Takes the place of engine.io's `_send_ping` threads and of its service task. Each session has one entry
    until it is due, which keeps none that has ended.
    """

    def __init__(self, engine: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """Serve the sessions of an `engineio.Server` that are `due`; `run` does it."""
        self._engine = engine
        self._clock = clock
        self._ping = Packet(PING)
        self._due: deque[tuple[float, ref[Any]]] = deque()
        self._pinged: deque[tuple[float, ref[Any], float, int]] = deque()

    def due(self, session: Any) -> None:
        """Ping a session after the interval from now on."""
        self._due.append((self._clock() + self._engine.ping_interval, ref(session)))

    def run(self) -> None:
        """Beat for ever."""
        while True:
            time.sleep(_TICK_S)
            self.beat()

    def beat(self) -> None:
        """Ping whoever is due, end whoever did not answer."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            if (session := self._due.popleft()[1]()) is not None:
                self._send(session, now)
        while self._pinged and self._pinged[0][0] <= now:
            _, pinged, asked, excused = self._pinged.popleft()
            if (session := pinged()) is not None:
                self._judge(session, asked, excused, now)

    def _send(self, session: Any, now: float) -> None:
        if session.closing or session.closed:
            self._forget(session)
            return
        session.last_ping = asked = time.time()
        session.send(self._ping)
        self._pinged.append((now + self._engine.ping_timeout, ref(session), asked, 0))

    def _judge(self, session: Any, asked: float, excused: int, now: float) -> None:
        if session.closed:
            self._forget(session)
        elif session.last_ping == asked:
            if session.upgraded and session.queue.qsize() and excused < _EXCUSES:
                session.last_ping = asked = time.time()
                self._pinged.append((now + self._engine.ping_timeout, ref(session), asked, excused + 1))
                return
            session.close(wait=False, abort=False, reason=self._engine.reason.PING_TIMEOUT)
            self._forget(session)

    def _forget(self, session: Any) -> None:
        self._engine.sockets.pop(session.sid, None)
