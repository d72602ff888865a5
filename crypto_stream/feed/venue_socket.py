"""A venue's open WebSocket: what the network brings becomes whole messages, a read at a time.

Whole messages of one frame, nearly all that comes, are cut out here. Every other frame (pings, closes,
fragments, what is too large or malformed) is judged and answered by `websockets`, as are the handshake
and the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event, State

_MOST_UNSENT = 1024 * 1024  # bytes that a venue may leave unread: our requests are small, pongs are all else
_AT_ONCE = 50  # messages handed on before others have their turn
_MOST_WAITING = 1_000  # messages; while more wait, nothing is read
_WHOLE = (0x81, 0x82)  # first byte of a text or binary message of one frame, not compressed

Take = Callable[[Sequence[bytes]], None]


class VenueSocket(ClientConnection):
    """A connection that hands on what each read of the socket brought, without a coroutine for each message.

    It ends when its venue makes us owe more than it reads: a flood of pings.
    """

    fault: str | None = None
    bug: Exception | None = None

    def __init__(self, *given: Any, **named: Any) -> None:
        """Keep what comes until `deliver`."""
        super().__init__(*given, **named)
        self._most = self.protocol.max_message_size or 0
        self._take: Take | None = None
        self._came: deque[bytes] = deque()
        self._parts = bytearray()  # of a message in fragments
        self._head = b""  # the last bytes of the answer to our handshake
        self._rest = bytearray()  # the beginning of a frame
        self._wanted = 0  # bytes of that frame, where they are known
        self._is_due = self._is_paused = False
        self._all_taken = asyncio.Event()

    async def deliver(self, take: Take) -> None:
        """Have `take` called with the messages, in order, until the connection has ended and all is taken.

        What `take` raises ends the connection, and is raised here.
        """
        self._take = take
        self._hand_on()
        await self.wait_closed()
        while self._came and self.bug is None:
            self._all_taken.clear()
            await self._all_taken.wait()
        if self.bug:
            raise self.bug

    def data_received(self, data: bytes) -> None:
        """Take what came; pongs are written meanwhile."""
        state = self.protocol.state
        if state is State.CONNECTING:
            data = self._answered(data)
            state = self.protocol.state
        if state is State.OPEN:
            data = self._cut(data)
        if data:  # not a WebSocket, or not any more
            super().data_received(data)
        if self._came and not self._is_due:
            self._hand_on()
        if self.transport.get_write_buffer_size() > _MOST_UNSENT:
            self.fault = f"the venue sends pings without reading our answers ({_MOST_UNSENT:,} bytes wait)"
            self.transport.abort()

    def _answered(self, data: bytes) -> bytes:
        """Hand the head of the answer to our handshake to the library; return what follows it."""
        seen = self._head + data
        end = seen.find(b"\r\n\r\n")
        cut = len(data) if end < 0 else end + 4 - len(self._head)
        self._head = seen[-3:]
        super().data_received(data[:cut])
        return data[cut:]

    def _cut(self, data: bytes) -> bytes:
        """Cut whole messages out and hand each run of other frames to the library; keep an unfinished frame.

        Returns what follows the frame that ended the connection, or may be the end of it: the library's.
        """
        if self._rest:
            data = self._joined(data)
        protocol, most = self.protocol, self._most
        plain = protocol.current_size is None  # no message in fragments is under way
        at = others = 0  # from `others` to `at` are frames for the library
        while at < len(data) and (payload := _payload(data, at)) is not None:
            start, stop = payload
            if stop - start > most:
                return data[others:]
            if stop > len(data):
                self._wanted = stop - at
                break
            if data[at] in _WHOLE:
                if others < at:
                    plain = self._judge(data[others:at])
                    others = at
                if not plain:
                    return data[at:]
                self._came.append(data[start:stop])
                others = stop
            at = stop
        if others < at:
            self._judge(data[others:at])
            if protocol.state is not State.OPEN:
                return data[at:]
        self._rest += data[at:]
        return b""

    def _joined(self, data: bytes) -> bytes:
        """Return the unfinished frame with `data` behind it; nothing while it stays unfinished."""
        self._rest += data
        if len(self._rest) < self._wanted:
            return b""
        data = bytes(self._rest)
        self._rest.clear()
        self._wanted = 0
        return data

    def _judge(self, frames: bytes) -> bool:
        """Hand whole frames to the library; say whether a whole message may follow."""
        super().data_received(frames)
        return self.protocol.state is State.OPEN and self.protocol.current_size is None

    def process_event(self, event: Event) -> None:
        """Keep a message that came in fragments; anything else is the library's business."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        self._parts += event.data
        if event.fin:
            self._came.append(bytes(self._parts))
            self._parts.clear()

    def _hand_on(self) -> None:
        """Hand on what came, a little at a time: one read of the socket may bring thousands of messages."""
        self._is_due = False
        if self._take is None or self.bug:
            return
        came = self._came
        try:
            if len(came) <= _AT_ONCE:
                self._came = deque()
                self._take(came)
            else:
                self._take([came.popleft() for _ in range(_AT_ONCE)])
        except Exception as bug:  # noqa: BLE001 - raised again by `deliver`
            self.bug = bug
            self.transport.abort()
        if self._came and self.bug is None:
            self._is_due = True
            self.loop.call_soon(self._hand_on)
        else:
            self._all_taken.set()
        if (len(self._came) > _MOST_WAITING) != self._is_paused and not self.transport.is_closing():
            self._is_paused = not self._is_paused
            (self.transport.pause_reading if self._is_paused else self.transport.resume_reading)()


def _payload(data: bytes, at: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `at` begins and ends; None where its head is not whole yet."""
    if len(data) - at < 2:
        return None
    length = data[at + 1]
    if length < 126:
        return at + 2, at + 2 + length
    if length > 127:  # masked, which a server must not: longer than any bound
        return at, at + 2**64
    start = at + (4 if length == 126 else 10)
    if start > len(data):
        return None
    return start, start + int.from_bytes(data[at + 2 : start], "big")
