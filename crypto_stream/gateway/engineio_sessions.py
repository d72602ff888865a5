"""engine.io's sessions: counted per address, with their open polls; those that never become viewers end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from engineio.packet import NOOP, Packet

from crypto_stream.gateway.delivery.address_limit import AddressLimit
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics

# Seconds in which a session must join a namespace and, unless it is a WebSocket, poll once.
JOIN_S = 15.0
# Sessions that have not yet done so, of 6 kB and more each; beyond this the oldest is ended.
MAX_NEW = 1_000


class EngineioSessions:
    """Track the sessions of an `engineio.Server` and count them per address.

    A session that has not joined, or not polled, within `JOIN_S` only costs memory, so it is ended; so is the
    oldest of more than `MAX_NEW`. Real clients do both immediately.
    """

    def __init__(
        self,
        server: Any,
        address_limit: AddressLimit,
        counters: DeliveryMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Track those of a `socketio.Server`; `sweep` ends the overdue ones."""
        self._server = server
        self._engine = server.eio
        self._address_limit = address_limit
        self._counters = counters
        self._clock = clock
        self._addresses: dict[str, str] = {}
        self._unpolled: set[str] = set()
        self._new: dict[str, float] = {}  # deadlines by session id, oldest first
        self._polls: Counter[str] = Counter()
        self._connect, self._disconnect = (self._engine.handlers[name] for name in ("connect", "disconnect"))
        self._engine.on("connect", self._connected)
        self._engine.on("disconnect", self._disconnected)
        server.manager.on_enter = self._update

    def __len__(self) -> int:
        """Count the open sessions."""
        return len(self._addresses)

    def full(self, address: str) -> bool:
        """Return whether this address has reached its limit."""
        return self._address_limit.full(address)

    def begin_poll(self, sid: str) -> None:
        """Note that a poll begins, and end a poll that is still open: its client must have abandoned it."""
        if sid not in self._addresses:
            return
        self._unpolled.discard(sid)
        self._update(sid)
        connection = self._engine.sockets.get(sid)
        if self._polls[sid] and connection is not None and not connection.upgraded:
            connection.queue.put(Packet(NOOP))
            while self._polls[sid] and connection.queue.qsize():
                time.sleep(0)  # until the old poll has taken the NOOP, which must not end the new one
        self._polls[sid] += 1

    def end_poll(self, sid: str) -> None:
        """Note that a poll was answered."""
        self._polls[sid] -= 1
        if self._polls[sid] <= 0:
            del self._polls[sid]

    def sweep(self) -> None:
        """End the overdue sessions that never became viewers."""
        now = self._clock()
        while self._new and next(iter(self._new.values())) <= now:
            self._end_oldest()

    def _joined(self, sid: str) -> bool:
        return self._server.manager.sid_from_eio_sid(sid, "/") is not None

    def _receives(self, connection: Any) -> bool:
        return connection.upgraded or connection.upgrading or connection.sid not in self._unpolled

    def _update(self, sid: str) -> None:
        """Take a session off the new ones once it has both joined and polled (or is a WebSocket)."""
        connection = self._engine.sockets.get(sid)
        if sid in self._new and connection is not None and self._joined(sid) and self._receives(connection):
            del self._new[sid]
            self._unpolled.discard(sid)

    def _end_oldest(self, reason: str = "") -> None:
        """End the oldest new session; the default reason is what it failed to do."""
        sid = next(iter(self._new))
        self._update(sid)  # it may have upgraded to a WebSocket, of which we are not notified
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
        self._address_limit.add(address)
        self._unpolled.add(sid)
        self._new[sid] = self._clock() + JOIN_S
        if len(self._new) > MAX_NEW:
            self._end_oldest("no_room")
        # Of the request, 10 kB that hold the server's objects, nothing else is needed any more.
        return self._connect(sid, {"REMOTE_ADDR": address})

    def _disconnected(self, sid: str, reason: str) -> Any:
        address = self._addresses.pop(sid, None)
        self._new.pop(sid, None)
        self._unpolled.discard(sid)
        if address is not None:
            self._address_limit.remove(address)
        return self._disconnect(sid, reason)
