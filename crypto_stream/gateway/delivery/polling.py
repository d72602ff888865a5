"""Handles the POST requests of polling viewers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import proxy

from engineio.exceptions import EngineIOError
from engineio.packet import MESSAGE, Packet

from crypto_stream.gateway.delivery import packets
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.packets import PacketError
from crypto_stream.gateway.delivery.session import dispatch


class PostHandler:
    """Replaces engine.io's `handle_post_request` for one polling session.

    After a malformed packet, engine.io's own waits until the client has fetched everything in its queue. If
    the client has gone, its session and connection would stay for ever.
    """

    def __init__(self, connection: Any, counters: DeliveryMetrics) -> None:
        """Handle the requests of an `engineio.socket.Socket`."""
        self._connection = proxy(connection)  # it refers to us: avoid a reference cycle
        self._counters = counters

    def __call__(self, environ: Mapping[str, Any]) -> None:
        """Handle one POST; an invalid one ends the session with EngineIOError, which becomes a 400."""
        connection = self._connection
        try:
            for packet in self._read(environ):
                self._take(packet)
                if connection.closed:  # the client has left, or was cut off
                    connection.server.sockets.pop(connection.sid, None)
                    return
        except PacketError as error:
            self._counters.refused_packets[error.kind] += 1
            connection.close(wait=False, abort=True, reason=str(error))
            connection.server.sockets.pop(connection.sid, None)
            raise EngineIOError(str(error)) from None

    def _read(self, environ: Mapping[str, Any]) -> list[Packet]:
        length = environ.get("CONTENT_LENGTH") or "0"
        max_bytes = self._connection.server.max_http_buffer_size
        if not length.isdecimal() or int(length) > max_bytes:
            raise PacketError(f"at most {max_bytes} bytes in a body")
        return packets.read_body(environ["wsgi.input"].read(int(length)))

    def _take(self, packet: Packet) -> None:
        connection = self._connection
        if packet.packet_type != MESSAGE or connection.sender.admits(packet.data, busy=False):
            dispatch(connection, packet)
