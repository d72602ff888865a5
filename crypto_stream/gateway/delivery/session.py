"""An engine.io session on a wire: it takes the place of engine.io's queue, reader and writer."""

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
from crypto_stream.gateway.delivery.viewers import MOST_OWED
from crypto_stream.gateway.delivery.websocket import WebSocket

log = logging.getLogger(__name__)

# Messages, and their bytes, of one client that may wait for their turn; then no more is read from it.
_MOST_TO_DO = 32
_MOST_BYTES = 64 * 1024
# Seconds a client may take from opening its WebSocket to the end of the upgrade from polling.
UPGRADE_S = 10.0


class Session(WebSocket):
    """Carry one `engineio.socket.Socket` over one WebSocket; also the viewer's pipe.

    What arrives is handled one after the other, in turn with what all other clients sent: Socket.IO's
    handlers may block. Answers to heartbeats wait for nobody. More than `MOST_OWED` frames that the client
    does not take end its connection; so does what no client sends.
    """

    __slots__ = ("_connection", "_counters", "_left", "_open", "_probed", "_todo", "_waiting", "_working")

    def __init__(
        self,
        descriptor: int,
        hub: Hub,
        extensions: list[Extension],
        bounds: Bounds,
        connection: Any,
        counters: DeliveryMetrics,
        left: Callable[[], None],
    ) -> None:
        """Serve `connection`; `left` is called when the WebSocket has ended."""
        super().__init__(descriptor, hub, extensions, bounds)
        self._connection = connection
        self._counters = counters
        self._left = left
        self._todo: list[Packet | None] = []
        self._waiting = 0
        self._working = self._open = self._probed = False

    def begin(self, response: bytes) -> None:
        """Answer the handshake; go on with the session, or wait for its upgrade from polling."""
        self.put_raw(response)
        if self._connection.connected:
            self._connection.upgrading = True  # polls are answered with nothing from now on
            self._hub.later(UPGRADE_S, self._give_up)
        else:
            self._connection.connected = True
            self._take_over()

    def open(self, response: bytes, opened: bytes) -> None:
        """Answer the handshake of a new session, and tell it that it is open."""
        self._connection.connected = True
        self.gather()
        self.put_raw(response)
        self._take_over()
        self.put_raw(framed(TEXT, opened))
        self.release()

    # As engine.io's queue.

    def put(self, packet: Any, *_: Any) -> int:
        """Send a packet, or end the connection with None; return the bytes it took."""
        if packet is None:
            self.end()
            return 0
        size = self.put_frame(packet) if isinstance(packet, Frame) else self._send(packet)
        if self.waiting() > MOST_OWED:
            self._counters.disconnected_slow += 1
            self.drop()
        return size

    def qsize(self) -> int:
        """Count the frames that wait."""
        return self.waiting()

    def join(self) -> None:
        """Wait for nothing: what was put is on its way, and nobody is to wait for a slow client."""

    # As a viewer's pipe, besides what a wire has.

    def polling(self) -> bool:
        """Say that the viewer does not poll."""
        return False

    def drop(self) -> None:
        """End the session and its connection now."""
        self._end("too slow")
        self.cut()

    # What a wire asks of us, on the hub.

    def received(self, message: str | bytes) -> None:
        """Take one engine.io packet."""
        try:
            packet = packets.read(message)
            if self._open and packet.packet_type == PONG:
                self._count_small()
                if not self._connection.closed:
                    self._connection.receive(packet)
                return
            if self._open and packet.packet_type == MESSAGE:
                busy = self._waiting > _MOST_BYTES or self._bounds.turns.full()
                sender = self._connection.sender
                if not sender.admits(packet.data, busy=busy):
                    self.rest(sender.rate_limit.pause_s())
                    return
        except PacketError as error:
            self.refuse(error)
            return
        self._do(packet)
        if len(self._todo) >= _MOST_TO_DO or self._waiting > _MOST_BYTES:
            self.hold(True)

    def refuse(self, error: PacketError) -> None:
        """End the connection because of what the client sent."""
        self._counters.refused_packets[error.kind] += 1
        for packet in self._todo:
            self._weigh(packet, -1)
        self._todo.clear()
        self.end(error.close_code, str(error))

    def ended(self) -> None:
        """End the session after what arrived before."""
        self._do(None)
        self._left()

    def _do(self, packet: Packet | None) -> None:
        self._todo.append(packet)
        self._weigh(packet, 1)
        if not self._working:
            self._working = True
            self._bounds.turns.add(self._work)

    def _weigh(self, packet: Packet | None, sign: int) -> None:
        size = len(packet.data) if packet is not None else 0
        self._waiting += sign * size
        self._bounds.turns.waiting += sign * size

    def _work(self) -> bool:
        """Handle one packet; True while there are more."""
        packet = self._todo.pop(0)
        self._weigh(packet, -1)
        self.gather()  # each write costs as much as all the rest
        try:
            if packet is None:
                self._stop()
            elif self._open:
                self._handle(packet)
            else:
                self._upgrade(packet)
        except PacketError as error:
            self.refuse(error)
        except Exception:
            log.exception("a session failed")
            self.drop()
        self.release()
        if self._todo:
            return True
        self._working = False
        self.hold(False)
        return False

    def _handle(self, packet: Packet) -> None:
        connection = self._connection
        if connection.closed:
            return
        try:
            take(connection, packet)
        except SocketIsClosedError:
            return
        if connection.closed:
            self._forget()

    def _upgrade(self, packet: Packet) -> None:
        """Go through the two steps of an upgrade: a probing ping, then the upgrade itself."""
        connection = self._connection
        if not self._probed and packet.packet_type == PING and packet.data == "probe":
            self._probed = True
            self._send(Packet(PONG, data="probe"))
            connection.queue.put(Packet(NOOP))  # the poll that is open comes to its end
        elif self._probed and packet.packet_type == UPGRADE and not connection.closed:
            self._take_over()
        else:
            raise PacketError("this is no upgrade")

    def _take_over(self) -> None:
        """Put ourselves in the place of the queue, and send what waits in it."""
        connection = self._connection
        queue, connection.queue = connection.queue, self
        connection.upgraded, connection.upgrading = True, False
        self._open = True
        while queue.qsize():
            packet = queue.get(block=False)
            if packet is None or packet.packet_type != NOOP:
                self.put(packet)
        queue.put(Packet(NOOP))  # a poll that is open against the rules comes to its end too

    def _send(self, packet: Packet) -> int:
        encoded = packet.encode()
        if isinstance(encoded, str):
            return self.put_raw(framed(TEXT, encoded.encode()))
        return self.put_raw(framed(BINARY, bytes(encoded)))

    def _give_up(self, *_: object) -> None:
        if not self._open:
            self.end(CloseCode.PROTOCOL_ERROR, "the upgrade took too long")

    def _stop(self) -> None:
        if self._open:
            self._end(self.fault() or self._connection.server.reason.TRANSPORT_CLOSE)
        else:
            self._connection.upgrading = False  # the session goes on polling

    def _end(self, reason: str) -> None:
        self._connection.close(wait=False, abort=True, reason=reason)
        self._forget()

    def _forget(self) -> None:
        self._connection.server.sockets.pop(self._connection.sid, None)


def take(connection: Any, packet: Packet) -> None:
    """Hand an open session's packet, of either transport, to who handles it; raise PacketError if nobody."""
    if packet.packet_type == MESSAGE:
        connection.sender.take(packet.data)
    elif packet.packet_type in (PONG, CLOSE):
        connection.receive(packet)
    else:
        raise PacketError("this packet belongs to an upgrade")
