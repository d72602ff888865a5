"""What a client may send over Engine.IO and Socket.IO: judged before anything of it is kept. Pure."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from engineio.packet import CLOSE, MESSAGE, PING, PONG, UPGRADE, Packet
from websockets.frames import CloseCode

from crypto_stream.errors import CryptoStreamError

# Socket.IO's packets that a client of ours may send.
CONNECT, DISCONNECT, EVENT = "0", "1", "2"
# Packets in the body of one POST: a client sends all that it kept while it connected at once.
MOST_IN_A_POST = 1_000
_SEPARATOR = "\x1e"
_KINDS = {"1": CLOSE, "2": PING, "3": PONG, "4": MESSAGE, "5": UPGRADE}
# type, namespace, number of the acknowledgement that is asked for; the rest is JSON.
_SHAPE = re.compile(r"([0-9])(?:(/[^,?]{0,200})(?:\?[^,]{0,200})?(?:,|\Z))?([0-9]{0,15})(?![0-9])")
_WHY_NOT = {
    "3": "nothing was sent that asks for an acknowledgement",
    "4": "only the server sends connection errors",
    "5": "no event takes binary data",
    "6": "no event takes binary data",
}


class PacketError(CryptoStreamError):
    """What no client of this service sends: its connection ends with this close code and reason."""

    def __init__(self, reason: str, close_code: int = CloseCode.PROTOCOL_ERROR, kind: str = "") -> None:
        """Keep them; `kind` is what the metrics count, the reason itself where that is one of a few."""
        super().__init__(reason)
        self.kind = kind or reason
        self.close_code = close_code


class Asked(NamedTuple):
    """One Socket.IO packet; `number` is set where an acknowledgement is asked for.

    `data` is its JSON, and `broken` says what is wrong with that where it cannot be read.
    """

    kind: str
    namespace: str
    number: int | None
    data: Any
    broken: str = ""


def read(message: str | bytes) -> Packet:
    """Read one Engine.IO packet; raise PacketError for any that a client never sends."""
    if isinstance(message, bytes):
        raise PacketError("binary messages are not taken", CloseCode.UNSUPPORTED_DATA)
    kind = _KINDS.get(message[:1])
    if kind is None:
        raise PacketError("this is no Engine.IO packet of a client")
    return Packet(kind, data=message[1:])


def read_body(body: bytes) -> list[Packet]:
    """Read the Engine.IO packets of a POST's body: all of them, before anything is done."""
    try:
        messages = body.decode().split(_SEPARATOR, MOST_IN_A_POST)
    except UnicodeDecodeError:
        raise PacketError("the body must be UTF-8", CloseCode.INVALID_DATA) from None
    if len(messages) > MOST_IN_A_POST:
        raise PacketError(f"at most {MOST_IN_A_POST} packets in a body", CloseCode.POLICY_VIOLATION)
    return [read(message) for message in messages]


def read_message(text: str) -> Asked:
    """Read one Socket.IO packet; raise PacketError where it cannot be answered."""
    shape = _SHAPE.match(text)
    if shape is None:
        raise PacketError("this is no Socket.IO packet")
    kind, namespace, digits = shape.groups()
    if kind not in (CONNECT, DISCONNECT, EVENT):
        raise PacketError(_WHY_NOT.get(kind, "this is no Socket.IO packet"))
    number = int(digits) if digits else None
    data, broken = _json(text[shape.end() :])
    if broken and (number is None or kind != EVENT):
        raise PacketError(broken, CloseCode.INVALID_DATA, "broken JSON")
    return Asked(kind, namespace or "/", number, data, broken)


def number_of(text: str) -> int | None:
    """Return the number under which an event of the default namespace wants its answer, if it has one."""
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
