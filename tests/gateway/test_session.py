"""How a session ends, and the logged reason: on a real socket, in a real engine.io server."""

from __future__ import annotations

import gc
import socket
import struct
from collections.abc import Callable

import pytest
from websockets.frames import Close, Frame, Opcode

from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.session import ViewerSession
from tests.gateway.raw import text
from tests.gateway.test_engineio import Harness
from tests.gateway.websocket_pair import MAX_MESSAGE, Hub, bounds


def closed(code: int) -> bytes:
    """Return a client's close frame."""
    return Frame(Opcode.CLOSE, Close(code, "").serialize()).serialize(mask=True)


ENDS = {
    "too long": (b"\x81\xff" + struct.pack("!Q", MAX_MESSAGE + 1) + b"mask", "message too big (1009)"),
    "no packet": (text("\x00nonsense"), "protocol error (1002)"),
    "no UTF-8": (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), "invalid frame payload data (1007)"),
    "reserved bits": (b"\xff\xff", "protocol error (1002)"),
    "own code": (closed(4321), "closed (4321)"),
    "normal": (closed(1000), "transport close"),
    "going away": (closed(1001), "transport close"),
    "without code": (Frame(Opcode.CLOSE, b"").serialize(mask=True), "transport close"),
    "broken off": (b"", "transport close"),
    "engine.io's close": (text("1"), "client disconnect"),
}
# The frames' masks are random, so they cannot be ids.
ends = pytest.mark.parametrize(("said", "reason"), ENDS.values(), ids=ENDS)


def live(harness: Harness, said: bytes, bounds: Bounds) -> None:
    """Open a session whose client says this, then hangs up."""
    hub = Hub()
    connection = harness.session()
    connection.connected = False
    ours, client = socket.socketpair()
    with client:
        session = ViewerSession(ours.detach(), hub, [], bounds, connection, DeliveryMetrics(), lambda: None)
        session.begin(b"")
        session.start()
        client.sendall(said)
        client.shutdown(socket.SHUT_WR)
        for _ in range(100):
            if not hub.turn():
                break
        session.cut()
    hub.pass_time()


@ends
def test_the_reason_names_the_close_code_if_there_is_one(said: bytes, reason: str) -> None:
    """A client whose message was too big can be told apart from one that left."""
    harness = Harness()

    live(harness, said, bounds())

    assert harness.gone == [("a", reason)]


@ends
def test_a_session_that_ended_is_freed_at_once(said: bytes, reason: str) -> None:
    """Nothing of it waits for the garbage collector: a gateway seldom looks at all of its objects."""
    harness = Harness()
    gc.collect()
    gc.disable()
    try:
        live(harness, said, bounds())

        assert gc.collect() == 0, reason
    finally:
        gc.enable()


def test_a_refused_packet_does_not_hide_that_the_client_has_gone() -> None:
    """Both wait to be handled; after the refusal the session ends at once, not with its ping timeout."""
    harness = Harness()
    waiting: list[Callable[[], None]] = []
    live(harness, text("5") + closed(1000), bounds(waiting.append))
    for run in waiting:
        run()

    assert harness.gone == [("a", "transport close")]
