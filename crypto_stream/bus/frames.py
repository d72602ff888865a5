"""Frames on a byte stream: the protocol's version, four bytes of length, then one message. No I/O here."""

from __future__ import annotations

import struct

from crypto_stream.bus.codec import VERSION, encode
from crypto_stream.bus.interface import MAX_MESSAGE
from crypto_stream.bus.messages import ToEngine, ToGateway
from crypto_stream.errors import BusError

_HEAD = struct.Struct(">BI")


def encode_frame(message: ToGateway | ToEngine) -> bytes:
    """Encode one message with its head before it."""
    body = encode(message)
    return _HEAD.pack(VERSION, len(body)) + body


class Splitter:
    """Cut a stream of bytes, fed in any pieces, into message bodies; holds at most one unfinished message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes, return the bodies they complete; raise BusError for a head that no peer sends."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start = 0
        while len(buffer) - start >= _HEAD.size:
            version, size = _HEAD.unpack_from(buffer, start)
            if version != VERSION:
                raise BusError(
                    f"the other end of the bus speaks version {version} of it, this program {VERSION}: "
                    "restart the engine and its gateways with the same version of Crypto Stream"
                )
            if size > MAX_MESSAGE:
                raise BusError(f"a bus message of {size} bytes is no message of ours")
            begin = start + _HEAD.size
            if len(buffer) < begin + size:
                break
            start = begin + size
            bodies.append(bytes(buffer[begin:start]))
        del buffer[:start]
        return bodies
