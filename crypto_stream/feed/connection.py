"""One WebSocket connection to a venue: handshake, paced sending, pings, frames, and its end as one error.

Everything a venue or the network can do ends here as a VenueError whose text is the reason people see.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from crypto_stream.errors import VenueError
from crypto_stream.feed.handler import Keepalive, Limits, Opening, Request
from crypto_stream.feed.opening import open_socket
from crypto_stream.feed.venue_socket import Take, VenueSocket


class Recorder(Protocol):
    """Takes raw frames as they come and go."""

    def write(self, kind: str, text: str) -> None:
        """Keep what was done; `kind` is connect or send."""

    def received(self, frame: bytes) -> None:
        """Keep one frame."""


class Connection:
    """An open connection. `run` must run beside `read`; it sends and pings."""

    def __init__(
        self,
        socket: VenueSocket,
        limits: Limits,
        sent: Callable[[Request], None],
        recorder: Recorder | None,
    ) -> None:
        """Report each request to `sent` at the moment it goes out."""
        self._socket = socket
        self._limits = limits
        self._sent = sent
        self._recorder = recorder
        # Bounded by those who ask: everything once, then what is dead or late, each after a pause.
        self._requests: deque[Request] = deque()
        self._more = asyncio.Event()
        self._frame_s = time.monotonic()
        self._fault: str | None = None

    def ask(self, requests: Sequence[Request]) -> None:
        """Queue requests; they go out one by one at the venue's pace."""
        self._requests.extend(requests)
        self._more.set()

    def reply(self, text: str) -> None:
        """Answer what the venue itself asked, before anything that is queued."""
        self._requests.appendleft(Request(text))
        self._more.set()

    @property
    def asking(self) -> bool:
        """Whether requests still wait to be sent."""
        return bool(self._requests)

    def abort(self, reason: str) -> None:
        """End the connection at once, without the close handshake a dead peer would not answer."""
        self._fault = self._fault or reason
        self._socket.transport.abort()

    async def read(self, take: Take) -> None:
        """Have `take` called with all frames, those of one read together, until the connection ends.

        VenueError then says why. What `take` raises itself ends the connection too.
        """

        def received(frames: Sequence[bytes]) -> None:
            self._frame_s = time.monotonic()
            if self._recorder:
                for frame in frames:
                    self._recorder.received(frame)
            take(frames)

        await self._socket.deliver(received)
        raise VenueError(self._fault or self._socket.fault or _why_closed(self._socket))

    async def run(self) -> None:
        """Send what is queued and keep the connection alive, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_paced())
            tasks.create_task(self._keep_alive(self._limits.keepalive))

    async def _send_paced(self) -> None:
        while True:
            await self._more.wait()
            while self._requests:
                request = self._requests.popleft()
                if not await self._send(request.text):
                    return
                self._sent(request)
                await asyncio.sleep(self._limits.pace_s)
            self._more.clear()

    async def _keep_alive(self, keepalive: Keepalive) -> None:
        """Ping after silence, or always; a venue that gives no frame within as long again is given up."""
        every_s = keepalive.every_s
        due_s = time.monotonic() + every_s
        while True:
            if not keepalive.always:
                due_s = self._frame_s + every_s
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
                continue
            due_s = time.monotonic() + every_s
            try:
                answered = await (
                    self._ping() if keepalive.text is None else self._ask_for_pong(_text(keepalive))
                )
            except ConnectionClosed:
                return  # the reader is told why
            if not answered:
                self.abort(f"no answer to a ping within {every_s:g} s")
                return

    async def _ping(self) -> bool:
        pong = await self._socket.ping()
        try:
            async with asyncio.timeout(self._limits.keepalive.every_s):
                await pong
        except TimeoutError:
            return False
        self._frame_s = time.monotonic()
        return True

    async def _ask_for_pong(self, text: str) -> bool:
        before = self._frame_s
        await self._send(text)
        await asyncio.sleep(self._limits.keepalive.every_s)
        return self._frame_s > before

    async def _send(self, text: str) -> bool:
        try:
            await self._socket.send(text)
        except ConnectionClosed:
            return False  # the reader is told why
        if self._recorder:
            self._recorder.write("send", text)
        return True


@asynccontextmanager
async def open_connection(
    address: str,
    opening: Opening,
    limits: Limits,
    *,
    connect_s: float,
    sent: Callable[[Request], None],
    recorder: Recorder | None = None,
) -> AsyncIterator[Connection]:
    """Connect to one host of a venue within `connect_s`; VenueError says why it could not be."""
    url = address.rstrip("/") + opening.path
    if recorder:
        recorder.write("connect", url)
    socket = await open_socket(
        url, headers=opening.headers, most_bytes=limits.frame_bytes, connect_s=connect_s
    )
    try:
        connection = Connection(socket, limits, sent, recorder)
        connection.ask([Request(text) for text in opening.greeting])
        yield connection
    finally:
        await socket.close()


def _text(keepalive: Keepalive) -> str:
    text = keepalive.text
    return text() if callable(text) else text or ""


def _why_closed(socket: VenueSocket) -> str:
    closed = socket.protocol.close_rcvd
    if closed is None:
        return "connection cut (1006)"
    reason = f" {closed.reason}" if closed.reason else ""
    return f"closed by the venue ({closed.code}{reason})"
