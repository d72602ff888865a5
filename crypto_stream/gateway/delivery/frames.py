"""Frames of Socket.IO events, encoded once and shared by everybody who gets them."""

from __future__ import annotations

import msgspec
from engineio.packet import MESSAGE, Packet

_encoder = msgspec.json.Encoder()


def event(name: str, payload: object) -> Packet:
    """Encode one event of the default namespace as an engine.io message that any number of viewers share."""
    frame = Packet(MESSAGE, data=f'2["{name}",{_encoder.encode(payload).decode()}]')
    frame.encode()  # the packet keeps its text: no member encodes it again
    return frame
