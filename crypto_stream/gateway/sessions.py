"""engine.io's sessions: whose they are, which of their polls are open, and which never become viewers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from engineio.packet import NOOP, Packet

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.presence import Presence

# Seconds a session may take until it has joined a namespace and, unless it is a WebSocket, polled once.
JOIN_S = 15.0
# Sessions that have not come so far, 6 kB each and more; beyond them the oldest ends.
MOST_NEW = 1_000


class Sessions:
    """Follow the sessions of an `engineio.Server`: each is counted with its address while it lives.

    One that has not joined after `JOIN_S`, or has never polled, costs memory for nobody: it ends. So does the
    oldest of more than `MOST_NEW`; clients that mean it do both at once.
    """

    def __init__(
        self,
        server: Any,
        presence: Presence,
        counters: DeliveryMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow those of a `socketio.Server`; `sweep` ends what is due."""
        self._server = server
        self._engine = server.eio
        self._presence = presence
        self._counters = counters
        self._clock = clock
        self._addresses: dict[str, str] = {}
        self._unpolled: set[str] = set()
        self._new: dict[str, float] = {}  # when they are due, oldest first
        self._polls: Counter[str] = Counter()
        self._connect, self._disconnect = (self._engine.handlers[name] for name in ("connect", "disconnect"))
        self._engine.on("connect", self._connected)
        self._engine.on("disconnect", self._disconnected)
        server.manager.entered = self._came_on

    def __len__(self) -> int:
        """Count those that live."""
        return len(self._addresses)

    def full(self, address: str) -> bool:
        """Say whether this address may have no more."""
        return self._presence.full(address)

    def begin_poll(self, sid: str) -> None:
        """Note that a poll begins; the one that is still open ends: its client asks anew, so it has gone."""
        if sid not in self._addresses:
            return
        self._unpolled.discard(sid)
        self._came_on(sid)
        connection = self._engine.sockets.get(sid)
        if self._polls[sid] and connection is not None and not connection.upgraded:
            connection.queue.put(Packet(NOOP))
            while self._polls[sid] and connection.queue.qsize():
                time.sleep(0)  # until the other one has taken it: it must not end the new one
        self._polls[sid] += 1

    def end_poll(self, sid: str) -> None:
        """Note that a poll was answered."""
        self._polls[sid] -= 1
        if self._polls[sid] <= 0:
            del self._polls[sid]

    def sweep(self) -> None:
        """End the sessions that are due and never became viewers."""
        now = self._clock()
        while self._new and next(iter(self._new.values())) <= now:
            self._end_oldest()

    def _joined(self, sid: str) -> bool:
        return self._server.manager.sid_from_eio_sid(sid, "/") is not None

    def _reads(self, connection: Any) -> bool:
        return connection.upgraded or connection.upgrading or connection.sid not in self._unpolled

    def _came_on(self, sid: str) -> None:
        """Notice that a session joined, or polled; having done both it is not new any more."""
        connection = self._engine.sockets.get(sid)
        if sid in self._new and connection is not None and self._joined(sid) and self._reads(connection):
            del self._new[sid]
            self._unpolled.discard(sid)

    def _end_oldest(self, reason: str = "") -> None:
        """End the oldest new session, by default for what it never did."""
        sid = next(iter(self._new))
        self._came_on(sid)  # by an upgrade, perhaps
        if sid not in self._new:
            return
        reason = reason or ("never_polled" if self._joined(sid) else "never_joined")
        del self._new[sid]
        connection = self._engine.sockets.get(sid)
        if connection is not None and not connection.closed:
            self._counters.ended_sessions[reason] += 1
            connection.close(wait=False, abort=True, reason=reason)
            self._engine.sockets.pop(sid, None)

    def _connected(self, sid: str, environ: dict[str, Any]) -> Any:
        address = self._addresses[sid] = str(environ.get("REMOTE_ADDR", ""))
        self._presence.enter(address)
        self._unpolled.add(sid)
        self._new[sid] = self._clock() + JOIN_S
        if len(self._new) > MOST_NEW:
            self._end_oldest("no_room")
        # Of the request, 10 kB that hold the server's objects, nothing else is needed any more.
        return self._connect(sid, {"REMOTE_ADDR": address})

    def _disconnected(self, sid: str, reason: str) -> Any:
        address = self._addresses.pop(sid, None)
        self._new.pop(sid, None)
        self._unpolled.discard(sid)
        if address is not None:
            self._presence.leave(address)
        return self._disconnect(sid, reason)
