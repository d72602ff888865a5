"""The WebSocket class by itself: real sockets, a hub at the test's command, and every kind of nonsense."""

from __future__ import annotations

import selectors
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
from tests.gateway.wired import MOST, Wired, wired

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
    """Return the code of the close frame, which is the last."""
    assert frames[-1].opcode is Opcode.CLOSE
    return Close.parse(bytes(frames[-1].data)).code


def test_the_handshake_is_answered_as_the_standard_says() -> None:
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
def test_compression_is_agreed_on_only_where_one_frame_serves_all(
    offer: str | None, compression: bool, agreed: bool
) -> None:
    """No memory between messages on either side, and never a smaller window than ours."""
    environ = GOOD if offer is None else {**GOOD, "HTTP_SEC_WEBSOCKET_EXTENSIONS": offer}

    made = respond(environ, compression=compression)

    told = dict(made.headers).get("Sec-WebSocket-Extensions")
    assert made.status == 101
    assert bool(made.extensions) == agreed
    assert told == (
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
    """With the status the standard names."""
    assert respond({**GOOD, **changed}, compression=True).status == status


@given(
    st.dictionaries(st.sampled_from([*sorted(GOOD), "HTTP_SEC_WEBSOCKET_EXTENSIONS"]), st.text()),
    st.booleans(),
)
def test_no_handshake_breaks_the_judge(changed: dict[str, str], compression: bool) -> None:
    """Whatever stands in the headers, there is an answer that fits on the wire or in a WSGI response."""
    made = respond({**GOOD, **changed}, compression=compression)

    assert made.status == 101 or made.status >= 400
    if made.status == 101:
        assert made.serialized().isascii()


def test_messages_arrive_whole_whatever_their_frames() -> None:
    """Text and binary, in one piece or several, with a ping in between that is answered."""
    with wired() as one:
        one.send(
            Frame(Opcode.TEXT, "grüße".encode()),
            Frame(Opcode.BINARY, b"\x00\xff"),
            Frame(Opcode.TEXT, b"a", fin=False),
            Frame(Opcode.PING, b"?"),
            Frame(Opcode.CONT, b"b", fin=False),
            Frame(Opcode.CONT, b"c"),
        )

        assert one.wire.messages == ["grüße", b"\x00\xff", "abc"]
        assert [(frame.opcode, frame.data) for frame in one.read()] == [(Opcode.PONG, b"?")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (Frame(Opcode.TEXT, b"x" * (MOST + 1)).serialize(mask=True), 1009),
        (b"\x81\xff" + struct.pack("!Q", 1 << 62) + b"mask", 1009),
        (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"unmasked").serialize(mask=False), 1002),
        (Frame(Opcode.CONT, b"of nothing").serialize(mask=True), 1002),
        (b"\xc1\x81mask?", 1002),
        (
            Frame(Opcode.TEXT, b"x" * MOST, fin=False).serialize(mask=True)
            + Frame(Opcode.CONT, b"x").serialize(mask=True),
            1009,
        ),
    ],
    ids=[  # the frames' masks are random: they are no names
        *("too long", "much too long", "no UTF-8", "unmasked", "continuation of nothing"),
        *("reserved bit", "parts too long"),
    ],
)
def test_what_breaks_the_rules_is_told_why_and_ends(data: bytes, code: int) -> None:
    """The client can read the close code, nothing reaches the application, and time ends what lingers."""
    with wired() as one:
        one.tell(data)

        assert close_code(one.read()) == code
        assert (one.wire.messages, one.wire.ends) == ([], 1)
        one.hub.pass_time()
        assert not one.hub.watched(selectors.EVENT_READ)


def test_a_bomb_that_unpacks_beyond_the_limit_ends_with_1009() -> None:
    """What counts is the size after decompression."""
    with wired([deflate()]) as one:
        bomb = Frame(Opcode.TEXT, b"0" * (MOST + 1))
        one.tell(bomb.serialize(mask=True, extensions=[deflate()]))

        assert close_code(one.read()) == 1009


def test_who_sends_too_much_that_is_no_message_is_read_more_slowly() -> None:
    """A hundred pings are answered at once; of more only what one reading holds, until time has passed."""
    with wired() as one:
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
        assert more > some


def test_the_clients_close_is_echoed_and_ends_the_connection() -> None:
    """Frames after it are not read, and nothing more is sent."""
    with wired() as one:
        one.send(Frame(Opcode.CLOSE, Close(1000, "bye").serialize()), Frame(Opcode.TEXT, b"late"))
        one.wire.put_frame(event("late", 1))
        frames = one.read()
        one.client.close()
        one.settle()

        assert [frame.opcode for frame in frames] == [Opcode.CLOSE]
        assert close_code(frames) == 1000
        assert (one.wire.messages, one.wire.ends) == ([], 1)
        assert not one.hub.watched(selectors.EVENT_READ)


@pytest.mark.parametrize("answered", [True, False])
def test_our_close_waits_for_an_answer_but_not_for_ever(answered: bool) -> None:
    """Whether or not the client plays along, the connection ends."""
    with wired() as one:
        one.wire.end(1001, "going away")
        frames = one.read()
        if answered:
            one.send(Frame(Opcode.CLOSE, Close(1001, "").serialize()))
            one.client.close()
            one.settle()
        else:
            assert one.hub.watched(selectors.EVENT_READ)
            one.hub.pass_time()

        assert close_code(frames) == 1001
        assert one.wire.ends == 1
        assert not one.hub.watched(selectors.EVENT_READ)


def test_a_client_that_vanishes_ends_once() -> None:
    """A reset connection is an end like any other."""
    with wired() as one:
        one.client.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close sends a reset
        one.client.close()
        one.settle()
        one.wire.offer(event("quotes", [1]))

        assert one.wire.ends == 1
        assert one.wire.waiting()


def stuff(one: Wired) -> tuple[list[Sent], int]:
    """Offer numbered frames until one is refused; return those taken and how many bytes they were."""
    taken: list[Sent] = []
    volume = 0
    for number in range(100_000):
        frame = event("quotes", [number, "x" * 5000])
        size = one.wire.offer(frame)
        if not size:
            return taken, volume
        taken.append(frame)
        volume += size
    raise AssertionError("the kernel hides the slow reader")


def test_who_does_not_read_is_behind_soon_and_gets_whole_frames_only() -> None:
    """The kernel swallows little; the cut frame's rest and what must not be lost come later, in order."""
    with wired() as one:
        taken, volume = stuff(one)
        waited = one.wire.waiting()
        one.wire.put_frame(event("ack", 1))
        one.wire.put_frame(event("ack", 2))
        refused = one.wire.offer(event("quotes", ["refused"]))
        reading = one.hub.watched(selectors.EVENT_READ)
        frames = one.read()

        assert volume < 1 << 20
        assert (waited, refused, reading) == (1, 0, False)
        sent = [bytes(frame.data).decode() for frame in frames]
        assert sent == [*(frame.encode() for frame in taken), '42["ack",1]', '42["ack",2]']
        assert one.wire.waiting() == 0
        assert one.wire.offer(event("quotes", ["new"]))
        assert one.hub.watched(selectors.EVENT_READ)


def test_what_is_gathered_is_written_at_once_and_in_order() -> None:
    """Nothing overtakes it, not even what is offered meanwhile; then all goes on as before."""
    frames = [event("quotes", number) for number in range(4)]
    with wired() as both:
        both.wire.cork()
        both.wire.put_frame(frames[0])
        offered = both.wire.offer(frames[1])
        both.wire.put_frame(frames[2])
        before = both.read()
        both.wire.uncork()
        after = both.client.recv(1 << 16)
        both.wire.put_frame(frames[3])
        later = both.client.recv(1 << 16)

    assert before == []
    assert offered == len(frames[1].uncompressed)
    assert after == b"".join(one.uncompressed for one in frames[:3])
    assert later == frames[3].uncompressed


def test_one_shared_frame_serves_who_compresses_and_who_does_not() -> None:
    """Both read the same text; small frames stay as they are."""
    frame, small = event("quotes", [{"symbol": "btcusdt", "price": "1"}] * 50), event("small", 1)
    texts = []
    for extension in (None, deflate()):
        with wired([extension] if extension else []) as one:
            one.protocol.extensions = [deflate()] if extension else []
            size = one.wire.offer(frame)
            one.wire.put_frame(small)
            texts.append([bytes(received.data).decode() for received in one.read()])
            assert (size == len(frame.uncompressed)) == (extension is None)

    assert texts == [[frame.encode(), small.encode()]] * 2
    assert len(frame.deflated) < len(frame.uncompressed) / 5
    assert small.deflated is small.uncompressed


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_every_length_is_framed_rightly(size: int) -> None:
    """Both limits of the three forms of a frame's length."""
    frame = Sent("x" * (size - 1) if size else "")
    with wired() as one:
        one.wire.put_frame(frame)

        [received] = one.read()
        assert bytes(received.data).decode() == frame.encode()


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Draw frames that are mostly right, with wrong opcodes, bits, lengths, masks and cuts among them."""
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


def survives(extensions: list[Any], data: bytes, cuts: list[int]) -> None:
    """Feed the bytes in pieces; the wire must stay usable, or end once and let go of everything."""
    with wired(extensions) as one:
        start = 0
        for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
            one.tell(data[start:cut])
            start = cut
        one.client.close()
        one.settle()
        one.hub.pass_time()

        assert one.wire.ends == 1
        assert not one.hub.watched(selectors.EVENT_READ)
        assert not one.hub.watched(selectors.EVENT_WRITE)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=3), st.booleans())
def test_no_bytes_break_a_wire(data: bytes, cuts: list[int], compressed: bool) -> None:
    """Random bytes, split anywhere: no fault, no hang, one end."""
    survives([deflate()] if compressed else [], data, cuts)


@settings(max_examples=150, deadline=None)
@given(conversations(), st.lists(st.integers(0, 2000), max_size=3), st.booleans())
def test_no_frames_break_a_wire(data: bytes, cuts: list[int], compressed: bool) -> None:
    """Frames that are nearly right, split anywhere: no fault, no hang, one end."""
    survives([deflate()] if compressed else [], data, cuts)
