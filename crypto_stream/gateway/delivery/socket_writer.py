"""The sending half of a WebSocket on a non-blocking socket, with a bounded queue."""

from __future__ import annotations

import _socket
import contextlib
import socket

from crypto_stream.gateway.delivery.frames import Sendable
from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.listener import prepare

_SEND_BUFFER = 64 * 1024
# Buffers per write; the kernel accepts at most 1,024.
_MAX_BUFFERS = 64


class SocketWriter(_socket.socket):
    """A socket that sends what it can at once, and queues the rest until the client reads again.

    What cannot be written at once is queued in `_unsent`: the rest of a frame, then what is `put`. Callers
    limit that queue by checking `waiting`. `offer` never queues a frame of which nothing was sent.

    It inherits from the socket instead of having one: with a thousand viewers, most time is spent on cache
    misses, and each further object on the way to `send` costs as much as the code itself.
    """

    __slots__ = (
        "_blocked",
        "_closed",
        "_corked",
        "_deflate",
        "_end_notified",
        "_hub",
        "_offers_paused",
        "_shutdown_pending",
        "_unsent",
        "_writer",
    )

    def __init__(self, descriptor: int, hub: Hub, *, deflate: bool) -> None:
        """Take ownership of a descriptor; `deflate` says whether the client accepts compressed frames."""
        super().__init__(fileno=descriptor)
        self.setblocking(False)
        with contextlib.suppress(OSError):  # the client may have gone; the first send will show it
            prepare(self)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._hub = hub
        self._deflate = deflate
        self._unsent: list[bytes | memoryview] = []
        self._writer: Stop | None = None
        self._blocked = self._closed = self._corked = self._end_notified = False
        self._offers_paused = self._shutdown_pending = False

    def cut(self, *_: object) -> None:
        """Close the connection immediately, whatever is unsent."""
        raise NotImplementedError

    def waiting(self) -> int:
        """Count the queued buffers; 0 exactly when the socket is writable."""
        return len(self._unsent) or int(self._blocked)

    def offer(self, frame: Sendable) -> int:
        """Send a frame that a newer one supersedes; return its size, 0 if the slow client skips it."""
        if self._blocked or self._offers_paused or self._end_notified:
            return 0
        if self._corked:
            return self.put_frame(frame)
        data = frame.deflated if self._deflate else frame.uncompressed
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
            self._unsent.append(memoryview(data)[sent:])
            self._block()
        return size

    def put_frame(self, frame: Sendable) -> int:
        """Send or queue a frame that must not be lost; return its size in bytes."""
        return self.put_raw(frame.deflated if self._deflate else frame.uncompressed)

    def put_raw(self, data: bytes) -> int:
        """Send or queue bytes that must not be lost; return how many."""
        if self._end_notified:
            return 0
        self._enqueue(data)
        return len(data)

    def cork(self) -> None:
        """Queue everything from now on, to be sent in one write by `uncork`."""
        self._corked = True

    def uncork(self) -> None:
        """Write what was queued since `cork`."""
        self._corked = False
        if self._unsent and not (self._blocked or self._closed):
            self._write()

    def pause_offers(self, paused: bool) -> None:
        """Make `offer` skip all frames, even if the socket is writable."""
        self._offers_paused = paused

    def _block(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._writer = self._hub.on_writable(self.fileno(), self._writable)
            self._update_reader()

    def _writable(self, *_: object) -> None:
        if self._closed:
            return
        self._unwatch()
        self._blocked = False
        self._write()
        self._update_reader()

    def _unwatch(self) -> None:
        if self._writer is not None:
            self._writer()
            self._writer = None

    def _write(self) -> None:
        unsent = self._unsent
        while unsent:
            try:
                sent = self.sendmsg(unsent[:_MAX_BUFFERS]) if len(unsent) > 1 else self.send(unsent[0])
            except BlockingIOError:
                self._block()
                return
            except OSError:
                self.cut()
                return
            while unsent and sent >= len(unsent[0]):
                sent -= len(unsent.pop(0))
            if sent:
                unsent[0] = memoryview(unsent[0])[sent:]
        if self._shutdown_pending:
            with contextlib.suppress(OSError):  # the other side may have closed it first
                self.shutdown(socket.SHUT_WR)

    def _enqueue(self, data: bytes) -> None:
        if not self._closed:
            self._unsent.append(data)
            if not (self._blocked or self._corked):
                self._write()

    def _update_reader(self) -> None:
        """Called when `waiting` may have changed: while anything is queued nothing is read."""
        raise NotImplementedError
