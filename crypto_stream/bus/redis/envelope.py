"""What precedes each message on a relay, and the channels that messages are published to. No I/O here.

The engine's messages carry its term and link. The term is a life of the engine, a greater one is newer; the
link is one connection of the engine to a relay, counted within the term. Messages of one link to one channel
are numbered without holes. A gateway's messages carry the term and link that they are meant for, and are
numbered per gateway.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from crypto_stream.bus.codec import VERSION
from crypto_stream.errors import BusError

# Kinds of the engine's messages. A mark has no message: it shows that those before it have arrived, and
# contains `Mark`. With UNKNOWN the engine says that it does not know this gateway.
MESSAGE, SNAPSHOT, MARK, UNKNOWN = range(4)
# Kinds of gateways' messages, besides MESSAGE. ALIVE_PARTIAL also asks for a snapshot.
JOIN, ALIVE, ALIVE_PARTIAL = range(10, 13)

_DOWN = struct.Struct(">QQQB")
_UP = struct.Struct(">8sQQQB")
_MARK = struct.Struct(">BB")
_TERM = struct.Struct(">Q")
GATEWAY_BYTES = 8
NOBODY = bytes(GATEWAY_BYTES)


class Down(NamedTuple):
    """A message of the engine."""

    term: int
    link: int
    number: int
    kind: int
    body: bytes


class Up(NamedTuple):
    """A message of `gateway`, a random id; the body of a JOIN is the id that it replaces, or NOBODY."""

    gateway: bytes
    term: int
    link: int
    number: int
    kind: int
    body: bytes


class Mark(NamedTuple):
    """How many relays the engine is configured for, and to how many it is connected."""

    relays: int
    connected: int


def pack_down(term: int, link: int, number: int, kind: int, body: bytes = b"") -> bytes:
    """Encode a message of the engine."""
    return _DOWN.pack(term, link, number, kind) + body


def unpack_down(payload: bytes) -> Down:
    """Decode a message of the engine; raise BusError if that is impossible."""
    if len(payload) < _DOWN.size:
        raise BusError(f"a message of {len(payload)} bytes on the bus is not one of ours")
    term, link, number, kind = _DOWN.unpack_from(payload)
    return Down(term, link, number, kind, payload[_DOWN.size :])


def pack_up(up: Up) -> bytes:
    """Encode a message of a gateway."""
    return _UP.pack(up.gateway, up.term, up.link, up.number, up.kind) + up.body


def unpack_up(payload: bytes) -> Up:
    """Decode a message of a gateway; raise BusError if that is impossible."""
    if len(payload) < _UP.size:
        raise BusError(f"a message of {len(payload)} bytes on the bus is not one of ours")
    gateway, term, link, number, kind = _UP.unpack_from(payload)
    return Up(gateway, term, link, number, kind, payload[_UP.size :])


def pack_mark(mark: Mark) -> bytes:
    """Encode the body of a mark."""
    return _MARK.pack(*mark)


def unpack_mark(body: bytes) -> Mark:
    """Decode the body of a mark; raise BusError if that is impossible."""
    if len(body) != _MARK.size:
        raise BusError("a mark on the bus is not one of ours")
    return Mark(*_MARK.unpack(body))


def pack_term(term: int) -> bytes:
    """Encode an engine's announcement of its term."""
    return _TERM.pack(term)


def unpack_term(payload: bytes) -> int:
    """Decode an engine's announcement of its term; raise BusError if that is impossible."""
    if len(payload) != _TERM.size:
        raise BusError("an announcement on the bus is not one of ours")
    (term,) = _TERM.unpack(payload)
    return int(term)


class Channels:
    """The names of an installation's channels; the protocol's version is part of each."""

    def __init__(self, name: str) -> None:
        self._prefix = f"cs:{name}:{VERSION}:".encode()
        self.state = self._prefix + b"state"
        self.engine = self._prefix + b"engine"
        self.term = self._prefix + b"term"
        self._topics = self._prefix + b"topic:"

    def to(self, gateway: bytes) -> bytes:
        """Return the channel of what only one gateway receives."""
        return self._prefix + b"to:" + gateway.hex().encode()

    def topic(self, topic: str, key: str) -> bytes:
        """Return the channel of a topic's key, which the gateways that watch it listen to."""
        return self._topics + f"{topic}:{key}".encode()
