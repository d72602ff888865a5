"""What viewers may send over Socket.IO: every packet, whatever the transport, is judged here."""

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
from crypto_stream.gateway.delivery.packets import Asked, PacketError
from crypto_stream.gateway.delivery.polling import Posts
from crypto_stream.gateway.order_sessions.rate_limit import MOST_REFUSED, WITHIN_S, RateLimit
from crypto_stream.gateway.pipes import close_transport

_Refusal = dict[str, Any]
_PLACE = "/"
# Bytes of a message that cost as much as a message.
_AS_ONE = 1024


def judge(known: Collection[str], data: object) -> _Refusal | None:
    """Return why an event packet with this data is refused, or None for an event that is `known`.

    A list of what is allowed: Socket.IO keeps `connect`, `disconnect` and `*` in the same table as our
    handlers, and would call them for a viewer who sends an event of that name.
    """
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        return refusal("bad_payload", "an event is an array that begins with its name, a text")
    if data[0] not in known:
        return refusal("unknown_event", f"no event {data[0][:40]!r}; known: {', '.join(known)}")
    return None


def refusal(code: str, reason: str) -> _Refusal:
    """Make the acknowledgement of what is refused."""
    return {"ok": False, "code": code, "reason": reason}


class Events:
    """Hand the `known` events of the default namespace to the handlers of a `socketio.Server`.

    Takes the place of Socket.IO's own reading of packets. An event that is refused is acknowledged, a packet
    that no client sends ends the connection with a code; none is left without either.
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
        """Allow `rate` messages a second of one viewer; those of a kilobyte and more count by their size.

        `takes(viewer)` says whether this viewer is still to be answered, `admits(session)` whether one more
        may join, `joined(viewer)` is called when its connection to the namespace is complete.
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
        connection.handle_post_request = Posts(connection, self.counters)
        return self._connect(session, environ)


class Sender:
    """One engine.io session as a sender of Socket.IO packets; both its transports come here."""

    __slots__ = ("_connection", "_events", "pace")

    def __init__(self, events: Events, connection: Any) -> None:
        """Judge what comes over an `engineio.socket.Socket`."""
        self._events = events
        self._connection = proxy(connection)  # which holds us: a circle would outlive it for a while
        self.pace = RateLimit(events.rate, events.clock())

    def admits(self, text: str, *, busy: bool) -> bool:
        """Say whether a message is to be kept until its turn; else it was answered. Never waits.

        `busy` refuses it whatever the sender's pace. Raises PacketError for who cannot mean well.
        """
        events = self._events
        allowed = self.pace.allows(events.clock(), 1 + len(text) // _AS_ONE)
        if allowed and not busy:
            return True
        events.counters.refused_events["rate_limited"] += 1
        if self.pace.abused():
            reason = f"{MOST_REFUSED} messages over the limit of {events.rate} a second in {WITHIN_S:g} s"
            raise PacketError(reason, CloseCode.POLICY_VIOLATION)
        number = packets.number_of(text)
        if number is not None:
            reason = (
                f"at most {events.rate} messages a second of one viewer (viewer_rate): this one was not done"
            )
            self._acknowledge(number, refusal("rate_limited", reason))
        return False

    def take(self, text: str) -> None:
        """Do what a message asks; raise PacketError for what no client sends."""
        asked = packets.read_message(text)
        if asked.kind == packets.CONNECT:
            self._join(asked)
        elif asked.namespace != _PLACE or not self._viewer():
            raise PacketError("join the default namespace first")
        elif asked.kind == packets.DISCONNECT:
            self._connection.receive(EnginePacket(CLOSE))
        else:
            self._event(asked)

    def _join(self, asked: Asked) -> None:
        server, session = self._events.server, self._connection.sid
        if asked.namespace != _PLACE:
            self._refuse_to_join(
                asked.namespace, f"no namespace {asked.namespace[:40]!r}: use the default one"
            )
        elif self._viewer():
            self._refuse_to_join(_PLACE, "this connection has joined already")
        elif not self._events.admits(session):
            close_transport(self._connection)  # it comes back; CONNECT_ERROR would be final for it
        else:
            server._handle_connect(session, _PLACE, asked.data if isinstance(asked.data, dict) else None)
            if viewer := self._viewer():
                self._events.joined(viewer)

    def _refuse_to_join(self, namespace: str, reason: str) -> None:
        self._send(CONNECT_ERROR, {"message": reason}, namespace=namespace)

    def _event(self, asked: Asked) -> None:
        events = self._events
        refused = refusal("bad_payload", asked.broken) if asked.broken else judge(events.known, asked.data)
        if refused is None:
            events.server._handle_event(self._connection.sid, _PLACE, asked.number, asked.data)
            return
        events.counters.refused_events[refused["code"]] += 1
        if asked.number is not None:
            self._acknowledge(asked.number, refused)

    def _viewer(self) -> str | None:
        manager = self._events.server.manager
        viewer: str | None = manager.sid_from_eio_sid(self._connection.sid, _PLACE)
        return viewer if manager.is_connected(viewer, _PLACE) else None

    def _acknowledge(self, number: int, answer: _Refusal) -> None:
        viewer = self._viewer()
        if viewer is not None and self._events.takes(viewer):
            self._send(ACK, [answer], id=number)

    def _send(self, kind: int, data: object, **more: Any) -> None:
        server = self._events.server
        server._send_packet(
            self._connection.sid, server.packet_class(kind, data=data, **{"namespace": _PLACE, **more})
        )
