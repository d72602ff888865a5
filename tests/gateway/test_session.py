"""The logged reason why a session ended: a session on a real socket, in a real engine.io server."""

from __future__ import annotations

import socket
import struct

import pytest
from websockets.frames import Close, Frame, Opcode

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.session import ViewerSession
from tests.gateway.raw import text
from tests.gateway.test_engineio import Harness
from tests.gateway.websocket_pair import MAX_MESSAGE, Hub, bounds


def closed(code: int) -> bytes:
    """Return a client's close frame."""
    return Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(mask=True)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x81\xff" + struct.pack("!Q", MAX_MESSAGE + 1) + b"mask", "message too big (1009)"),
        (text("\x00nonsense"), "protocol error (1002)"),
        (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), "invalid frame payload data (1007)"),
        (b"\xff\xff", "protocol error (1002)"),
        (closed(4321), "closed (4321)"),
        (closed(1000), "transport close"),
        (closed(1001), "transport close"),
        (Frame(Opcode.CLOSE, b"").serialize(mask=True), "transport close"),
        (b"", "transport close"),
        (text("1"), "client disconnect"),
    ],
    ids=[  # the frames' masks are random, so they cannot be ids
        *("too long", "no packet", "no UTF-8", "reserved bits", "own code"),
        *("normal", "going away", "without code", "broken off", "engine.io's close"),
    ],
)
def test_the_reason_names_the_close_code_if_there_is_one(said: bytes, reason: str) -> None:
    """A client whose message was too big can be told apart from one that left."""
    harness, hub = Harness(), Hub()
    connection = harness.session()
    connection.connected = False
    ours, client = socket.socketpair()
    with client:
        session = ViewerSession(ours.detach(), hub, [], bounds(), connection, DeliveryMetrics(), lambda: None)
        session.begin(b"")
        session.start()
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        for _ in range(100):
            if not hub.turn():
                break
        session.cut()

    assert harness.gone == [("a", reason)]
