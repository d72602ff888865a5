"""Turns requests into WebSockets: the handshake, then taking the connection away from the WSGI server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from crypto_stream.gateway.delivery.address_limit import AddressLimit
from crypto_stream.gateway.delivery.bounds import Bounds, PartialMessages
from crypto_stream.gateway.delivery.handshake import HandshakeResponse, refusal, respond
from crypto_stream.gateway.delivery.hub import DETACH, Hub
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.round_robin import RoundRobin
from crypto_stream.gateway.delivery.session import ViewerSession
from crypto_stream.gateway.delivery.websocket import WebSocket

_WebSocket = TypeVar("_WebSocket", bound=WebSocket)


class Upgrades:
    """Opens the WebSockets of this gateway, counts them, and has their shared limits."""

    def __init__(
        self, hub: Hub, counters: DeliveryMetrics, *, address_limit: AddressLimit, max_message: int
    ) -> None:
        """A message may have `max_message` bytes."""
        self.hub = hub
        self.open = 0
        self.bounds = Bounds(
            max_message,
            PartialMessages(counters.ended_connections),
            RoundRobin(hub.spawn, hub.yield_control),
        )
        self._counters = counters
        self._address_limit = address_limit

    def respond(self, environ: Mapping[str, Any], *, compression: bool, counted: bool) -> HandshakeResponse:
        """Respond to a handshake; 101 accepts it. `counted`: the address limit already counts the session."""
        address = str(environ.get("REMOTE_ADDR", ""))
        if not counted and self._address_limit.full(address):
            self._counters.refused += 1
            text = (
                f"at most {self._address_limit.max_connections} connections of one address (max_per_address)"
            )
            self._counters.refusals.note("too_many_connections", text, address)
            return refusal(HTTPStatus.TOO_MANY_REQUESTS, text)
        return respond(environ, compression=compression)

    def upgrade(
        self,
        environ: Mapping[str, Any],
        response: HandshakeResponse,
        make: Callable[[int, Callable[[], None]], _WebSocket],
        *,
        counted: bool,
    ) -> _WebSocket:
        """Take the socket from the WSGI server and start the WebSocket that `make` creates on it.

        `make` gets the descriptor, and a function to call once the WebSocket has ended.
        """
        address = None if counted else str(environ.get("REMOTE_ADDR", ""))
        descriptor, early = environ[DETACH]()
        if address is not None:
            self._address_limit.add(address)
        websocket = make(descriptor, self.count_open(address))
        websocket.begin(response.serialized())
        self.hub.call_soon(websocket.start, early)
        return websocket

    def count_open(self, address: str | None = None) -> Callable[[], None]:
        """Count one more WebSocket; call the returned function at its end.

        `address` is the one it is counted for in the address limit, if it is.
        """
        self.open += 1
        return lambda: self._count_closed(address)

    def _count_closed(self, address: str | None) -> None:
        self.open -= 1
        if address is not None:
            self._address_limit.remove(address)


class EngineioUpgrade:
    """The class in engine.io's `websocket` slot, as one object."""

    def __init__(self, upgrades: Upgrades, counters: DeliveryMetrics, *, compression: bool) -> None:
        """`upgrades` opens the WebSockets."""
        self._upgrades = upgrades
        self._counters = counters
        self._compression = compression

    def __call__(self, handler: Any, _server: Any) -> Callable[..., Iterable[bytes]]:
        """Return the WSGI application of one connection; `handler` is bound to its engine.io socket."""
        connection = handler.__self__

        def upgrade(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            return self._upgrade(connection, environ, start_response)

        return upgrade

    def _upgrade(
        self, connection: Any, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> tuple[bytes, ...]:
        """Respond to the handshake with a tuple: engine.io would treat a list as packets."""
        response = self._respond(connection, environ)
        if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            if not connection.connected:  # the session would stay open until its first ping
                connection.close(wait=False, abort=True, reason="bad handshake")
            start_response(f"{response.status} {response.phrase}", response.headers)
            return (response.body,)

        def make(descriptor: int, on_close: Callable[[], None]) -> ViewerSession:
            return ViewerSession(
                descriptor,
                self._upgrades.hub,
                list(response.extensions),
                self._upgrades.bounds,
                connection,
                self._counters,
                on_close,
            )

        self._upgrades.upgrade(environ, response, make, counted=True)
        return ()

    def _respond(self, connection: Any, environ: dict[str, Any]) -> HandshakeResponse:
        if connection.upgrading:
            return refusal(HTTPStatus.BAD_REQUEST, "this session is being upgraded already")
        return self._upgrades.respond(environ, compression=self._compression, counted=True)
