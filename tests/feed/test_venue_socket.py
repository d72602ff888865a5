"""A venue's data, however it is split, becomes its messages; protocol violations end the connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from websockets.frames import Frame, Opcode

from crypto_stream.errors import VenueError
from crypto_stream.feed.connection import open_connection
from crypto_stream.feed.handler import Limits, Opening
from tests.feed.raw import conversing, heard, upgrade
from tests.waiting import SCALE

_MOST = 100_000
_LIMITS = Limits(frame_bytes=_MOST)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(
    opcode: Opcode, data: bytes = b"", *, fin: bool = True, rsv1: bool = False, mask: bool = False
) -> bytes:
    """Return one frame."""
    made = Frame(opcode, data, fin).serialize(mask=mask)
    return bytes([made[0] | (0x40 if rsv1 else 0)]) + made[1:]


MESSAGES = [b"", b"short", b"x" * 125, b"y" * 126, b"z" * 70_000, b"\xff\x00", b"in three parts", b"last"]
FRAMES = b"".join(
    [
        *(frame(Opcode.TEXT, message) for message in MESSAGES[:3]),
        frame(Opcode.PING, b"one"),
        *(frame(Opcode.TEXT, message) for message in MESSAGES[3:5]),
        frame(Opcode.BINARY, MESSAGES[5]),
        frame(Opcode.TEXT, b"in ", fin=False),
        frame(Opcode.PING, b"two"),
        frame(Opcode.CONT, b"three ", fin=False),
        frame(Opcode.CONT, b"", fin=False),
        frame(Opcode.CONT, b"parts"),
        frame(Opcode.TEXT, b"last"),
    ]
)


async def conversation(talk: Talk) -> tuple[list[bytes], str]:
    """Connect to a venue with this behaviour; return the messages, and the reason for the end."""
    read: list[bytes] = []
    async with conversing(talk) as port, asyncio.timeout(30 * SCALE):
        opened = open_connection(
            f"ws://127.0.0.1:{port}",
            Opening("/"),
            _LIMITS,
            connect_s=5.0 * SCALE,
            sent=lambda request: None,
        )
        async with opened as connection:
            with pytest.raises(VenueError) as ended:
                await connection.read(read.extend)
    return read, str(ended.value)


@pytest.mark.parametrize("size", [1, 7, 150, len(FRAMES)])
async def test_messages_are_complete_however_the_network_splits_them(size: int) -> None:
    """Short, long, binary, empty and fragmented ones, in order; pings between them are answered in order."""
    pongs: list[tuple[int, bytes]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fine = [*range(0, 600, size), *range(len(FRAMES) - 200, len(FRAMES), size)]  # all heads lie there
        first, *pieces = (FRAMES[at:end] for at, end in pairwise([*fine, len(FRAMES)]))
        await upgrade(reader, writer, first)  # the first ones may come with the answer itself
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        pongs.extend([await heard(reader), await heard(reader)])
        writer.write(frame(Opcode.CLOSE, b"\x03\xe9gone"))
        await heard(reader)

    read, why = await conversation(talk)

    assert read == MESSAGES
    assert pongs == [(Opcode.PONG, b"one"), (Opcode.PONG, b"two")]
    assert why == "closed by the venue (1001 gone)"


FORBIDDEN = {
    "large": (frame(Opcode.TEXT, b"x" * (_MOST + 1)), 1009),
    "large in fragments": (frame(Opcode.TEXT, b"x" * _MOST, fin=False) + frame(Opcode.CONT, b"xx"), 1009),
    "announced large": (b"\x81\x7f" + (2**63 - 1).to_bytes(8, "big"), 1009),  # nothing is waited for
    "masked": (frame(Opcode.TEXT, b"masked", mask=True), 1002),
    "deflated": (frame(Opcode.TEXT, b"deflated", rsv1=True), 1002),
    "unknown opcode": (b"\x83\x00", 1002),
    "continuation of nothing": (frame(Opcode.CONT, b"of nothing"), 1002),
    "two messages at once": (frame(Opcode.TEXT, b"one", fin=False) + frame(Opcode.TEXT, b"two"), 1002),
    "short close": (frame(Opcode.CLOSE, b"\x03"), 1002),
}


@pytest.mark.parametrize(("sent", "code"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
async def test_protocol_violations_end_the_connection(sent: bytes, code: int) -> None:
    """The close code says why; earlier messages count, later ones do not."""
    told: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(frame(Opcode.TEXT, b"before") + sent + frame(Opcode.TEXT, b"behind"))
        opcode, payload = await heard(reader)
        assert opcode == Opcode.CLOSE
        told.append(int.from_bytes(payload[:2], "big"))

    read, why = await conversation(talk)

    assert read == [b"before"]
    assert told == [code]
    assert why.startswith("connection cut (1006)")


async def test_nothing_is_accepted_after_the_close() -> None:
    """A close frame takes effect at once."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        goodbye = frame(Opcode.CLOSE, b"\x03\xf4restart")
        await upgrade(reader, writer, frame(Opcode.TEXT, b"before") + goodbye + frame(Opcode.TEXT, b"behind"))
        await heard(reader)

    read, why = await conversation(talk)

    assert read == [b"before"]
    assert why == "closed by the venue (1012 restart)"


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_ends_within_a_frame_is_cut(reset: bool) -> None:
    """Half-closed or reset: complete messages are accepted, the rest is dropped."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = frame(Opcode.TEXT, b"whole") + frame(Opcode.PING)
        await upgrade(reader, writer, whole + frame(Opcode.TEXT, b"half of it")[:-5])
        await heard(reader)  # a reset could overtake what was sent before it
        if reset:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.write_eof()
            await reader.read()

    read, why = await conversation(talk)

    assert read == [b"whole"]
    assert why == "connection cut (1006)"
