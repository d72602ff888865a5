"""A venue's open WebSocket: splits what each read of the socket returned into complete messages.

Messages of a single frame, nearly all there are, are extracted here. All other frames (pings, closes,
fragments, oversized and malformed ones) are handled by `websockets`, as are the handshake and the close.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

_MAX_UNSENT = 1024 * 1024  # bytes that a venue does not read: small requests, and pongs
_BATCH = 50  # messages handled before yielding to other tasks
_MAX_QUEUED = 1_000  # messages; while more are queued, reading is paused
_WHOLE = (0x81, 0x82)  # first byte of a text or binary message of one frame, not compressed

MessageHandler = Callable[[Sequence[bytes]], None]


class VenueSocket(ClientConnection):
    """A connection that delivers the messages of each read together, without a coroutine per message.

    It is aborted if the venue does not read our pongs: a flood of pings.
    """

    fault: str | None = None
    bug: Exception | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        """Queue messages until `deliver` is called."""
        super().__init__(*given, **named)
        self._max_size = self.protocol.max_message_size or 0
        self._handle: MessageHandler | None = None
        self._queue: deque[bytes] = deque()
        self._parts = bytearray()  # of a fragmented message
        self._head_tail = b""  # the last bytes of the handshake response
        self._partial = bytearray()  # an incomplete frame
        self._frame_size = 0  # its complete size, once known
        self._is_scheduled = self._is_paused = False
        self._drained = asyncio.Event()

    async def deliver(self, handle: MessageHandler) -> None:
        """Pass the messages to `handle`, in order, until the connection has ended and the queue is empty.

        An exception of `handle` ends the connection, and is raised here.
        """
        self._handle = handle
        self._dispatch()
        await self.wait_closed()
        while self._queue and self.bug is None:
            self._drained.clear()
            await self._drained.wait()
        if self.bug:
            raise self.bug

    def data_received(self, data: bytes) -> None:
        """Process what a read returned; pongs are sent meanwhile."""
        state = self.protocol.state
        if state is State.CONNECTING:
            data = self._finish_handshake(data)
            state = self.protocol.state
        if state is State.OPEN:
            data = self._split_frames(data)
        if data:  # not a WebSocket (yet, or any more)
            super().data_received(data)
        if self._queue and not self._is_scheduled:
            self._dispatch()
        if self.transport.get_write_buffer_size() > _MAX_UNSENT:
            self.fault = f"the venue sends pings without reading our pongs ({_MAX_UNSENT:,} bytes unsent)"
            self.transport.abort()

    def _finish_handshake(self, data: bytes) -> bytes:
        """Pass the handshake response to the library; return what follows it."""
        seen = self._head_tail + data
        end = seen.find(b"\r\n\r\n")
        cut = len(data) if end < 0 else end + 4 - len(self._head_tail)
        self._head_tail = seen[-3:]
        super().data_received(data[:cut])
        return data[cut:]

    def _split_frames(self, data: bytes) -> bytes:
        """Extract complete messages, pass other frames to the library, and buffer an incomplete frame.

        Returns the rest, which is for the library, if a frame ended the connection or may end it.
        """
        if self._partial:
            data = self._with_partial(data)
        protocol, max_size = self.protocol, self._max_size
        whole = protocol.current_size is None  # not within a fragmented message
        at = others = 0  # the bytes from `others` to `at` are frames for the library
        while at < len(data) and (payload := _payload(data, at)) is not None:
            start, stop = payload
            if stop - start > max_size:
                return data[others:]
            if stop > len(data):
                self._frame_size = stop - at
                break
            if data[at] in _WHOLE:
                if others < at:
                    whole = self._pass_to_library(data[others:at])
                    others = at
                if not whole:
                    return data[at:]
                self._queue.append(data[start:stop])
                others = stop
            at = stop
        if others < at:
            self._pass_to_library(data[others:at])
            if protocol.state is not State.OPEN:
                return data[at:]
        self._partial += data[at:]
        return b""

    def _with_partial(self, data: bytes) -> bytes:
        """Return the buffered frame followed by `data`; nothing while it remains incomplete."""
        self._partial += data
        if len(self._partial) < self._frame_size:
            return b""
        data = bytes(self._partial)
        self._partial.clear()
        self._frame_size = 0
        return data

    def _pass_to_library(self, frames: bytes) -> bool:
        """Pass complete frames to the library; return whether a single-frame message may follow."""
        super().data_received(frames)
        return self.protocol.state is State.OPEN and self.protocol.current_size is None

    def process_event(self, event: Event) -> None:
        """Assemble a fragmented message; everything else is left to the library."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._parts += event.data
        if event.fin:
            self._queue.append(bytes(self._parts))
            self._parts.clear()

    def _dispatch(self) -> None:
        """Handle queued messages, a batch at a time: one read may return thousands of them."""
        self._is_scheduled = False
        if self._handle is None or self.bug:
            return
        messages = self._queue
        try:
            if len(messages) <= _BATCH:
                self._queue = deque()
                self._handle(messages)
            else:
                self._handle([messages.popleft() for _ in range(_BATCH)])
        except Exception as bug:  # noqa: BLE001 - raised again by `deliver`
            self.bug = bug
            self.transport.abort()
        if self._queue and self.bug is None:
            self._is_scheduled = True
            self.loop.call_soon(self._dispatch)
        else:
            self._drained.set()
        if (len(self._queue) > _MAX_QUEUED) != self._is_paused and not self.transport.is_closing():
            self._is_paused = not self._is_paused
            (self.transport.pause_reading if self._is_paused else self.transport.resume_reading)()


def _payload(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `at` begins and ends; None if its header is incomplete."""
    if len(data) - at < 2:
        return None
    length = data[at + 1]
    if length < 126:
        return at + 2, at + 2 + length
    if length > 127:  # masked, which servers must not do: exceeds any limit
        return at, at + 2**64
    start = at + (4 if length == 126 else 10)
    if start > len(data):
        return None
    return start, start + int.from_bytes(data[at + 2 : start], "big")
