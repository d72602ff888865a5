"""Connections that have not asked anything yet: on the hub, without a green thread for any of them."""

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
from crypto_stream.gateway.delivery.turns import Turns
from crypto_stream.gateway.http.connections import Connections, Seat

log = logging.getLogger(__name__)

# Seconds a connection may be without a request: more than the 60 of usual proxies, which must close first.
IDLE_S = 90.0
# Bytes read at first: whole heads, and little enough to be kept for all whose turn has not come yet.
_CHUNK = 4 * 1024


class Caller(NamedTuple):
    """A connection whose first bytes `came`, as a green socket, for the server."""

    connection: Any
    peer: Any
    came: bytes
    seat: Seat


class Arrivals:
    """Wait for the first bytes of each connection; let those in that `join`, hand all others to `serve`.

    What arrives is judged in turn, part of a millisecond in a row: of a crowd that comes at once each is one
    piece of work. Only who is to be served gets a green thread.
    """

    def __init__(
        self,
        family: int,
        hub: Hub,
        connections: Connections,
        join: Callable[[Arrival], bool],
        serve: Callable[[Caller], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take connections of the address `family`, each with a place among `connections`.

        `join` says False where it has nothing to do with what came.
        """
        self.family = family
        self.hub = hub
        self.connections = connections
        self.join = join
        self.turns = Turns(hub.spawn, lambda: time.sleep(0))
        self.due: dict[Arrival, float] = {}  # oldest first
        self._serve = serve
        self._clock = clock

    def take(self, descriptor: int, address: Any) -> None:
        """Take a connection that was just accepted; often its first bytes are here already."""
        Arrival(self, descriptor, address).read()

    def wait_for(self, arrival: Arrival) -> None:
        """Note that nothing came from it yet."""
        self.due[arrival] = self._clock() + IDLE_S

    def serve(self, caller: Caller) -> None:
        """Have a request served in a green thread of its own."""
        self.hub.spawn(partial(_guarded, self._serve, caller))

    def sweep(self) -> None:
        """End those that never asked anything."""
        now = self._clock()
        while self.due and next(iter(self.due.values())) <= now:
            next(iter(self.due)).end()


class Arrival(_socket.socket):
    """One connection until its first bytes came. It is the socket itself, for as short as that may be."""

    __slots__ = ("_all", "_seat", "_watch", "came", "peer")

    def __init__(self, everything: Arrivals, descriptor: int, peer: Any) -> None:
        """Take over a connection; nothing but its address depends on the family."""
        super().__init__(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
        self.setblocking(False)
        self.peer = peer
        self._all = everything
        self._seat = everything.connections.enter(self.end, _never)
        self._watch: Stop | None = None
        self.came = b""

    def read(self) -> None:
        """Read what is here, on the hub; with it this connection waits for its turn."""
        try:
            self.came = self.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            if self._watch is None:
                self._watch = self._all.hub.reading(self.fileno(), self._readable)
                self._all.wait_for(self)
            return
        except OSError:
            pass  # it broke
        self._rest()
        if self.came:
            self._seat.work()  # it waits for us, and is nobody who has waited for long
            self._all.turns.add(self._go_on)
        else:
            self.end()

    def _readable(self, *_: object) -> None:
        if self._watch is not None:  # else it was ended in the same turn of the hub
            self.read()

    def end(self) -> None:
        """End the connection; the second time nothing happens."""
        self._rest()
        self._seat.leave()
        with suppress(OSError):
            self.close()

    def _rest(self) -> None:
        """Wait for nothing any more."""
        if self._watch is not None:
            self._watch()
            self._watch = None
            del self._all.due[self]

    def _go_on(self) -> bool:
        """Let it join, or be served; there is no more to do afterwards."""
        if self._seat.ended:
            return False
        try:
            if not self._all.join(self):
                green = socket.socket(self._all.family, socket.SOCK_STREAM, 0, self.detach())
                self._all.serve(Caller(green, self.peer, self.came, self._seat))
        except Exception:
            log.exception("a connection failed")
            self.end()
        return False

    def answer(self, data: bytes) -> None:
        """Answer, and end the connection: all that came was read, so that the client sees it."""
        with suppress(OSError):
            self.send(data)
        self.end()

    def leave(self) -> int:
        """Give the descriptor away: the connection is somebody else's from now on."""
        self._seat.leave()
        return self.detach()


def _never() -> bool:
    return False


def _guarded(serve: Callable[[Caller], object], caller: Caller) -> None:
    try:
        if not caller.seat.ended:
            serve(caller)
    except OSError:  # it broke
        pass
    except Exception:
        log.exception("a connection failed")
    finally:
        caller.connection.close()
