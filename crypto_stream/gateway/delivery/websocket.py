"""One WebSocket on a bare non-blocking socket, without a green thread."""

from __future__ import annotations

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
from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.messages import MessageAssembly
from crypto_stream.gateway.delivery.socket_writer import SocketWriter

log = logging.getLogger(__name__)
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.CRITICAL)  # what a client does wrong is answered with a close code

# Bytes read at once: of the smallest frames that is a hundred, not thousands for which all others wait.
_CHUNK = 1024
# Seconds for which a client is not read at most, then it is looked at again.
_LONGEST_REST_S = 2.0
# What the decompressor of an unfinished message holds.
_INFLATING = 40_000
# Seconds the other side has to answer our close, and to take the last bytes.
CLOSE_S = 5.0


class WebSocket(SocketWriter):
    """One WebSocket after its handshake; a subclass says what becomes of what it `received`.

    While anything waits to be written nothing is read, so a client cannot make us owe more by asking more.
    """

    __slots__ = (
        "_assembly",
        "_bounds",
        "_frames",
        "_heard",
        "_held",
        "_kept",
        "_reader",
        "_rest_s",
        "_resting",
        "_started",
    )

    def __init__(self, descriptor: int, hub: Hub, extensions: list[Extension], bounds: Bounds) -> None:
        """Take over a connection; messages longer than the `bounds` allow end it with 1009."""
        super().__init__(descriptor, hub, deflate=bool(extensions))
        self._bounds = bounds
        self._kept = 0
        self._assembly = MessageAssembly()
        self._frames = Frames(Side.SERVER, state=State.OPEN, max_size=bounds.message, logger=_quiet)
        self._frames.extensions = extensions
        self._reader: Stop | None = None
        self._heard = self._held = self._resting = self._started = False
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

    def _tell_ended(self) -> None:
        if not self._told:
            self._told = True
            self._assembly.clear()
            self._note_parts()
            self.ended()
