"""Frames, encoded once and shared by all recipients: uncompressed, compressed, or for a poll."""

from __future__ import annotations

import struct
import zlib
from functools import cached_property
from typing import Protocol

import msgspec
from engineio.packet import MESSAGE, Packet

TEXT = 0x81  # a whole text message (RFC 6455, 5.2)
BINARY = 0x82
_COMPRESSED = 0x40  # RSV1 of its first byte (RFC 7692, 7.2.1)
# Bytes below which compressing gains nothing.
_WORTH_COMPRESSING = 200
# Up to this size a small window compresses as well, and its compressor is much cheaper to create.
_SMALL = 4096

_encoder = msgspec.json.Encoder()


class Sendable(Protocol):
    """A complete WebSocket frame, uncompressed and compressed."""

    @property
    def uncompressed(self) -> bytes:
        """Return the uncompressed frame."""

    @property
    def deflated(self) -> bytes:
        """Return the frame for clients that negotiated permessage-deflate."""


class Frame(Packet):  # type: ignore[misc]
    """An engine.io text message; each form is encoded when the first viewer needs it."""

    def __init__(self, text: str) -> None:
        """`text` is the message without engine.io's packet type."""
        super().__init__(MESSAGE, data=text)

    @cached_property
    def uncompressed(self) -> bytes:
        """Return the uncompressed WebSocket frame."""
        return framed(TEXT, self.encode().encode())

    @cached_property
    def deflated(self) -> bytes:
        """Return the compressed WebSocket frame, or the uncompressed one where that is as short."""
        payload = self.encode().encode()
        if len(payload) < _WORTH_COMPRESSING:
            return self.uncompressed
        window, memory = (-15, 8) if len(payload) > _SMALL else (-12, 5)
        compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, window, memory)
        body = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        made = framed(TEXT | _COMPRESSED, body[:-4])
        return made if len(made) < len(self.uncompressed) else self.uncompressed


def event(name: str, payload: object) -> Frame:
    """Encode one event of the default namespace."""
    frame = Frame(f'2["{name}",{_encoder.encode(payload).decode()}]')
    frame.encode()  # the packet caches the text, so that it is not encoded again for each viewer
    return frame


def framed(first: int, payload: bytes) -> bytes:
    """Prepend an unmasked frame header to the payload; `first` is the frame's first byte."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
