"""Connections that have not sent a request yet: watched by the hub, without a green thread for each."""

from __future__ import annotations

import _socket
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.round_robin import RoundRobin
from crypto_stream.gateway.http.connections import ConnectionEntry, Connections

log = logging.getLogger(__name__)

# Seconds for which a connection may be idle: more than the usual 60 of proxies, which must close first.
IDLE_S = 90.0
# Bytes of the first read: enough for a head, and few enough to be buffered for every queued connection.
_READ_BYTES = 4 * 1024


class RequestConnection(NamedTuple):
    """A connection with a request for the server: a green socket, and the first bytes `received`."""

    socket: Any
    peer: Any
    received: bytes
    entry: ConnectionEntry


class NewConnections:
    """Waits for the first bytes of each connection, then passes it to `join`, or else to `serve`.

    The first bytes are processed round robin, a fraction of a millisecond at a time, so that thousands of
    simultaneous connections do not block the process. Only those passed to `serve` get a green thread.
    """

    def __init__(
        self,
        family: int,
        hub: Hub,
        connections: Connections,
        join: Callable[[NewConnection], bool],
        serve: Callable[[RequestConnection], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`join` returns False for a connection that is not for it; `family` is the listener's."""
        self.family = family
        self.hub = hub
        self.connections = connections
        self.join = join
        self.round_robin = RoundRobin(hub.spawn, hub.yield_control)
        self.deadlines: dict[NewConnection, float] = {}  # oldest first
        self._serve = serve
        self._clock = clock

    def take(self, descriptor: int, address: Any) -> None:
        """Add a connection that was just accepted; often its first bytes have already arrived."""
        NewConnection(self, descriptor, address).read()

    def wait_for(self, connection: NewConnection) -> None:
        """Set the deadline of a connection from which nothing has been received."""
        self.deadlines[connection] = self._clock() + IDLE_S

    def serve(self, request: RequestConnection) -> None:
        """Serve a connection in a green thread of its own."""
        self.hub.spawn(partial(_guarded, self._serve, request))

    def sweep(self) -> None:
        """Close the connections whose deadline has passed."""
        now = self._clock()
        while self.deadlines and next(iter(self.deadlines.values())) <= now:
            next(iter(self.deadlines)).end()


class NewConnection(_socket.socket):
    """One connection until its first bytes are processed; it inherits from the socket to save memory."""

    __slots__ = ("_entry", "_owner", "_watch", "peer", "received")

    def __init__(self, owner: NewConnections, descriptor: int, peer: Any) -> None:
        """Take ownership of a descriptor."""
        super().__init__(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)  # of whichever family
        self.setblocking(False)
        self.peer = peer
        self._owner = owner
        self._entry = owner.connections.add(self.end, _never)
        self._watch: Stop | None = None
        self.received = b""

    def read(self) -> None:
        """Read what has arrived and queue it to be processed, or wait for it; called on the hub.

        If the client has hung up, closing is queued too: thousands may hang up in one iteration of the hub.
        """
        try:
            self.received = self.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            if self._watch is None:
                self._watch = self._owner.hub.on_readable(self.fileno(), self._readable)
                self._owner.wait_for(self)
            return
        except OSError:
            pass  # the connection has failed
        self._unwatch()
        if self.received:
            self._entry.mark_active()  # it now waits for us, so it must not be closed to make room
        self._owner.round_robin.add(self._process)

    def _readable(self, *_: object) -> None:
        if self._watch is not None:  # otherwise it was closed in the same iteration of the hub
            self.read()

    def end(self) -> None:
        """Close the connection; only the first call has an effect."""
        self._unwatch()
        self._entry.remove()
        with suppress(OSError):
            self.close()

    def _unwatch(self) -> None:
        """Stop watching for data."""
        if self._watch is not None:
            self._watch()
            self._watch = None
            del self._owner.deadlines[self]

    def _process(self) -> bool:
        """Pass it to `join` or `serve`, or close it; return False: there is no second step."""
        if self._entry.ended:
            return False
        if not self.received:
            self.end()
            return False
        try:
            if not self._owner.join(self):
                green = socket.socket(self._owner.family, socket.SOCK_STREAM, 0, self.detach())
                self._owner.serve(RequestConnection(green, self.peer, self.received, self._entry))
        except Exception:
            log.exception("a connection failed")
            self.end()
        return False

    def respond(self, data: bytes) -> None:
        """Send a response and close the connection."""
        with suppress(OSError):
            self.send(data)
        self.end()

    def detach_descriptor(self) -> int:
        """Release the descriptor and return it."""
        self._entry.remove()
        return self.detach()


def _never() -> bool:
    return False


def _guarded(serve: Callable[[RequestConnection], object], request: RequestConnection) -> None:
    try:
        if not request.entry.ended:
            serve(request)
    except OSError:  # the connection has failed
        pass
    except Exception:
        log.exception("a connection failed")
    finally:
        request.socket.close()
