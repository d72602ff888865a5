"""What polling viewers send: the bodies of their POSTs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import proxy

from engineio.exceptions import EngineIOError
from engineio.packet import MESSAGE, Packet

from crypto_stream.gateway.delivery import packets
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.packets import PacketError
from crypto_stream.gateway.delivery.session import take


class Posts:
    """Stand in for engine.io's `handle_post_request` of one polling session.

    engine.io's own waits, after a malformed packet, until the client has fetched all that it is owed: one
    that went away keeps its session and its connection for ever.
    """

    def __init__(self, connection: Any, counters: DeliveryMetrics) -> None:
        """Serve an `engineio.socket.Socket`."""
        self._connection = proxy(connection)  # which holds us: a circle would outlive it for a while
        self._counters = counters

    def __call__(self, environ: Mapping[str, Any]) -> None:
        """Take one POST; raise EngineIOError, which is answered with 400, after the session has ended."""
        connection = self._connection
        try:
            for packet in self._read(environ):
                self._take(packet)
                if connection.closed:  # it left, or was cut
                    connection.server.sockets.pop(connection.sid, None)
                    return
        except PacketError as error:
            self._counters.refused_packets[error.kind] += 1
            connection.close(wait=False, abort=True, reason=str(error))
            connection.server.sockets.pop(connection.sid, None)
            raise EngineIOError(str(error)) from None

    def _read(self, environ: Mapping[str, Any]) -> list[Packet]:
        length = environ.get("CONTENT_LENGTH") or "0"
        most = self._connection.server.max_http_buffer_size
        if not length.isdecimal() or int(length) > most:
            raise PacketError(f"at most {most} bytes in a body")
        return packets.read_body(environ["wsgi.input"].read(int(length)))

    def _take(self, packet: Packet) -> None:
        connection = self._connection
        if packet.packet_type != MESSAGE or connection.sender.admits(packet.data, busy=False):
            take(connection, packet)
