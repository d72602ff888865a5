"""Framing on a byte stream: one byte of version, four bytes of length, one message. No I/O here."""

from __future__ import annotations

import struct

from crypto_stream.bus.codec import VERSION, encode
from crypto_stream.bus.interface import MAX_MESSAGE
from crypto_stream.bus.messages import ToEngine, ToGateway
from crypto_stream.errors import BusError

_HEADER = struct.Struct(">BI")


def encode_frame(message: ToGateway | ToEngine) -> bytes:
    """Encode one message with its header."""
    body = encode(message)
    return _HEADER.pack(VERSION, len(body)) + body


class Splitter:
    """Split a byte stream, fed in pieces of any size, into message bodies; buffers at most one message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes and return the bodies completed by them; raise BusError for an invalid header."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start = 0
        while len(buffer) - start >= _HEADER.size:
            version, size = _HEADER.unpack_from(buffer, start)
            if version != VERSION:
                raise BusError(
                    f"the other end of the bus uses version {version} of its protocol, this one {VERSION}: "
                    "restart the engine and its gateways with the same version of Crypto Stream"
                )
            if size > MAX_MESSAGE:
                raise BusError(f"a bus message of {size} bytes is too long")
            begin = start + _HEADER.size
            if len(buffer) < begin + size:
                break
            start = begin + size
            bodies.append(bytes(buffer[begin:start]))
        del buffer[:start]
        return bodies
