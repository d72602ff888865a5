"""A TCP server made from one function, for answers that no real server sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.utils import accept_key

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def conversing(converse: Conversation) -> AsyncIterator[int]:
    """Run `converse` on each connection of a free port, which is yielded; at the end all are closed."""
    open_now: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_now.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await converse(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            open_now.discard(task)

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for task in open_now:
            task.cancel()
        await asyncio.wait(open_now) if open_now else None


async def upgrade(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: bytes = b"", *, fields: bytes = b""
) -> None:
    """Answer a WebSocket handshake, with additional header `fields`; `more` is sent in the same write."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    asked = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    accept = accept_key(asked["Sec-WebSocket-Key"])
    writer.write(f"{answer}Sec-WebSocket-Accept: {accept}\r\n".encode() + fields + b"\r\n" + more)
    await writer.drain()


async def heard(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one short frame of a client: its opcode and payload."""
    first, length = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(length & 0x7F)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
