"""Frames, encoded once and shared by everybody who gets them: plain, compressed, or for the next poll."""

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
# Below this a small window is as good, and its compressor much cheaper to make.
_SMALL = 4096

_encoder = msgspec.json.Encoder()


class Sendable(Protocol):
    """One whole WebSocket frame in both its forms."""

    @property
    def plain(self) -> bytes:
        """Give the frame as everybody can read it."""

    @property
    def deflated(self) -> bytes:
        """Give the frame for who negotiated permessage-deflate."""


class Frame(Packet):  # type: ignore[misc]
    """One engine.io text message; each form is made when the first viewer needs it."""

    def __init__(self, text: str) -> None:
        """Take the message's text, without engine.io's own first digit."""
        super().__init__(MESSAGE, data=text)

    @cached_property
    def plain(self) -> bytes:
        """Give the whole WebSocket frame."""
        return framed(TEXT, self.encode().encode())

    @cached_property
    def deflated(self) -> bytes:
        """Give the whole frame for who negotiated permessage-deflate; plain where that is no longer."""
        payload = self.encode().encode()
        if len(payload) < _WORTH_COMPRESSING:
            return self.plain
        window, memory = (-15, 8) if len(payload) > _SMALL else (-12, 5)
        compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, window, memory)
        body = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
        made = framed(TEXT | _COMPRESSED, body[:-4])
        return made if len(made) < len(self.plain) else self.plain


def event(name: str, payload: object) -> Frame:
    """Encode one event of the default namespace."""
    frame = Frame(f'2["{name}",{_encoder.encode(payload).decode()}]')
    frame.encode()  # the packet keeps its text: no member encodes it again
    return frame


def framed(first: int, payload: bytes) -> bytes:
    """Put a server's frame header before the payload; `first` is the frame's first byte."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
