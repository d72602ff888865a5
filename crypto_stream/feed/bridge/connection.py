"""A bridge's connection: complete lines in, requests and errors out, and its end as one error."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from crypto_stream.errors import VenueError
from crypto_stream.feed.bridge import messages
from crypto_stream.feed.bridge.lines import LineRate, LineSplitter
from crypto_stream.feed.handler import Request
from crypto_stream.log_throttle import LineBudget

_READ_BYTES = 64 * 1024
_BATCH = 50  # lines handled before yielding to other tasks
_MAX_UNSENT = 1024 * 1024  # bytes that a bridge does not read
_MOST_ERRORS = 20  # error lines per second
_TICK_S = 1.0


class BridgeConnection:
    """An open connection; `watch`, which notices a stalled bridge, must run concurrently with `read`.

    `sent` is called with each request when it is sent.
    """

    def __init__(
        self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: Callable[[Request], None]
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._sent = sent
        self._splitter = LineSplitter(messages.LINE_BYTES)
        self._lines: deque[bytes] = deque()  # of one read
        self._rate = LineRate(messages.LINES_PER_S)
        self._errors = LineBudget(_MOST_ERRORS)
        self._fault: str | None = None
        self._silent_ticks = 0
        self._reported: dict[str, int] = {}

    def queue(self, requests: Sequence[Request]) -> None:
        """Send requests at once: a bridge has no rate limit for them."""
        for request in requests:
            self._write(request.text)
            self._sent(request)

    def reply(self, text: str) -> None:
        """Send a line to which no answer is expected."""
        self._write(text)

    @property
    def has_unsent(self) -> bool:
        """Whether the bridge has not read everything yet."""
        return self._writer.transport.get_write_buffer_size() > 0

    def error(self, code: str, reason: str, *, fatal: bool = False) -> None:
        """Tell the bridge what is wrong; too many errors in a second are left out, unless `fatal`."""
        if fatal or self._errors.allows(code):
            self._write(messages.encode(messages.Error(code, reason, fatal)))

    def abort(self, reason: str) -> None:
        """End the connection at once, and tell the bridge so; reading raises the reason."""
        self.end("closing", reason)

    def end(self, code: str, reason: str) -> None:
        """Tell the bridge why the connection ends, and end it; reading raises the reason."""
        self.error(code, reason, fatal=True)
        self._fault = self._fault or reason
        self.close()

    def close(self) -> None:
        """Close the connection; what the bridge has not read is discarded, because it may never do so."""
        if self.has_unsent:
            self._writer.transport.abort()
        else:
            self._writer.close()

    async def line(self) -> bytes:
        """Return the next line; raise VenueError with the reason if the connection has ended."""
        while not self._lines:
            await self._fill()
        return self._lines.popleft()

    async def read(self, handle: Callable[[Sequence[bytes]], None]) -> None:
        """Pass lines to `handle`, a few at a time, until the connection ends.

        Raises VenueError with the reason; the bridge is told if it is to blame.
        """
        since_yield = 0
        while True:
            while self._lines and self._fault is None:
                most = min(_BATCH - since_yield, len(self._lines))
                batch = [self._lines.popleft() for _ in range(most)]
                handle(batch)
                since_yield += len(batch)
                if since_yield == _BATCH:  # buffered data would be read without any pause
                    since_yield = 0
                    await asyncio.sleep(0)
            await self._fill()

    async def watch(self, dropped: Mapping[str, int]) -> None:
        """End the connection of a stalled bridge; tell it each second how many values were `dropped`."""
        before = dict(dropped)
        while True:
            await asyncio.sleep(_TICK_S)
            # Ticks, not a clock: after the machine slept, lines may be waiting to be read.
            self._silent_ticks += 1
            if self._silent_ticks * _TICK_S > messages.HEARTBEAT_S:
                self.end("stalled", f"the bridge is stalled: no line for {messages.HEARTBEAT_S} s")
                return
            self._errors.renew()
            self._report({name: count - before.get(name, 0) for name, count in dropped.items()})

    def _report(self, counts: Mapping[str, int]) -> None:
        found = {name: count for name, count in counts.items() if count > 0}
        if found != self._reported:
            self._reported = found
            self._write(messages.encode(messages.Dropped(found)))

    async def _fill(self) -> None:
        """Queue the lines that one read completes; raise VenueError at the end."""
        try:
            data = b"" if self._fault else await self._stream.read(_READ_BYTES)
        except OSError as error:
            data, lost = b"", f"connection lost: {error.strerror or error}"
        else:
            lost = ""
        if reason := self._fault or lost:
            raise VenueError(reason)
        if not data:
            left = self._splitter.partial_bytes
            where = f", {left:,} bytes into a line" if left else ""
            raise VenueError(f"the bridge closed the connection{where}")
        self._silent_ticks = 0
        try:
            lines = self._splitter.feed(data)
        except VenueError as error:
            self.end("line_too_long", str(error))
            raise
        self._lines.extend(lines)
        if self._rate.exceeds(len(lines), time.monotonic()):
            self.end("too_fast", f"more than {messages.LINES_PER_S:,} lines in a second")

    def _write(self, text: str) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        self._writer.write(text.encode() + b"\n")
        if transport.get_write_buffer_size() > _MAX_UNSENT:
            self._fault = self._fault or f"the bridge does not read ({_MAX_UNSENT:,} bytes unsent)"
            transport.abort()
