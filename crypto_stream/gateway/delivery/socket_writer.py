"""The sending half of a WebSocket on a bare non-blocking socket: nothing is queued without bound."""

from __future__ import annotations

import _socket
import contextlib
import socket

from crypto_stream.gateway.delivery.frames import Sendable
from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.listener import prepare

_SEND_BUFFER = 64 * 1024
# Pieces written at once; the system takes no more than 1,024.
_PIECES = 64


class SocketWriter(_socket.socket):
    """A socket that writes what it can at once, and the rest when the client reads again.

    What it cannot write waits in `_owed`: the rest of a frame, then what was `put` meanwhile; the caller
    bounds that by `waiting`. `offer` never queues a frame of which nothing was sent.

    It is the socket itself, not an owner of one: with a thousand viewers the processor waits for memory, and
    each further object on the way to `send` costs as much as running through it.
    """

    __slots__ = (
        "_blocked",
        "_closed",
        "_deflate",
        "_finishing",
        "_gathering",
        "_hub",
        "_muted",
        "_owed",
        "_told",
        "_writer",
    )

    def __init__(self, descriptor: int, hub: Hub, *, deflate: bool) -> None:
        """Take over a connection; `deflate`: its client takes compressed frames."""
        super().__init__(fileno=descriptor)
        self.setblocking(False)
        with contextlib.suppress(OSError):  # it may already be gone; the first send will tell
            prepare(self)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._hub = hub
        self._deflate = deflate
        self._owed: list[bytes | memoryview] = []
        self._writer: Stop | None = None
        self._blocked = self._closed = self._finishing = self._gathering = self._muted = self._told = False

    def cut(self, *_: object) -> None:
        """End the connection now, whatever is unsent."""
        raise NotImplementedError

    def waiting(self) -> int:
        """Count what waits to be written; 0 exactly when the socket takes more."""
        return len(self._owed) or int(self._blocked)

    def offer(self, frame: Sendable) -> int:
        """Send a frame of which only the newest counts; return its bytes, or 0 when the client is behind."""
        if self._blocked or self._muted or self._told:
            return 0
        if self._gathering:
            return self.put_frame(frame)
        data = frame.deflated if self._deflate else frame.plain
        size = len(data)
        try:
            sent = self.send(data)
        except BlockingIOError:
            self._block()
            return 0
        except OSError:
            self.cut()
            return 0
        if sent != size:
            self._owed.append(memoryview(data)[sent:])
            self._block()
        return size

    def put_frame(self, frame: Sendable) -> int:
        """Send a frame that must not be lost, or let it wait; return its bytes."""
        return self.put_raw(frame.deflated if self._deflate else frame.plain)

    def put_raw(self, data: bytes) -> int:
        """Send bytes that must not be lost, or let them wait; return how many."""
        if self._told:
            return 0
        self._owe(data)
        return len(data)

    def gather(self) -> None:
        """Let what is put from now on wait, to be written at once by `release`."""
        self._gathering = True

    def release(self) -> None:
        """Write what was gathered."""
        self._gathering = False
        if self._owed and not (self._blocked or self._closed):
            self._write()

    def mute(self, muted: bool) -> None:
        """Refuse what is offered, whether or not the socket would take it."""
        self._muted = muted

    def _block(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._writer = self._hub.writing(self.fileno(), self._writable)
            self._attend()

    def _writable(self, *_: object) -> None:
        if self._closed:
            return
        self._unwatch()
        self._blocked = False
        self._write()
        self._attend()

    def _unwatch(self) -> None:
        if self._writer is not None:
            self._writer()
            self._writer = None

    def _write(self) -> None:
        owed = self._owed
        while owed:
            try:
                sent = self.sendmsg(owed[:_PIECES]) if len(owed) > 1 else self.send(owed[0])
            except BlockingIOError:
                self._block()
                return
            except OSError:
                self.cut()
                return
            while owed and sent >= len(owed[0]):
                sent -= len(owed.pop(0))
            if sent:
                owed[0] = memoryview(owed[0])[sent:]
        if self._finishing:
            with contextlib.suppress(OSError):  # the other side may have closed it first
                self.shutdown(socket.SHUT_WR)

    def _owe(self, data: bytes) -> None:
        if not self._closed:
            self._owed.append(data)
            if not (self._blocked or self._gathering):
                self._write()

    def _attend(self) -> None:
        """Read on, or no more, after whether something waits has changed."""
        raise NotImplementedError
