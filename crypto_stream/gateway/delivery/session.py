"""An engine.io session on a WebSocket; replaces engine.io's queue, and its reader and writer threads."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from engineio.exceptions import SocketIsClosedError
from engineio.packet import CLOSE, MESSAGE, NOOP, PING, PONG, UPGRADE, Packet
from websockets.extensions import Extension
from websockets.frames import CloseCode

from crypto_stream.gateway.delivery import packets
from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.frames import BINARY, TEXT, Frame, framed
from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.packets import PacketError
from crypto_stream.gateway.delivery.viewers import MAX_UNSENT
from crypto_stream.gateway.delivery.websocket import WebSocket

log = logging.getLogger(__name__)

# Messages of one client, and their bytes, that may be queued; beyond this it is not read.
_MAX_QUEUED = 32
_MAX_QUEUED_BYTES = 64 * 1024
# Seconds in which a client that upgrades from polling must complete the upgrade.
UPGRADE_S = 10.0


class ViewerSession(WebSocket):
    """The WebSocket of one `engineio.socket.Socket`; also the viewer's pipe.

    Packets are handled in a green thread, because Socket.IO's handlers may block: in order, and round robin
    with those of all other clients. Only pongs are handled at once. The connection is closed when more than
    `MAX_UNSENT` frames are queued, and after a packet that no real client sends.
    """

    __slots__ = (
        "_connection",
        "_counters",
        "_on_close",
        "_open",
        "_probed",
        "_queue",
        "_queued_bytes",
        "_working",
    )

    def __init__(
        self,
        descriptor: int,
        hub: Hub,
        extensions: list[Extension],
        bounds: Bounds,
        connection: Any,
        counters: DeliveryMetrics,
        on_close: Callable[[], None],
    ) -> None:
        """Serve `connection`; `on_close` is called when the WebSocket has ended."""
        super().__init__(descriptor, hub, extensions, bounds)
        self._connection = connection
        self._counters = counters
        self._on_close = on_close
        self._queue: list[Packet | None] = []
        self._queued_bytes = 0
        self._working = self._open = self._probed = False

    def begin(self, response: bytes) -> None:
        """Send the response to the handshake; start the session, or wait for its upgrade from polling."""
        self.put_raw(response)
        if self._connection.connected:
            self._connection.upgrading = True  # from now on, polls get empty responses
            self._hub.call_later(UPGRADE_S, self._upgrade_timed_out)
        else:
            self._connection.connected = True
            self._take_over()

    def open(self, response: bytes, opened: bytes) -> None:
        """Send the response to a new session's handshake and its `opened` packet, in one write."""
        self._connection.connected = True
        self.cork()
        self.put_raw(response)
        self._take_over()
        self.put_raw(framed(TEXT, opened))
        self.uncork()

    # As engine.io's queue.

    def put(self, packet: Any, *_: Any) -> int:
        """Send a packet and return its size in bytes; None closes the connection."""
        if packet is None:
            self.end()
            return 0
        size = self.put_frame(packet) if isinstance(packet, Frame) else self._send(packet)
        if self.waiting() > MAX_UNSENT:
            self._counters.disconnected_slow += 1
            self.drop()
        return size

    def qsize(self) -> int:
        """Count the queued frames."""
        return self.waiting()

    def join(self) -> None:
        """Do nothing: no thread may wait for a slow client."""

    # As a viewer's pipe, with the methods of WebSocket.

    def polling(self) -> bool:
        """Return False: the viewer does not poll."""
        return False

    def drop(self) -> None:
        """Close the session and its connection immediately."""
        self._end("too slow")
        self.cut()

    # Called by WebSocket, on the hub.

    def received(self, message: str | bytes) -> None:
        """Queue one engine.io packet, or refuse it."""
        try:
            packet = packets.read(message)
            if self._open and packet.packet_type == PONG:
                self._count_non_message()
                if not self._connection.closed:
                    self._connection.receive(packet)
                return
            if self._open and packet.packet_type == MESSAGE:
                busy = self._queued_bytes > _MAX_QUEUED_BYTES or self._bounds.round_robin.full()
                sender = self._connection.sender
                if not sender.admits(packet.data, busy=busy):
                    self.delay_reading(sender.rate_limit.pause_s())
                    return
        except PacketError as error:
            self.refuse(error)
            return
        self._schedule(packet)
        if len(self._queue) >= _MAX_QUEUED or self._queued_bytes > _MAX_QUEUED_BYTES:
            self.pause_reading(True)

    def refuse(self, error: PacketError) -> None:
        """Close the connection because of a packet that no real client sends."""
        self._counters.refused_packets[error.kind] += 1
        for packet in self._queue:
            self._count_bytes(packet, -1)
        self._queue[:] = [packet for packet in self._queue if packet is None]  # the client has gone
        self.end(error.close_code, str(error))

    def ended(self) -> None:
        """End the session after the packets received before."""
        self._schedule(None)
        self._on_close()

    def _schedule(self, packet: Packet | None) -> None:
        self._queue.append(packet)
        self._count_bytes(packet, 1)
        if not self._working:
            self._working = True
            self._bounds.round_robin.add(self._work)

    def _count_bytes(self, packet: Packet | None, sign: int) -> None:
        size = len(packet.data) if packet is not None else 0
        self._queued_bytes += sign * size
        self._bounds.round_robin.waiting_bytes += sign * size

    def _work(self) -> bool:
        """Handle one packet; return whether there are more."""
        packet = self._queue.pop(0)
        self._count_bytes(packet, -1)
        self.cork()  # a write costs as much as everything else here
        try:
            if packet is None:
                self._transport_ended()
            elif self._open:
                self._handle(packet)
            else:
                self._upgrade(packet)
        except PacketError as error:
            self.refuse(error)
        except Exception:
            log.exception("a session failed")
            self.drop()
        self.uncork()
        if self._queue:
            return True
        self._working = False
        self.pause_reading(False)
        return False

    def _handle(self, packet: Packet) -> None:
        connection = self._connection
        if connection.closed:
            return
        try:
            dispatch(connection, packet)
        except SocketIsClosedError:
            return
        if connection.closed:
            self._forget()

    def _upgrade(self, packet: Packet) -> None:
        """Handle the two packets of an upgrade: the probe, which is answered, then the upgrade itself."""
        connection = self._connection
        if not self._probed and packet.packet_type == PING and packet.data == "probe":
            self._probed = True
            self._send(Packet(PONG, data="probe"))
            connection.queue.put(Packet(NOOP))  # ends the open poll
        elif self._probed and packet.packet_type == UPGRADE and not connection.closed:
            self._take_over()
        else:
            raise PacketError("not a valid upgrade packet")

    def _take_over(self) -> None:
        """Replace the session's queue, and send what is queued in it."""
        connection = self._connection
        queue, connection.queue = connection.queue, self
        connection.upgraded, connection.upgrading = True, False
        self._open = True
        while queue.qsize():
            packet = queue.get(block=False)
            if packet is None or packet.packet_type != NOOP:
                self.put(packet)
        queue.put(Packet(NOOP))  # ends a poll that is still open, against the protocol

    def _send(self, packet: Packet) -> int:
        encoded = packet.encode()
        if isinstance(encoded, str):
            return self.put_raw(framed(TEXT, encoded.encode()))
        return self.put_raw(framed(BINARY, bytes(encoded)))

    def _upgrade_timed_out(self, *_: object) -> None:
        if not self._open:
            self.end(CloseCode.PROTOCOL_ERROR, "the upgrade took too long")

    def _transport_ended(self) -> None:
        if self._open:
            self._end(self.fault() or self._connection.server.reason.TRANSPORT_CLOSE)
            self._connection = None  # its queue refers to us: avoid a reference cycle
        else:
            self._connection.upgrading = False  # the session continues by polling

    def _end(self, reason: str) -> None:
        if self._connection is None:
            return
        self._connection.close(wait=False, abort=True, reason=reason)
        self._forget()

    def _forget(self) -> None:
        self._connection.server.sockets.pop(self._connection.sid, None)


def dispatch(connection: Any, packet: Packet) -> None:
    """Dispatch a packet of an open session, of either transport; PacketError if it does not belong there."""
    if packet.packet_type == MESSAGE:
        connection.sender.take(packet.data)
    elif packet.packet_type in (PONG, CLOSE):
        connection.receive(packet)
    else:
        raise PacketError("this packet belongs to an upgrade")
