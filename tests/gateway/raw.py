"""A bare TCP client, and a WebSocket on it whose every frame the test sees."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from tests.waiting import DEADLINE_S

PATH = "/socket.io/?EIO=4&transport=websocket"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def handshake(path: str = PATH, extensions: str = "", **headers: str) -> bytes:
    """Return a handshake; `headers` replace its own, with _ for -."""
    given = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
        **({"Sec-WebSocket-Extensions": extensions} if extensions else {}),
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {text}" for name, text in given.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def text(message: str) -> bytes:
    """Return one masked text frame."""
    return Frame(Opcode.TEXT, message.encode()).serialize(mask=True)


class Raw:
    """One TCP connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self._frames: list[Frame] = []

    async def send(self, data: bytes) -> None:
        """Send bytes; they are lost if the gateway has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def head(self) -> str:
        """Read the response's head."""
        async with asyncio.timeout(DEADLINE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def open(self, early: bytes = b"", path: str = PATH) -> str:
        """Send a handshake with `early` right behind it; return the response's head."""
        await self.send(handshake(path) + early)
        return await self.head()

    async def frame(self) -> Frame:
        """Read the next frame; EOFError if the connection has ended."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._frames:
                data = await self.reader.read(1 << 16)
                if not data:
                    raise EOFError
                self.protocol.receive_data(data)
                self._frames += [one for one in self.protocol.events_received() if isinstance(one, Frame)]
            return self._frames.pop(0)

    async def until(self, start: str) -> str:
        """Read text messages until one starts like this."""
        while True:
            frame = await self.frame()
            message = bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else ""
            if message.startswith(start):
                return message

    async def ended(self) -> None:
        """Read until the gateway closes the connection."""
        async with asyncio.timeout(DEADLINE_S):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(1 << 16):
                    pass


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    """Connect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
