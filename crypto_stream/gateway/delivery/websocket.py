"""One WebSocket on a bare non-blocking socket: no green thread, nothing queued without bound."""

from __future__ import annotations

import _socket
import contextlib
import logging
import socket

from websockets.extensions import Extension
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as Incoming
from websockets.protocol import Protocol as Frames
from websockets.protocol import Side, State

from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.close_codes import fault
from crypto_stream.gateway.delivery.frames import Sendable
from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.messages import MessageAssembly
from crypto_stream.gateway.listener import prepare

log = logging.getLogger(__name__)
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.CRITICAL)  # what a client does wrong is answered with a close code

_SEND_BUFFER = 64 * 1024
# Bytes read at once: of the smallest frames that is a hundred, not thousands for which all others wait.
_CHUNK = 1024
# Pieces written at once; the system takes no more than 1,024.
_PIECES = 64
# Seconds for which a client is not read at most, then it is looked at again.
_LONGEST_REST_S = 2.0
# What the decompressor of an unfinished message holds.
_INFLATING = 40_000
# Seconds the other side has to answer our close, and to take the last bytes.
CLOSE_S = 5.0


class WebSocket(_socket.socket):
    """One WebSocket after its handshake; a subclass says what becomes of what it `received`.

    Owns the socket. What it cannot write at once waits in `_owed`: the rest of a frame, then what was `put`
    meanwhile; the caller bounds that by `waiting`. While anything waits nothing is read, so a client cannot
    make us owe more by asking more. `offer` never queues a frame of which nothing was sent.

    It is the socket itself, not an owner of one: with a thousand viewers the processor waits for memory, and
    each further object on the way to `send` costs as much as running through it.
    """

    __slots__ = (
        *("_assembly", "_blocked", "_bounds", "_closed", "_deflate", "_finishing", "_frames", "_gathering"),
        *("_heard", "_held", "_hub", "_kept", "_muted", "_owed", "_reader", "_rest_s", "_resting"),
        *("_started", "_told", "_writer"),
    )

    def __init__(self, descriptor: int, hub: Hub, extensions: list[Extension], bounds: Bounds) -> None:
        """Take over a connection; messages longer than the `bounds` allow end it with 1009."""
        super().__init__(fileno=descriptor)
        self.setblocking(False)
        with contextlib.suppress(OSError):  # it may already be gone; the first send will tell
            prepare(self)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._hub = hub
        self._bounds = bounds
        self._kept = 0
        self._assembly = MessageAssembly()
        self._frames = Frames(Side.SERVER, state=State.OPEN, max_size=bounds.message, logger=_quiet)
        self._frames.extensions = extensions
        self._deflate = bool(extensions)
        self._owed: list[bytes | memoryview] = []
        self._reader: Stop | None = None
        self._writer: Stop | None = None
        self._blocked = self._closed = self._finishing = self._gathering = self._held = False
        self._heard = self._muted = self._resting = self._started = self._told = False
        self._rest_s = 0.0

    def received(self, message: str | bytes) -> None:
        """Take one whole message; called on the hub, so it may not block."""
        raise NotImplementedError

    def ended(self) -> None:
        """Notice, once, that no message comes any more; called on the hub or by who ended it."""
        raise NotImplementedError

    def begin(self, response: bytes) -> None:
        """Answer the handshake."""
        self.put_raw(response)

    def start(self, early: bytes = b"") -> None:
        """Begin to read; `early` came right behind the handshake."""
        self._started = True
        if early and not self._closed:
            self._guarded(early)
        self._attend()

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

    def ping(self, payload: bytes = b"") -> None:
        """Ask the client's WebSocket for a sign of life; `silent` tells whether one came, `ponged` which."""
        if not self._closed and self._frames.state is State.OPEN:
            self._frames.send_ping(payload)
            self._pass_on()

    def ponged(self, payload: bytes) -> None:
        """Notice the answer to a ping: the client has read all that was sent before it."""

    def silent(self) -> bool:
        """Say whether nothing came since this was last asked."""
        heard, self._heard = self._heard, False
        return not heard

    def end(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Begin the close handshake; the connection ends after `CLOSE_S` at the latest."""
        if not self._closed and self._frames.state is State.OPEN:
            self._frames.send_close(code, reason)
            self._hub.later(CLOSE_S, self.cut)
            self._pass_on()
            self._tell_ended()

    def fault(self) -> str:
        """Name the close code that ended the connection, "" when it is no more than a goodbye."""
        return fault(self._frames.close_sent)  # the client's own code is echoed, so it is this one too

    def cut(self, *_: object) -> None:
        """End the connection now, whatever is unsent."""
        if self._closed:
            return
        self._closed = self._blocked = True  # blocked: nobody sends to it any more
        self._owed.clear()
        self._attend()
        self._unwatch()
        with contextlib.suppress(OSError):  # the other side may have closed it first
            self.shutdown(socket.SHUT_RDWR)
        self.close()
        self._tell_ended()

    def mute(self, muted: bool) -> None:
        """Refuse what is offered, whether or not the socket would take it."""
        self._muted = muted

    def hold(self, held: bool) -> None:
        """Read no more while the application has enough to do."""
        if held != self._held:
            self._held = held
            self._attend()

    def rest(self, seconds: float) -> None:
        """Read nothing for so much longer, once what was read is taken: the client sends too fast."""
        self._rest_s += seconds

    def _rested(self, *_: object) -> None:
        self._resting = False
        self._attend()

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

    def _attend(self) -> None:
        """Watch for reading exactly while both we and the application can take more."""
        wanted = self._started and not (self._blocked or self._held or self._resting or self._closed)
        if wanted and self._reader is None:
            self._reader = self._hub.reading(self.fileno(), self._readable)
        elif not wanted and self._reader is not None:
            self._reader()
            self._reader = None

    def _readable(self, *_: object) -> None:
        if self._closed:
            return
        try:
            data = self.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.cut()
            return
        self._heard = True
        self._guarded(data)

    def _guarded(self, data: bytes) -> None:
        """Take what arrived; a fault of ours ends this connection and harms no other."""
        try:
            self._take(data)
        except Exception:
            log.exception("a WebSocket failed")
            self.cut()

    def _take(self, data: bytes) -> None:
        frames = self._frames
        if data:
            frames.receive_data(data)
        else:
            frames.receive_eof()
        for frame in frames.events_received():
            if not self._told and isinstance(frame, Incoming):
                self._assemble(frame)
        self._pass_on()
        if frames.state is not State.OPEN:
            self._tell_ended()
        self._note_parts()
        if frames.state is State.CLOSED or not data:
            self.cut()
        elif self._rest_s:
            seconds, self._rest_s, self._resting = self._rest_s, 0.0, True
            self._hub.later(min(seconds, _LONGEST_REST_S), self._rested)
            self._attend()

    def _note_parts(self) -> None:
        """Let the bounds know what is kept of an unfinished message."""
        kept = 0
        if not self._told:
            kept = len(self._frames.reader.buffer)
            if (part := self._assembly.kept()) is not None:
                kept += part + (_INFLATING if self._deflate else 0)
        if kept != self._kept:
            self._kept = kept
            self._bounds.parts.note(self, kept)

    def _count_small(self) -> None:
        """Slow down who sends many pings and fragments, and end who sends nothing else."""
        seconds = self._assembly.small()
        if seconds is None:
            self.end(CloseCode.POLICY_VIOLATION, "too many frames that are no message")
        else:
            self.rest(seconds)

    def _assemble(self, frame: Incoming) -> None:
        """Take a frame, and the message that it ends; text must be UTF-8."""
        if not frame.fin or frame.opcode not in (Opcode.TEXT, Opcode.BINARY):
            self._count_small()
        if frame.opcode is Opcode.PONG:
            self.ponged(bytes(frame.data))
            return
        try:
            message = self._assembly.add(frame)
        except UnicodeDecodeError:
            self._frames.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
            self._tell_ended()
            return
        if message is not None:
            self.received(message)

    def _pass_on(self) -> None:
        """Send what the protocol answers by itself: pongs, close frames, the end of the stream."""
        writes = self._frames.data_to_send()
        ending = bool(writes) and not writes[-1]
        if ending and not self._finishing:
            self._finishing = True
            self._hub.later(CLOSE_S, self.cut)
        if writes:
            self._owe(b"".join(writes))

    def _owe(self, data: bytes) -> None:
        if not self._closed:
            self._owed.append(data)
            if not (self._blocked or self._gathering):
                self._write()

    def _tell_ended(self) -> None:
        if not self._told:
            self._told = True
            self._assembly.clear()
            self._note_parts()
            self.ended()
