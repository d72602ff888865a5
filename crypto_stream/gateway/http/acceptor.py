"""Accept connections as long as there is room; where there is none, keep who is there and wait."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Any

from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.turns import SLICE_S
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_PAUSE_S = 0.02
# The process or the machine can open no more.
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CLOSED = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}


class Acceptor:
    """Accept on the hub, from a bare listening socket; `take(descriptor, address)` gets each connection.

    A crowd at the door lets others run: it is let in part of a millisecond in a row.
    """

    def __init__(
        self,
        listener: Any,
        hub: Hub,
        connections: Connections,
        counters: DeliveryMetrics,
        throttle: LogThrottle,
        take: Callable[[int, Any], None],
    ) -> None:
        """Begin."""
        self.running = True
        self._listener = listener
        self._hub = hub
        self._connections = connections
        self._counters = counters
        self._throttle = throttle
        self._take = take
        self._watch: Stop | None = None
        self._go_on()

    def stop(self) -> None:
        """Accept no more; what is open goes on."""
        self.running = False
        self._rest()
        self._listener.close()

    def _go_on(self, *_: object) -> None:
        if self.running and self._watch is None:
            self._watch = self._hub.reading(self._listener.fileno(), self._acceptable)

    def _rest(self) -> None:
        if self._watch is not None:
            self._watch()
            self._watch = None

    def _acceptable(self, *_: object) -> None:
        until = time.perf_counter() + SLICE_S
        try:
            while self._accept() and time.perf_counter() < until:
                pass
        except Exception:
            log.exception("a connection could not be taken")

    def _accept(self) -> bool:
        """Accept one connection; False when no other can be accepted now."""
        if not self.running:
            return False
        if not self._connections.room():
            self._wait("as many connections as this process takes")
            return False
        try:
            descriptor, address = self._listener._accept()
        except BlockingIOError:
            return False
        except OSError as error:
            return self._failed(error)
        self._take(descriptor, address)
        return True

    def _failed(self, error: OSError) -> bool:
        if error.errno in _CLOSED:
            self.running = False
            self._rest()
            return False
        if error.errno in _OUT_OF:
            self._connections.make_room()
            self._wait(str(error))
            return False
        return True  # anything else befell one connection that has gone already

    def _wait(self, why: str) -> None:
        self._counters.accept_pauses += 1
        if self._throttle.due("accept"):
            log.warning("no room for more connections: new ones wait", extra={"reason": why})
        self._rest()
        self._hub.later(_PAUSE_S, self._go_on)
