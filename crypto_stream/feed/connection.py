"""One WebSocket connection to a venue: handshake, paced sending, pings, frames, and its end as one error.

Whatever the venue or the network does becomes a VenueError; its text is the reason that users see.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from crypto_stream.errors import VenueError
from crypto_stream.feed.handler import Keepalive, Limits, Opening, Request
from crypto_stream.feed.opening import open_socket
from crypto_stream.feed.spending import Spending
from crypto_stream.feed.venue_socket import MessageHandler, VenueSocket

# Of the venue's own pings, only the newest need an answer: it may send them faster than we may send.
_MOST_REPLIES = 8
# How long to wait for the first word of a venue that speaks first.
_WELCOME_S = 2.0


class Recorder(Protocol):
    """Records raw frames in both directions."""

    def write(self, kind: str, text: str) -> None:
        """Record a connect or a sent frame; `kind` is connect or send."""

    def received(self, frame: bytes) -> None:
        """Record a received frame."""


class SessionConnection(Protocol):
    """What a session needs of its connection."""

    def queue(self, requests: Sequence[Request]) -> None:
        """Queue requests, which are sent in order."""

    def reply(self, text: str) -> None:
        """Answer a request of the venue, ahead of the queue."""

    @property
    def has_unsent(self) -> bool:
        """Whether something is still to be sent."""

    def abort(self, reason: str) -> None:
        """End the connection at once."""


class Connection:
    """An open connection. `run`, which sends and pings, must run concurrently with `read`.

    `sent` is called with each request when it is sent.
    """

    def __init__(
        self,
        socket: VenueSocket,
        limits: Limits,
        sent: Callable[[Request], None],
        recorder: Recorder | None,
    ) -> None:
        self._socket = socket
        self._limits = limits
        self._sent = sent
        self._recorder = recorder
        # Bounded by the callers: each subscribes once, and resubscribes only after a pause.
        self._requests: deque[Request] = deque()
        self._replies: deque[Request] = deque(maxlen=_MOST_REPLIES)
        self._more = asyncio.Event()
        self._spending = None if limits.requests is None else Spending(limits.requests)
        self._frame_s = time.monotonic()
        self._heard = asyncio.Event()
        self._fault: str | None = None

    def queue(self, requests: Sequence[Request]) -> None:
        """Queue requests, which are sent one at a time at the venue's rate limit."""
        self._requests.extend(requests)
        self._more.set()

    def reply(self, text: str) -> None:
        """Answer a request of the venue, ahead of the queue; of too many answers the oldest are left out."""
        self._replies.append(Request(text))
        self._more.set()

    @property
    def has_unsent(self) -> bool:
        """Whether requests are queued."""
        return bool(self._requests)

    def abort(self, reason: str) -> None:
        """End the connection at once, without a close handshake, which a dead peer would not answer."""
        self._fault = self._fault or reason
        self._socket.transport.abort()

    async def read(self, handle: MessageHandler) -> None:
        """Pass all frames to `handle`, those of one read together, until the connection ends.

        Raises VenueError with the reason. An exception of `handle` ends the connection, and is raised too.
        """

        def received(frames: Sequence[bytes]) -> None:
            self._frame_s = time.monotonic()
            if frames:  # none at first, if nothing has arrived yet
                self._heard.set()
            if self._recorder:
                for frame in frames:
                    self._recorder.received(frame)
            handle(frames)

        await self._socket.deliver(received)
        raise VenueError(self._fault or self._socket.fault or _why_closed(self._socket))

    async def run(self, *, is_welcomed: bool = False) -> None:
        """Send what is queued, after the venue's welcome, and keep the connection alive, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_paced(is_welcomed=is_welcomed))
            tasks.create_task(self._keep_alive(self._limits.keepalive))

    async def _send_paced(self, *, is_welcomed: bool) -> None:
        if is_welcomed:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WELCOME_S):
                    await self._heard.wait()
        while True:
            await self._more.wait()
            while queue := self._replies or self._requests:
                if queue is self._requests and self._spending:
                    now_s = time.monotonic()
                    if (wait_s := self._spending.delay(now_s)) > 0:
                        await self._more_within(wait_s)
                        continue
                    self._spending.spend(now_s)
                request = queue.popleft()
                if not await self._send(request.text):
                    return
                self._sent(request)
                await asyncio.sleep(self._limits.pace_s)
            self._more.clear()

    async def _more_within(self, seconds: float) -> None:
        """Wait until something else is to be sent, an answer perhaps; no longer than `seconds`."""
        self._more.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._more.wait()

    async def _keep_alive(self, keepalive: Keepalive) -> None:
        """Ping regularly or after silence; abort if the venue sends nothing for as long again."""
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
                    self._ping() if keepalive.text is None else self._send_text_ping(_text(keepalive))
                )
            except ConnectionClosed:
                return  # `read` raises the reason
            if not answered:
                self.abort(f"no answer to a ping within {every_s:g} s")
                return

    async def _ping(self) -> bool:
        before = self._frame_s
        pong = await self._socket.ping()
        try:
            async with asyncio.timeout(self._limits.keepalive.every_s):
                await pong
        except TimeoutError:
            return self._frame_s > before  # some venues answer no ping, but send frames
        self._frame_s = time.monotonic()
        return True

    async def _send_text_ping(self, text: str) -> bool:
        before = self._frame_s
        await self._send(text)
        await asyncio.sleep(self._limits.keepalive.every_s)
        return self._frame_s > before

    async def _send(self, text: str) -> bool:
        try:
            await self._socket.send(text)
        except ConnectionClosed:
            return False  # `read` raises the reason
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
    """Connect to one host of a venue within `connect_s`; raise VenueError with the reason if that fails."""
    url = address.rstrip("/") + opening.path
    if recorder:
        recorder.write("connect", url)
    socket = await open_socket(
        url, headers=opening.headers, max_bytes=limits.frame_bytes, connect_s=connect_s
    )
    try:
        connection = Connection(socket, limits, sent, recorder)
        connection.queue([Request(text) for text in opening.greeting])
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
