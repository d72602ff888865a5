"""Incoming Socket.IO packets, over either transport: checked here, then passed to the event handlers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any
from weakref import proxy

from engineio.packet import CLOSE
from engineio.packet import Packet as EnginePacket
from socketio.packet import ACK, CONNECT_ERROR
from websockets.frames import CloseCode

from crypto_stream.gateway.delivery import packets
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.packets import PacketError, SocketioPacket
from crypto_stream.gateway.delivery.polling import PostHandler
from crypto_stream.gateway.pipes import close_transport
from crypto_stream.gateway.rate_limit import MAX_REFUSALS, REFUSALS_WITHIN_S, RateLimit, cost_of

_Refusal = dict[str, Any]
_DEFAULT_NAMESPACE = "/"


def check_event(known: Collection[str], data: object) -> _Refusal | None:
    """Return why an event packet with this data is refused, or None for an event that is `known`.

    An allow list is needed because Socket.IO keeps `connect`, `disconnect` and `*` in the same table as our
    handlers, and would call them for a viewer who sends an event of that name.
    """
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        return refusal("bad_payload", "an event must be an array that begins with its name, a string")
    if data[0] not in known:
        return refusal("unknown_event", f"no event {data[0][:40]!r}; known: {', '.join(known)}")
    return None


def refusal(code: str, reason: str) -> _Refusal:
    """Make the acknowledgement of a refused event."""
    return {"ok": False, "code": code, "reason": reason}


class Events:
    """Pass the `known` events of the default namespace to the handlers of a `socketio.Server`.

    This replaces Socket.IO's own packet handling. A refused event is always acknowledged; a packet that no
    real client sends closes the connection with a code.
    """

    def __init__(
        self,
        server: Any,
        known: Collection[str],
        counters: DeliveryMetrics,
        *,
        rate: int,
        takes: Callable[[str], bool],
        admits: Callable[[str], bool],
        joined: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow `rate` messages a second from one viewer; large ones count more, by the kilobyte.

        `takes(viewer)` says whether the viewer can still take a reply, `admits(session)` whether another
        viewer may join; `joined(viewer)` is called when a viewer has joined the namespace.
        """
        self.server = server
        self.known = known
        self.counters = counters
        self.rate = rate
        self.clock = clock
        self.takes = takes
        self.admits = admits
        self.joined = joined
        self._connect = server.eio.handlers["connect"]
        server.eio.on("connect", self._begin)

    def _begin(self, session: str, environ: dict[str, Any]) -> Any:
        connection = self.server.eio.sockets[session]
        connection.sender = Sender(self, connection)
        connection.handle_post_request = PostHandler(connection, self.counters)
        return self._connect(session, environ)


class Sender:
    """The receiving side of one engine.io session, for both its transports."""

    __slots__ = ("_connection", "_events", "rate_limit")

    def __init__(self, events: Events, connection: Any) -> None:
        """Handle the packets of an `engineio.socket.Socket`."""
        self._events = events
        self._connection = proxy(connection)  # it refers to us: avoid a reference cycle
        self.rate_limit = RateLimit(events.rate, events.clock())

    def admits(self, text: str, *, busy: bool) -> bool:
        """Return whether to queue a message for `take`; otherwise it has been refused. Never blocks.

        `busy` refuses it even within the rate limit. Raises PacketError for an abusive sender.
        """
        events = self._events
        allowed = self.rate_limit.allows(events.clock(), cost_of(len(text)))
        if allowed and not busy:
            return True
        events.counters.refused_events["rate_limited"] += 1
        if self.rate_limit.abusive():
            reason = (
                f"{MAX_REFUSALS} messages over the limit of {events.rate} a second in {REFUSALS_WITHIN_S:g} s"
            )
            raise PacketError(reason, CloseCode.POLICY_VIOLATION)
        ack_id = packets.ack_id_of(text)
        if ack_id is not None:
            limit = f"at most {events.rate} messages a second per viewer (viewer_rate)"
            self._acknowledge(ack_id, refusal("rate_limited", f"{limit}: this message was not processed"))
        return False

    def take(self, text: str) -> None:
        """Handle a message; raise PacketError for a packet that no real client sends."""
        packet = packets.read_message(text)
        if packet.kind == packets.CONNECT:
            self._join(packet)
        elif packet.namespace != _DEFAULT_NAMESPACE or not self._viewer():
            raise PacketError("join the default namespace first")
        elif packet.kind == packets.DISCONNECT:
            self._connection.receive(EnginePacket(CLOSE))
        else:
            self._event(packet)

    def _join(self, packet: SocketioPacket) -> None:
        server, session = self._events.server, self._connection.sid
        if packet.namespace != _DEFAULT_NAMESPACE:
            self._refuse_to_join(
                packet.namespace, f"no namespace {packet.namespace[:40]!r}: use the default one"
            )
        elif self._viewer():
            self._refuse_to_join(_DEFAULT_NAMESPACE, "this connection has joined already")
        elif not self._events.admits(session):
            close_transport(self._connection)  # the client reconnects; CONNECT_ERROR would be final for it
        else:
            server._handle_connect(
                session, _DEFAULT_NAMESPACE, packet.data if isinstance(packet.data, dict) else None
            )
            if viewer := self._viewer():
                self._events.joined(viewer)

    def _refuse_to_join(self, namespace: str, reason: str) -> None:
        self._send(CONNECT_ERROR, {"message": reason}, namespace=namespace)

    def _event(self, packet: SocketioPacket) -> None:
        events = self._events
        refused = (
            refusal("bad_payload", packet.broken) if packet.broken else check_event(events.known, packet.data)
        )
        if refused is None:
            events.server._handle_event(self._connection.sid, _DEFAULT_NAMESPACE, packet.ack_id, packet.data)
            return
        events.counters.refused_events[refused["code"]] += 1
        if packet.ack_id is not None:
            self._acknowledge(packet.ack_id, refused)

    def _viewer(self) -> str | None:
        manager = self._events.server.manager
        viewer: str | None = manager.sid_from_eio_sid(self._connection.sid, _DEFAULT_NAMESPACE)
        return viewer if manager.is_connected(viewer, _DEFAULT_NAMESPACE) else None

    def _acknowledge(self, ack_id: int, answer: _Refusal) -> None:
        viewer = self._viewer()
        if viewer is not None and self._events.takes(viewer):
            self._send(ACK, [answer], id=ack_id)

    def _send(self, kind: int, data: object, **more: Any) -> None:
        server = self._events.server
        server._send_packet(
            self._connection.sid,
            server.packet_class(kind, data=data, **{"namespace": _DEFAULT_NAMESPACE, **more}),
        )
