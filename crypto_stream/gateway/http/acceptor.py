"""Accepts connections while there is room; otherwise it pauses, and existing connections stay open."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Any

from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.round_robin import SLICE_S
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_PAUSE_S = 0.02
# The process or the machine has run out of descriptors or memory.
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CLOSED = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}


class Acceptor:
    """Accepts connections on the hub, for a fraction of a millisecond at a time so that others can run."""

    def __init__(
        self,
        listener: Any,
        hub: Hub,
        connections: Connections,
        counters: DeliveryMetrics,
        throttle: LogThrottle,
        take: Callable[[int, Any], None],
    ) -> None:
        """`listener` is a real (not green) socket; `take(descriptor, address)` gets each connection."""
        self.running = True
        self._listener = listener
        self._hub = hub
        self._connections = connections
        self._counters = counters
        self._throttle = throttle
        self._take = take
        self._watch: Stop | None = None
        self._resume()

    def stop(self) -> None:
        """Stop accepting; open connections continue."""
        self.running = False
        self._unwatch()
        self._listener.close()

    def _resume(self, *_: object) -> None:
        if self.running and self._watch is None:
            self._watch = self._hub.on_readable(self._listener.fileno(), self._acceptable)

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch()
            self._watch = None

    def _acceptable(self, *_: object) -> None:
        until = time.perf_counter() + SLICE_S
        try:
            while self._accept() and time.perf_counter() < until:
                pass
        except Exception:
            log.exception("a connection could not be accepted")

    def _accept(self) -> bool:
        """Accept one connection; return whether another one may follow."""
        if not self.running:
            return False
        if not self._connections.has_room():
            self._pause("limit of connections reached")
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
            self._unwatch()
            return False
        if error.errno in _EXHAUSTED:
            self._connections.make_room()
            self._pause(str(error))
            return False
        return True  # any other error concerns a single connection, which is already closed

    def _pause(self, reason: str) -> None:
        self._counters.accept_pauses += 1
        if self._throttle.due("accept"):
            log.warning("no room for more connections: new ones wait", extra={"reason": reason})
        self._unwatch()
        self._hub.call_later(_PAUSE_S, self._resume)
