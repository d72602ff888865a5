"""Hostile clients, each kind a row of `KINDS`: `python -m benchmarks.attackers URL "empty fragments"`.

Four of a kind go on until the process is ended. A new kind is a function that speaks on one connection until
it is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.frames import Frame, Opcode

from tests.gateway.raw import PATH, Raw, handshake, raw, text

_AT_ONCE = 4
_PAUSE_S = 0.02
_ORDERS = "/ws?mode=extended"
_OWNED = f"{_ORDERS}&client_id=0b8f7c1e-3d51-4c37-9a59-6f7f0c6a1b11"

Attack = Callable[[Raw], Awaitable[None]]


def flood(data: bytes, path: str = PATH, joining: str = "40", *, reads: bool = True) -> Attack:
    """Make a client that joins and sends this repeatedly; `reads` says whether it reads."""

    async def attack(wire: Raw) -> None:
        await wire.open(text(joining), path)
        while True:
            wire.writer.write(data)
            await wire.writer.drain()
            await asyncio.sleep(0)
            if reads:
                # Not wait_for: in Python 3.11 it can lose a cancellation.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.001):
                        if not await wire.reader.read(1 << 16):
                            return

    return attack


def unfinished(data: bytes) -> Attack:
    """Make a client that begins a message and keeps the connection open."""

    async def attack(wire: Raw) -> None:
        await wire.open(text("40") + data)
        await wire.ended()

    return attack


def endless(head: bytes, more: bytes, pause_s: float = 0.0) -> Attack:
    """Make a client whose one request never ends; after each part it may pause."""

    async def attack(wire: Raw) -> None:
        wire.writer.write(head)
        while True:
            wire.writer.write(more)
            await wire.writer.drain()
            await asyncio.sleep(pause_s)
            if wire.reader.at_eof():
                return

    return attack


def asking(*requests: bytes) -> Attack:
    """Make a client that sends one request after another without pause, and reads the responses."""

    async def attack(wire: Raw) -> None:
        for request in itertools.cycle(requests):
            wire.writer.write(request)
            await wire.writer.drain()
            if not await wire.reader.read(1 << 16):
                return

    return attack


async def posts(wire: Raw) -> None:
    """Open a polling session and repeatedly post as many packets as fit into one body."""
    wire.writer.write(_get(_POLLING))
    opened = await wire.reader.read(1 << 16)
    if found := re.search(rb'"sid":"([^"]+)"', opened):
        body = b"\x1e".join([b"40"] + [_WISH_TEXT.encode()] * 900)
        path = f"{_POLLING}&sid={found[1].decode()}"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        await asking(head.encode() + body)(wire)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Raw]:
    """Connect; at the end abort the connection without waiting for unsent data."""
    async with raw(url) as wire:
        try:
            yield wire
        finally:
            wire.writer.transport.abort()


def crowd(number: int, say: Callable[[Raw], Awaitable[object]]) -> Attack:
    """Make a client that opens `number` more connections, sends something on each, and keeps them a while."""

    async def attack(wire: Raw) -> None:
        async with contextlib.AsyncExitStack() as stack:
            url = f"http://127.0.0.1:{wire.writer.get_extra_info('peername')[1]}"
            for _ in range(number):
                await say(await stack.enter_async_context(connected(url)))
            await asyncio.sleep(0.5)

    return attack


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def _said(number: int, **message: object) -> bytes:
    return text(json.dumps({"messageType": number, "message": message}))


_ORDER = _said(3, instrument="ticker_00", side=1, amount="1", price="1")
_WISH_TEXT = '427["subscribe",{"symbols":["tickr_0x"]}]'
_WISH = text(_WISH_TEXT)
_WISHES = [
    text(f'427["subscribe",{{"symbols":["ticker_{n % 100:02d}","ticker_{n // 100:02d}"],"interval_ms":0}}]')
    for n in range(1_000)
]
_POLLING = "/socket.io/?EIO=4&transport=polling"
_HISTORY = [_get(f"/history/ticker_{n:02d}?interval=15s&limit=5000") for n in range(100)]
_COURSES = _get("/courses")
_HEAD = _COURSES[:-2]
_POST = b"POST /pin HTTP/1.1\r\nHost: x\r\n"
KINDS: dict[str, Attack] = {
    "attachments announced": flood(
        text('451000000-["subscribe",{"_placeholder":true,"num":0}]')
        + Frame(Opcode.BINARY, bytes(60_000)).serialize(mask=True)
    ),
    "binary frames": flood(Frame(Opcode.BINARY, bytes(60_000)).serialize(mask=True)),
    "unknown symbols": flood(_WISH * 300),
    "all symbols unread": flood(
        text('427["subscribe",{"symbols":"all","interval_ms":0}]') * 100, reads=False
    ),
    "large events": flood(text('42["subscribe",{"symbols":["' + "x" * 60_000 + '"]}]')),
    "joining again and again": flood(text("40") * 100),
    "pings": flood(Frame(Opcode.PING, b"x" * 100).serialize(mask=True) * 100),
    "empty fragments": flood(
        Frame(Opcode.TEXT, b"4", fin=False).serialize(mask=True)
        + Frame(Opcode.CONT, b"", fin=False).serialize(mask=True) * 1_000
    ),
    "unfinished fragments": unfinished(Frame(Opcode.TEXT, bytes(60_000), fin=False).serialize(mask=True)),
    "unfinished frames": unfinished(b"\x81\xff" + struct.pack("!Q", 65_000) + b"mask" + bytes(60_000)),
    "heads without end": endless(_HEAD, b"X-More: " + b"x" * 1_000 + b"\r\n"),
    "heads that drip": endless(_HEAD, b"X", 0.05),
    "bodies that drip": endless(_POST + b"Content-Length: 60000\r\n\r\n", b"x", 0.05),
    "chunks without end": endless(
        _POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + bytes(4096) + b"\r\n"
    ),
    "chunk lines without end": endless(_POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 1_000),
    "trailers without end": endless(
        _POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: " + b"x" * 1_000 + b"\r\n"
    ),
    "requests unread": endless(b"", _COURSES * 50),
    "orders without end": flood(_ORDER * 50, _OWNED, "{}"),
    "orders unread": flood(_ORDER * 50, _OWNED, "{}", reads=False),
    "lists unread": flood(_said(5) * 50, _OWNED, "{}", reads=False),
    "order subscriptions unread": flood(_said(1, instrument="ticker_00") * 50, _ORDERS, "{}", reads=False),
    "orders that are none": flood(text("[" * 30_000), _ORDERS, "{}"),
    "sessions of one owner": crowd(30, lambda wire: wire.open(path=_OWNED)),
    "connections without a word": crowd(100, lambda wire: wire.send(b"")),
    "handshakes that are not finished": crowd(100, lambda wire: wire.send(handshake()[:-2])),
    "sessions that never join": asking(_get(_POLLING)),
    "packets posted": posts,
    "wishes that change": flood(b"".join(_WISHES)),
    "history": asking(*_HISTORY),
    "history unread": endless(b"", b"".join(_HISTORY)),
}


async def attack(url: str, kind: str) -> None:
    """Run several clients of one kind; each reconnects when its connection is closed."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(_again(url, KINDS[kind]))


async def _again(url: str, one: Attack) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            async with connected(url) as wire:
                await one(wire)
        await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    os.nice(19)  # real attackers have their own machines: their CPU use here must not slow the gateway
    asyncio.run(attack(*sys.argv[1:]))
