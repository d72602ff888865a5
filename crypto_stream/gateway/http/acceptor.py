"""Accept connections as long as there is room; where there is none, keep who is there and wait."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Any

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_PAUSE_S = 0.02
# The process or the machine can open no more.
_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CLOSED = {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}


class Acceptor:
    """Accept on a listening green socket, and serve each connection in a green thread of its own."""

    def __init__(
        self, listener: Any, connections: Connections, counters: DeliveryMetrics, throttle: LogThrottle
    ) -> None:
        """Prepare; `run` does it."""
        self.running = True
        self._listener = listener
        self._connections = connections
        self._counters = counters
        self._throttle = throttle

    def run(self, spawn: Callable[..., object], serve: Callable[[Any, Any], object]) -> None:
        """Accept until `stop`; `spawn(call, …)` returns at once, `serve(connection, address)` at the end."""
        while self.running:
            if not self._connections.room():
                self._wait("as many connections as this process takes")
                continue
            try:
                connection, address = self._listener.accept()
            except OSError as error:
                if error.errno in _CLOSED:
                    self.running = False
                elif error.errno in _OUT_OF:
                    self._connections.make_room()
                    self._wait(str(error))
                continue  # anything else befell one connection that has gone already
            spawn(_guarded, serve, connection, address)
            time.sleep(0)  # a crowd at the door would let nobody else run

    def stop(self) -> None:
        """Accept no more; what is open goes on."""
        self.running = False
        self._listener.close()

    def _wait(self, why: str) -> None:
        self._counters.accept_pauses += 1
        if self._throttle.due("accept"):
            log.warning("no room for more connections: new ones wait", extra={"reason": why})
        time.sleep(_PAUSE_S)


def _guarded(serve: Callable[[Any, Any], object], connection: Any, address: Any) -> None:
    try:
        serve(connection, address)
    except OSError:  # it broke
        pass
    except Exception:
        log.exception("a connection failed")
    finally:
        connection.close()
