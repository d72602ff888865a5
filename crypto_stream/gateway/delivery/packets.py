"""Parses the Engine.IO and Socket.IO packets of clients, and rejects those that no client sends. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from engineio.packet import CLOSE, MESSAGE, PING, PONG, UPGRADE, Packet
from websockets.frames import CloseCode

from crypto_stream.errors import CryptoStreamError

# The Socket.IO packets that a client may send.
CONNECT, DISCONNECT, EVENT = "0", "1", "2"
# Packets in the body of one POST: a client sends everything it buffered while connecting at once.
MAX_PACKETS_PER_POST = 1_000
_SEPARATOR = "\x1e"
_KINDS = {"1": CLOSE, "2": PING, "3": PONG, "4": MESSAGE, "5": UPGRADE}
# Type, namespace, id of the requested acknowledgement; the rest is JSON.
_SHAPE = re.compile(r"([0-9])(?:(/[^,?]{0,200})(?:\?[^,]{0,200})?(?:,|\Z))?([0-9]{0,15})(?![0-9])")
_WHY_NOT = {
    "3": "no acknowledgement was requested",
    "4": "only the server sends connection errors",
    "5": "events do not accept binary data",
    "6": "events do not accept binary data",
}


class PacketError(CryptoStreamError):
    """A packet that no real client sends: the connection is closed with this code and reason."""

    def __init__(self, reason: str, close_code: int = CloseCode.PROTOCOL_ERROR, kind: str = "") -> None:
        """`kind` is the label for the metrics; by default the reason, where there are only a few."""
        super().__init__(reason)
        self.kind = kind or reason
        self.close_code = close_code


class SocketioPacket(NamedTuple):
    """One Socket.IO packet; `ack_id` is set if an acknowledgement is requested.

    `data` is the parsed JSON; `broken` says why it could not be parsed.
    """

    kind: str
    namespace: str
    ack_id: int | None
    data: Any
    broken: str = ""


def read(message: str | bytes) -> Packet:
    """Parse one Engine.IO packet; PacketError if no client sends such a packet."""
    if isinstance(message, bytes):
        raise PacketError("binary messages are not accepted", CloseCode.UNSUPPORTED_DATA)
    kind = _KINDS.get(message[:1])
    if kind is None:
        raise PacketError("not a valid Engine.IO packet")
    return Packet(kind, data=message[1:])


def read_body(body: bytes) -> list[Packet]:
    """Parse the Engine.IO packets in the body of a POST; PacketError if any of them is invalid."""
    try:
        messages = body.decode().split(_SEPARATOR, MAX_PACKETS_PER_POST)
    except UnicodeDecodeError:
        raise PacketError("the body must be UTF-8", CloseCode.INVALID_DATA) from None
    if len(messages) > MAX_PACKETS_PER_POST:
        raise PacketError(f"at most {MAX_PACKETS_PER_POST} packets in a body", CloseCode.POLICY_VIOLATION)
    return [read(message) for message in messages]


def read_message(text: str) -> SocketioPacket:
    """Parse one Socket.IO packet; PacketError if it cannot be acknowledged with an error instead."""
    shape = _SHAPE.match(text)
    if shape is None:
        raise PacketError("not a valid Socket.IO packet")
    kind, namespace, digits = shape.groups()
    if kind not in (CONNECT, DISCONNECT, EVENT):
        raise PacketError(_WHY_NOT.get(kind, "not a valid Socket.IO packet"))
    ack_id = int(digits) if digits else None
    data, broken = _json(text[shape.end() :])
    if broken and (ack_id is None or kind != EVENT):
        raise PacketError(broken, CloseCode.INVALID_DATA, "broken JSON")
    return SocketioPacket(kind, namespace or "/", ack_id, data, broken)


def ack_id_of(text: str) -> int | None:
    """Return the acknowledgement id of an event of the default namespace, if it has one."""
    shape = _SHAPE.match(text)
    if shape is None or shape[1] != EVENT or not shape[3] or shape[2] not in (None, "/"):
        return None
    return int(shape[3])


def _json(text: str) -> tuple[Any, str]:
    if not text:
        return None, ""
    try:
        return msgspec.json.decode(text), ""
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return None, f"the packet's JSON cannot be read: {error}"
