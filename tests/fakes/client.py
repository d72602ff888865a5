"""One open connection as a fake venue sees it: every incoming frame is seen, control frames too."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

_MOST_BUFFERED = 16 * 1024 * 1024  # bytes a client may leave unread before it is cut, as venues do
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class WatchedConnection(ServerConnection):
    """A server's connection that shows each incoming frame, pings and pongs included, to `watch`.

    The library reads only requests without a body: the `body` of a POST is cut off for it.
    """

    watch: Callable[[], None] | None = None
    body = b""
    _posted = b""

    def data_received(self, data: bytes) -> None:
        """Take what was read; keep a POST back until its body is complete."""
        if not self._posted and not data.startswith(b"POST "):
            super().data_received(data)
            return
        self._posted += data
        head, end, body = self._posted.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self.body, self._posted = body, b""
            super().data_received(_LENGTH.sub(b"", head) + end)

    def process_event(self, event: Any) -> None:
        """Handle one incoming event as usual, then show it."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode is not Opcode.CLOSE and self.watch is not None:
            self.watch()


class Client:
    """A client of a fake venue: its subscriptions, and when it last sent and received something.

    `encode` makes of each text what is sent: see `FakeVenue.encode`.
    """

    def __init__(
        self, connection: WatchedConnection, path: str, encode: Callable[[str, Client], str | bytes]
    ) -> None:
        """Start with no subscription."""
        self.connection = connection
        self.path = path
        self._encode = encode
        self.streams: set[tuple[str, str]] = set()
        self.wrapped = True
        self.operations = 0
        self.opened_at = self.active_at = time.monotonic()
        self.arrivals: deque[float] = deque(maxlen=6)
        self.held: dict[tuple[str, str], Any] = {}

    def send(self, frame: str | bytes) -> None:
        """Send without waiting; a client that does not read is disconnected at 16 MB."""
        if self.connection.transport.get_write_buffer_size() > _MOST_BUFFERED:
            self.abort()
            return
        broadcast([self.connection], self._encode(frame, self) if isinstance(frame, str) else frame)
        self.active_at = time.monotonic()

    async def close(self, code: int, reason: str = "") -> None:
        """Close with `code`; 1006 cuts, since that code is never sent."""
        if code == 1006:
            self.abort()
            return
        try:
            await self.connection.close(code, reason)
        except ConnectionClosed:
            return

    def abort(self, *, reset: bool = False) -> None:
        """Cut the connection; `reset` sends a TCP RST."""
        transport = self.connection.transport
        raw = transport.get_extra_info("socket")
        if reset and raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
