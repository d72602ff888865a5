"""The WebSocket class by itself: real sockets, a hub controlled by the test, and every kind of bad input."""

from __future__ import annotations

import selectors
import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode

from crypto_stream.gateway.delivery.frames import Frame as Sent
from crypto_stream.gateway.delivery.frames import event
from crypto_stream.gateway.delivery.handshake import respond
from tests.gateway.websocket_pair import MAX_MESSAGE, WebSocketPair, connected

GOOD = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "PATH_INFO": "/socket.io/",
    "HTTP_CONNECTION": "keep-alive, Upgrade",
    "HTTP_UPGRADE": "websocket",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
}


def deflate() -> PerMessageDeflate:
    return PerMessageDeflate(True, True, 15, 15)


def close_code(frames: list[Frame]) -> int:
    """Return the code of the close frame, which must be the last."""
    assert frames[-1].opcode is Opcode.CLOSE
    return Close.parse(bytes(frames[-1].data)).code


def test_the_handshake_follows_the_standard() -> None:
    """The example of RFC 6455, 1.3."""
    made = respond(GOOD, compression=True)

    assert made.status == 101
    assert dict(made.headers)["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert made.serialized().startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert made.serialized().endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("offer", "compression", "agreed"),
    [
        ("permessage-deflate; client_max_window_bits", True, True),
        ("permessage-deflate; server_no_context_takeover", True, True),
        ("permessage-deflate; server_max_window_bits=10", True, False),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", True, True),
        ("x-webkit-deflate-frame", True, False),
        ("permessage-deflate", False, False),
        (None, True, False),
    ],
)
def test_compression_is_agreed_on_only_if_viewers_can_share_a_frame(
    offer: str | None, compression: bool, agreed: bool
) -> None:
    """No context takeover on either side, and never a window smaller than ours."""
    environ = GOOD if offer is None else {**GOOD, "HTTP_SEC_WEBSOCKET_EXTENSIONS": offer}

    made = respond(environ, compression=compression)

    header = dict(made.headers).get("Sec-WebSocket-Extensions")
    assert made.status == 101
    assert bool(made.extensions) == agreed
    assert header == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover" * agreed or None
    )


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"REQUEST_METHOD": "POST"}, 405),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, 505),
        ({"HTTP_UPGRADE": "h2c"}, 426),
        ({"HTTP_CONNECTION": "close"}, 426),
        ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==,dGhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 400),
        ({"HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate; ="}, 400),
    ],
)
def test_a_broken_handshake_is_refused(changed: dict[str, str], status: int) -> None:
    """With the status that the standard names."""
    assert respond({**GOOD, **changed}, compression=True).status == status


@given(
    st.dictionaries(st.sampled_from([*sorted(GOOD), "HTTP_SEC_WEBSOCKET_EXTENSIONS"]), st.text()),
    st.booleans(),
)
def test_every_handshake_gets_a_valid_response(changed: dict[str, str], compression: bool) -> None:
    """Whatever the headers contain."""
    made = respond({**GOOD, **changed}, compression=compression)

    assert made.status == 101 or made.status >= 400
    if made.status == 101:
        assert made.serialized().isascii()


def test_messages_are_assembled_from_fragments() -> None:
    """Text and binary, in one frame or several, with a ping in between that is answered."""
    with connected() as one:
        one.send(
            Frame(Opcode.TEXT, "grüße".encode()),
            Frame(Opcode.BINARY, b"\x00\xff"),
            Frame(Opcode.TEXT, b"a", fin=False),
            Frame(Opcode.PING, b"?"),
            Frame(Opcode.CONT, b"b", fin=False),
            Frame(Opcode.CONT, b"c"),
        )

        assert one.websocket.messages == ["grüße", b"\x00\xff", "abc"]
        assert [(frame.opcode, frame.data) for frame in one.read()] == [(Opcode.PONG, b"?")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, b"x" * (MAX_MESSAGE + 1)).serialize(mask=True), 1009),
        (b"\x81\xff" + struct.pack("!Q", 1 << 62) + b"mask", 1009),
        (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
        (Frame(Opcode.CONT, b"of nothing").serialize(mask=True), 1002),
        (b"\xc1\x81mask?", 1002),
        (
            Frame(Opcode.TEXT, b"x" * MAX_MESSAGE, fin=False).serialize(mask=True)
            + Frame(Opcode.CONT, b"x").serialize(mask=True),
            1009,
        ),
    ],
    ids=[  # the frames' masks are random, so they cannot be ids
        *("too long", "much too long", "no UTF-8", "unmasked", "continuation of nothing"),
        *("reserved bit", "parts too long"),
    ],
)
def test_a_violation_closes_the_connection_with_a_code(data: bytes, code: int) -> None:
    """The client can read it, nothing reaches the application, and a timeout ends what lingers."""
    with connected() as one:
        one.send_bytes(data)

        assert close_code(one.read()) == code
        assert (one.websocket.messages, one.websocket.ends) == ([], 1)
        one.hub.pass_time()
        assert not one.hub.watched(selectors.EVENT_READ)


def test_a_compression_bomb_ends_with_1009() -> None:
    """The limit is on the size after decompression."""
    with connected([deflate()]) as one:
        bomb = Frame(Opcode.TEXT, b"0" * (MAX_MESSAGE + 1))
        one.send_bytes(bomb.serialize(mask=True, extensions=[deflate()]))

        assert close_code(one.read()) == 1009


def test_many_frames_other_than_messages_are_read_more_slowly() -> None:
    """A hundred pings are answered at once; of more, only what one read returns; later reads are shorter."""
    with connected() as one:
        one.send(*[Frame(Opcode.PING, b"") for _ in range(100)])
        few = len(one.read())
        one.client.sendall(Frame(Opcode.PING, b"").serialize(mask=True) * 800)
        some = len(one.read())
        resting = not one.hub.watched(selectors.EVENT_READ)
        one.hub.pass_time()
        more = len(one.read())

        assert few == 100
        assert 0 < some < 400
        assert resting
        assert 0 < more < some


def test_the_clients_close_is_echoed_and_ends_the_connection() -> None:
    """Frames after it are ignored, and nothing more is sent."""
    with connected() as one:
        one.send(Frame(Opcode.CLOSE, Close(1000, "bye").serialize()), Frame(Opcode.TEXT, b"late"))
        one.websocket.put_frame(event("late", 1))
        frames = one.read()
        one.client.close()
        one.settle()

        assert [frame.opcode for frame in frames] == [Opcode.CLOSE]
        assert close_code(frames) == 1000
        assert (one.websocket.messages, one.websocket.ends) == ([], 1)
        assert not one.hub.watched(selectors.EVENT_READ)


@pytest.mark.parametrize("answered", [True, False])
def test_our_close_waits_for_an_answer_but_not_for_ever(answered: bool) -> None:
    """The connection ends whether or not the client answers."""
    with connected() as one:
        one.websocket.end(1001, "going away")
        frames = one.read()
        if answered:
            one.send(Frame(Opcode.CLOSE, Close(1001, "").serialize()))
            one.client.close()
            one.settle()
        else:
            assert one.hub.watched(selectors.EVENT_READ)
            one.hub.pass_time()

        assert close_code(frames) == 1001
        assert one.websocket.ends == 1
        assert not one.hub.watched(selectors.EVENT_READ)


def test_a_client_that_ignores_our_close_is_read_slowly() -> None:
    """It may send as fast as it can: at most one read of a moment is understood."""
    with connected() as one:
        one.websocket.end(1008, "too many messages")
        one.client.sendall(Frame(Opcode.PING, b"x" * 100).serialize(mask=True) * 200)
        one.settle()
        unread = len(one.websocket.recv(1 << 20, socket.MSG_PEEK))
        resting = not one.hub.watched(selectors.EVENT_READ)

        assert unread > 15_000
        assert resting


def test_the_rest_of_a_message_that_is_too_long_is_discarded_quickly() -> None:
    """A client that sends all of it before it reads still learns why the connection was closed."""
    with connected() as one:
        one.client.sendall(Frame(Opcode.TEXT, b"x" * 200_000).serialize(mask=True)[:60_000])
        one.settle()
        unread = len(one.websocket.recv(1 << 20, socket.MSG_PEEK))
        one.websocket._resume_reading()
        one.settle()
        with pytest.raises(BlockingIOError):
            one.websocket.recv(1, socket.MSG_PEEK)

        assert unread > 40_000
        assert close_code(one.read()) == 1009


def test_a_reset_ends_the_connection_once() -> None:
    """A reset is an end like any other."""
    with connected() as one:
        one.client.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close sends a reset
        one.client.close()
        one.settle()
        one.websocket.offer(event("quotes", [1]))

        assert one.websocket.ends == 1
        assert one.websocket.waiting()


def fill(one: WebSocketPair) -> tuple[list[Sent], int]:
    """Offer numbered frames until one is skipped; return the others and their total size."""
    taken: list[Sent] = []
    volume = 0
    for number in range(100_000):
        frame = event("quotes", [number, "x" * 5000])
        size = one.websocket.offer(frame)
        if not size:
            return taken, volume
        taken.append(frame)
        volume += size
    raise AssertionError("the kernel hides the slow reader")


def test_a_client_that_does_not_read_is_soon_slow_and_gets_whole_frames() -> None:
    """The kernel buffers little; the rest of a frame, and what must not be lost, come later in order."""
    with connected() as one:
        taken, volume = fill(one)
        waited = one.websocket.waiting()
        one.websocket.put_frame(event("ack", 1))
        one.websocket.put_frame(event("ack", 2))
        refused = one.websocket.offer(event("quotes", ["refused"]))
        reading = one.hub.watched(selectors.EVENT_READ)
        frames = one.read()

        assert volume < 1 << 20
        assert (waited, refused, reading) == (1, 0, False)
        sent = [bytes(frame.data).decode() for frame in frames]
        assert sent == [*(frame.encode() for frame in taken), '42["ack",1]', '42["ack",2]']
        assert one.websocket.waiting() == 0
        assert one.websocket.offer(event("quotes", ["new"]))
        assert one.hub.watched(selectors.EVENT_READ)


def test_corked_frames_are_written_at_once_and_in_order() -> None:
    """Nothing overtakes them, not even frames offered meanwhile; afterwards everything is as before."""
    frames = [event("quotes", number) for number in range(4)]
    with connected() as pair:
        pair.websocket.cork()
        pair.websocket.put_frame(frames[0])
        offered = pair.websocket.offer(frames[1])
        pair.websocket.put_frame(frames[2])
        before = pair.read()
        pair.websocket.uncork()
        after = pair.client.recv(1 << 16)
        pair.websocket.put_frame(frames[3])
        later = pair.client.recv(1 << 16)

    assert before == []
    assert offered == len(frames[1].uncompressed)
    assert after == b"".join(one.uncompressed for one in frames[:3])
    assert later == frames[3].uncompressed


def test_clients_with_and_without_compression_share_a_frame() -> None:
    """Both get the same text; small frames are never compressed."""
    frame, small = event("quotes", [{"symbol": "btcusdt", "price": "1"}] * 50), event("small", 1)
    texts = []
    for extension in (None, deflate()):
        with connected([extension] if extension else []) as one:
            one.protocol.extensions = [deflate()] if extension else []
            size = one.websocket.offer(frame)
            one.websocket.put_frame(small)
            texts.append([bytes(received.data).decode() for received in one.read()])
            assert (size == len(frame.uncompressed)) == (extension is None)

    assert texts == [[frame.encode(), small.encode()]] * 2
    assert len(frame.deflated) < len(frame.uncompressed) / 5
    assert small.deflated is small.uncompressed


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_every_length_is_framed_correctly(size: int) -> None:
    """At the limits of the three encodings of a frame's length."""
    frame = Sent("x" * (size - 1) if size else "")
    with connected() as one:
        one.websocket.put_frame(frame)

        [received] = one.read()
        assert bytes(received.data).decode() == frame.encode()


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Generate frames that are mostly valid, with wrong opcodes, bits, lengths, masks and truncations."""
    out = bytearray()
    for _ in range(draw(st.integers(1, 8))):
        first = draw(
            st.one_of(st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x00, 0x89, 0x88]), st.integers(0, 255))
        )
        body = draw(st.binary(max_size=140))
        masked = draw(st.sampled_from([0x80, 0x80, 0x80, 0]))
        size = draw(st.one_of(st.just(len(body)), st.sampled_from([0, 125, 126, 127])))
        out += bytes((first, masked | size))
        if size == 126:
            out += draw(st.one_of(st.just(struct.pack("!H", len(body))), st.binary(min_size=2, max_size=2)))
        elif size == 127:
            out += draw(st.one_of(st.just(struct.pack("!Q", len(body))), st.binary(min_size=8, max_size=8)))
        out += (draw(st.binary(min_size=4, max_size=4)) if masked else b"") + body
    return bytes(out)


def check_survives(extensions: list[Any], data: bytes, cuts: list[int]) -> None:
    """Feed the bytes in pieces; the WebSocket must stay usable, or end once and stop watching."""
    with connected(extensions) as one:
        start = 0
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            one.send_bytes(data[start:cut])
            start = cut
        one.client.close()
        one.settle()
        one.hub.pass_time()

        assert one.websocket.ends == 1
        assert not one.hub.watched(selectors.EVENT_READ)
        assert not one.hub.watched(selectors.EVENT_WRITE)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=3), st.booleans())
def test_no_bytes_break_a_websocket(data: bytes, cuts: list[int], compressed: bool) -> None:
    """Random bytes, split anywhere: no error, no hang, one end."""
    check_survives([deflate()] if compressed else [], data, cuts)


@settings(max_examples=150, deadline=None)
@given(conversations(), st.lists(st.integers(0, 2000), max_size=3), st.booleans())
def test_no_frames_break_a_websocket(data: bytes, cuts: list[int], compressed: bool) -> None:
    """Frames that are nearly valid, split anywhere: no error, no hang, one end."""
    check_survives([deflate()] if compressed else [], data, cuts)
