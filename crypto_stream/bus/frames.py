"""Frames on a byte stream: four bytes of length, big-endian, then one msgpack message. No I/O here."""

from __future__ import annotations

import msgspec

from crypto_stream.bus.interface import MAX_MESSAGE
from crypto_stream.bus.messages import ToEngine, ToGateway
from crypto_stream.errors import BusError

_HEAD = 4
_encoder = msgspec.msgpack.Encoder()
_to_gateway = msgspec.msgpack.Decoder(ToGateway)
_to_engine = msgspec.msgpack.Decoder(ToEngine)


def encode_value(value: object) -> msgspec.Raw:
    """Encode an answer's value."""
    return msgspec.Raw(_encoder.encode(value))


def encode_frame(message: ToGateway | ToEngine) -> bytes:
    """Encode one message with its length before it."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEAD, "big") + body


class Splitter:
    """Cut a stream of bytes, fed in any pieces, into message bodies; holds at most one unfinished message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes, return the bodies they complete; raise BusError for a length no peer of ours sends."""
        buffer = self._buffer
        buffer += data
        bodies: list[bytes] = []
        start = 0
        while len(buffer) - start >= _HEAD:
            end = start + _HEAD + int.from_bytes(buffer[start : start + _HEAD], "big")
            if end - start - _HEAD > MAX_MESSAGE:
                raise BusError(f"a bus message of {end - start - _HEAD} bytes is no message of ours")
            if len(buffer) < end:
                break
            bodies.append(bytes(buffer[start + _HEAD : end]))
            start = end
        del buffer[:start]
        return bodies


def decode_to_gateway(body: bytes) -> ToGateway:
    """Decode what the engine sent; BusError when it is no message."""
    try:
        message: ToGateway = _to_gateway.decode(body)
    except msgspec.MsgspecError as error:
        raise BusError(f"unreadable message from the engine: {error}") from None
    return message


def decode_to_engine(body: bytes) -> ToEngine:
    """Decode what a gateway sent; BusError when it is no message."""
    try:
        message: ToEngine = _to_engine.decode(body)
    except msgspec.MsgspecError as error:
        raise BusError(f"unreadable message from a gateway: {error}") from None
    return message
