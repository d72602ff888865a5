"""Where a WebSocket comes in: from the WSGI server, through the handshake, onto a wire of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from crypto_stream.gateway.delivery.bounds import Bounds, Parts
from crypto_stream.gateway.delivery.handshake import Answer, answer, refusal
from crypto_stream.gateway.delivery.hub import DETACH, Hub
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.presence import Presence
from crypto_stream.gateway.delivery.session import Session
from crypto_stream.gateway.delivery.turns import Turns
from crypto_stream.gateway.delivery.websocket import WebSocket

_Wire = TypeVar("_Wire", bound=WebSocket)
_CROWDED = HTTPStatus.TOO_MANY_REQUESTS


class Upgrades:
    """What every WebSocket of this gateway comes through: the handshake, detaching."""

    def __init__(
        self, hub: Hub, counters: DeliveryMetrics, *, presence: Presence, most_received: int
    ) -> None:
        """Count who comes by address in `presence`; messages have `most_received` bytes."""
        self.hub = hub
        self.open = 0
        self.bounds = Bounds(
            most_received, Parts(counters.ended_connections), Turns(hub.spawn, lambda: time.sleep(0))
        )
        self._counters = counters
        self._presence = presence

    def judge(self, environ: Mapping[str, Any], *, compression: bool, counted: bool) -> Answer:
        """Make the answer to a handshake; 101 lets it in. A session is `counted` with its address already."""
        address = str(environ.get("REMOTE_ADDR", ""))
        if not counted and self._presence.full(address):
            self._counters.refused += 1
            text = f"at most {self._presence.most} connections of one address (max_per_address)"
            self._counters.refusals.note("too_many_connections", text, address)
            return refusal(_CROWDED, text)
        return answer(environ, compression=compression)

    def enter(
        self,
        environ: Mapping[str, Any],
        made: Answer,
        make: Callable[[int, Callable[[], None]], _Wire],
        *,
        counted: bool,
    ) -> _Wire:
        """Take the socket from the server; `make` puts a wire on it, which calls what it gets at its end."""
        address = None if counted else str(environ.get("REMOTE_ADDR", ""))
        descriptor, early = environ[DETACH]()
        if address is not None:
            self._presence.enter(address)
        wire = make(descriptor, self.opened(address))
        wire.begin(made.serialized())
        self.hub.soon(wire.start, early)
        return wire

    def opened(self, address: str | None = None) -> Callable[[], None]:
        """Count one more; call what is returned at its end. `address` is set if it was counted with that."""
        self.open += 1
        return lambda: self._leave(address)

    def _leave(self, address: str | None) -> None:
        self.open -= 1
        if address is not None:
            self._presence.leave(address)


class EngineioUpgrade:
    """The class in engine.io's `websocket` slot, as one object."""

    def __init__(self, entrance: Upgrades, counters: DeliveryMetrics, *, compression: bool) -> None:
        """Let viewers in through `entrance`."""
        self._entrance = entrance
        self._counters = counters
        self._compression = compression

    def __call__(self, handler: Any, _server: Any) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI application of one connection; `handler` is bound to its engine.io socket."""
        connection = handler.__self__

        def enter(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            return self._enter(connection, environ, start_response)

        return enter

    def _enter(
        self, connection: Any, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> tuple[bytes, ...]:
        """Answer the handshake. A tuple: a list would be taken for engine.io packets."""
        made = self._judge(connection, environ)
        if made.status != HTTPStatus.SWITCHING_PROTOCOLS:
            if not connection.connected:  # it would stay open until its first ping
                connection.close(wait=False, abort=True, reason="bad handshake")
            start_response(f"{made.status} {made.phrase}", made.headers)
            return (made.body,)

        def make(descriptor: int, left: Callable[[], None]) -> Session:
            return Session(
                descriptor,
                self._entrance.hub,
                list(made.extensions),
                self._entrance.bounds,
                connection,
                self._counters,
                left,
            )

        self._entrance.enter(environ, made, make, counted=True)
        return ()

    def _judge(self, connection: Any, environ: dict[str, Any]) -> Answer:
        if connection.upgrading:
            return refusal(HTTPStatus.BAD_REQUEST, "this session is being upgraded already")
        return self._entrance.judge(environ, compression=self._compression, counted=True)
