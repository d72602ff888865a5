"""Connections that have not sent a whole head yet: watched by the hub, without a green thread for each."""

from __future__ import annotations

import _socket
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.round_robin import RoundRobin
from crypto_stream.gateway.http.connections import ConnectionEntry, Connections
from crypto_stream.gateway.http.reader import is_unfinished

log = logging.getLogger(__name__)

# Seconds for which a connection may be idle: more than the usual 60 of proxies, which must close first.
IDLE_S = 90.0
# Seconds from the first byte of a head to its end.
HEAD_S = 20.0
# Bytes of the first read: enough for a head, and few enough to be buffered for every queued connection.
_READ_BYTES = 4 * 1024


class RequestConnection(NamedTuple):
    """A connection with a request for the server: a green socket, and the first bytes `received`.

    The rest of its head must arrive before `head_until` (on the monotonic clock; None: `HEAD_S` from now).
    """

    socket: Any
    peer: Any
    received: bytes
    entry: ConnectionEntry
    head_until: float | None


class NewConnections:
    """Waits for the first bytes of each connection, then passes it to `join`, or else to `serve`.

    If they only begin a head, it first waits for more, once. They are processed round robin, a fraction of a
    millisecond at a time, so that thousands of simultaneous connections do not block the process. Only those
    passed to `serve` get a green thread.
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
        # The deadlines of those that have sent nothing, and of those that have begun a head; oldest first.
        self.silent: dict[NewConnection, float] = {}
        self.unfinished: dict[NewConnection, float] = {}
        self.clock = clock
        self._serve = serve

    def take(self, descriptor: int, address: Any) -> None:
        """Add a connection that was just accepted; often its first bytes have already arrived."""
        NewConnection(self, descriptor, address).read()

    def serve(self, request: RequestConnection) -> None:
        """Serve a connection in a green thread of its own."""
        self.hub.spawn(partial(_guarded, self._serve, request))

    def sweep(self) -> None:
        """Close the connections whose deadline has passed; those that have begun a head get a response."""
        for connection in self._due(self.silent):
            connection.end()
        for connection in self._due(self.unfinished):
            connection.queue()

    def _due(self, deadlines: dict[NewConnection, float]) -> list[NewConnection]:
        now = self.clock()
        return list(takewhile(lambda connection: deadlines[connection] <= now, deadlines))


class NewConnection(_socket.socket):
    """One connection until its first bytes are processed; it inherits from the socket to save memory."""

    __slots__ = ("_entry", "_head_until", "_hung_up", "_owner", "_watch", "peer", "received")

    def __init__(self, owner: NewConnections, descriptor: int, peer: Any) -> None:
        """Take ownership of a descriptor."""
        super().__init__(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)  # of whichever family
        self.setblocking(False)
        self.peer = peer
        self._owner = owner
        self._entry = owner.connections.add(self.end, _never)
        self._watch: Stop | None = None
        self._head_until: float | None = None
        self._hung_up = False
        self.received = b""

    def read(self) -> None:
        """Read what has arrived and queue it to be processed, or wait for it; called on the hub.

        If the client has hung up, closing is queued too: thousands may hang up in one iteration of the hub.
        """
        try:
            data = self.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            if self._watch is None:
                self._wait(self._owner.silent, self._owner.clock() + IDLE_S)
            return
        except OSError:  # the connection has failed
            data = b""
        self.received += data
        self._hung_up = not data
        self.queue()

    def queue(self) -> None:
        """Queue the connection to be processed."""
        self._unwatch()
        if not self._hung_up:
            self._entry.mark_active()  # it now waits for us, so it must not be closed to make room
        self._owner.round_robin.add(self._process)

    def _wait(self, deadlines: dict[NewConnection, float], until: float) -> None:
        """Watch for data; set a deadline."""
        self._watch = self._owner.hub.on_readable(self.fileno(), self._readable)
        deadlines[self] = until

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
            self._owner.silent.pop(self, None)
            self._owner.unfinished.pop(self, None)

    def _process(self) -> bool:
        """Close it if the client hung up, or wait for the rest of its head, or pass it on.

        Returns False: there is no second step.
        """
        if self._entry.ended:
            return False
        if self._hung_up:
            self.end()
            return False
        try:
            if self._head_until is None and is_unfinished(self.received):
                self._wait_for_rest()
            elif not self._owner.join(self):
                green = socket.socket(self._owner.family, socket.SOCK_STREAM, 0, self.detach())
                request = RequestConnection(green, self.peer, self.received, self._entry, self._head_until)
                self._owner.serve(request)
        except Exception:
            log.exception("a connection failed")
            self.end()
        return False

    def _wait_for_rest(self) -> None:
        """Wait for the rest of a head, as one of those that may be closed to make room."""
        self._head_until = self._owner.clock() + HEAD_S
        self._wait(self._owner.unfinished, self._head_until)
        self._entry.served = False
        self._entry.mark_waiting()
        self._entry.set_buffered(len(self.received))

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
