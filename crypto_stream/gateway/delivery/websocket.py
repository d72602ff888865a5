"""One WebSocket on a non-blocking socket, without a green thread."""

from __future__ import annotations

import contextlib
import logging
import socket

from websockets.extensions import Extension
from websockets.frames import CloseCode, Opcode
from websockets.frames import Frame as Incoming
from websockets.protocol import Protocol, Side, State

from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.close_codes import fault
from crypto_stream.gateway.delivery.hub import Hub, Stop
from crypto_stream.gateway.delivery.messages import MessageAssembly
from crypto_stream.gateway.delivery.socket_writer import SocketWriter

log = logging.getLogger(__name__)
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.CRITICAL)  # a client learns of its errors from the close code

# Bytes read at once: at most a hundred of the smallest frames, because all other clients wait meanwhile; from
# a client that sends too fast; and after an invalid frame, when data are no longer parsed.
_READ_BYTES = 1024
_SLOWED_READ_BYTES = 128
_DISCARDED_READ_BYTES = 64 * 1024
# The longest time for which reading from a client is delayed at once.
_MAX_READ_DELAY_S = 2.0
# The delay between reads from a client that was sent a close frame: only its own is wanted, if it comes soon.
_CLOSING_READ_DELAY_S = 0.1
# Memory of the decompressor of an incomplete message.
_INFLATER_BYTES = 40_000
# Seconds for the client to answer our close frame and to read the last bytes.
CLOSE_S = 5.0


class WebSocket(SocketWriter):
    """One WebSocket after its handshake; a subclass handles the messages `received`.

    While anything is queued to be sent nothing is read, so a client cannot lengthen the queue by sending
    requests.
    """

    __slots__ = (
        "_assembly",
        "_bounds",
        "_data_received",
        "_partial_bytes",
        "_protocol",
        "_read_delay_s",
        "_reader",
        "_reading_delayed",
        "_reading_paused",
        "_slowed",
        "_started",
    )

    def __init__(self, descriptor: int, hub: Hub, extensions: list[Extension], bounds: Bounds) -> None:
        """Take ownership of a descriptor; a message longer than `bounds` allow closes it with 1009."""
        super().__init__(descriptor, hub, deflate=bool(extensions))
        self._bounds = bounds
        self._partial_bytes = 0
        self._assembly = MessageAssembly()
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=bounds.max_message, logger=_quiet)
        self._protocol.extensions = extensions
        self._reader: Stop | None = None
        self._data_received = self._reading_delayed = self._reading_paused = False
        self._slowed = self._started = False
        self._read_delay_s = 0.0

    def received(self, message: str | bytes) -> None:
        """Handle one complete message; called on the hub, so it must not block."""
        raise NotImplementedError

    def ended(self) -> None:
        """Called once, when no more messages will be received: on the hub, or by whatever ended it."""
        raise NotImplementedError

    def begin(self, response: bytes) -> None:
        """Send the response to the handshake."""
        self.put_raw(response)

    def start(self, early: bytes = b"") -> None:
        """Start reading; `early` was received together with the handshake."""
        self._started = True
        if early and not self._closed:
            self._take_safely(early)
        self._update_reader()

    def ping(self, payload: bytes = b"") -> None:
        """Send a WebSocket ping; the pong is passed to `ponged`."""
        if not self._closed and self._protocol.state is State.OPEN:
            self._protocol.send_ping(payload)
            self._send_protocol_output()

    def ponged(self, payload: bytes) -> None:
        """Called with the payload of a pong: the client has read everything sent before that ping."""

    def silent(self) -> bool:
        """Return whether nothing was received since the last call."""
        received, self._data_received = self._data_received, False
        return not received

    def end(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Start the close handshake; the connection is cut after `CLOSE_S` at the latest."""
        if not self._closed and self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._hub.call_later(CLOSE_S, self.cut)
            self._send_protocol_output()
            self._notify_ended()

    def fault(self) -> str:
        """Name the close code that ended the connection, "" for a normal closure."""
        return fault(self._protocol.close_sent)  # the code of a client's close frame is echoed

    def cut(self, *_: object) -> None:
        """Close the connection immediately, whatever is unsent."""
        if self._closed:
            return
        self._closed = self._blocked = True  # blocked: nothing is sent any more
        self._unsent.clear()
        self._update_reader()
        self._unwatch()
        with contextlib.suppress(OSError):  # the other side may have closed it first
            self.shutdown(socket.SHUT_RDWR)
        self.close()
        self._notify_ended()
        # Both refer to the protocol: avoid a reference cycle.
        self._protocol.parser.close()
        self._protocol.parser_exc = None

    def pause_reading(self, paused: bool) -> None:
        """Stop reading while the application is busy, or resume."""
        if paused != self._reading_paused:
            self._reading_paused = paused
            self._update_reader()

    def delay_reading(self, seconds: float) -> None:
        """Stop reading for this time after the current data; calls add up. For clients that send too fast."""
        self._read_delay_s += seconds

    def _resume_reading(self, *_: object) -> None:
        self._reading_delayed = False
        self._update_reader()

    def _update_reader(self) -> None:
        """Watch for incoming data exactly while it may be read."""
        wanted = self._started and not (
            self._blocked or self._reading_paused or self._reading_delayed or self._closed
        )
        if wanted and self._reader is None:
            self._reader = self._hub.on_readable(self.fileno(), self._readable)
        elif not wanted and self._reader is not None:
            self._reader()
            self._reader = None

    def _readable(self, *_: object) -> None:
        if self._closed:
            return
        try:
            data = self.recv(self._read_bytes())
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.cut()
            return
        self._data_received = True
        self._take_safely(data)

    def _read_bytes(self) -> int:
        if self._protocol.parser_exc is not None:
            return _DISCARDED_READ_BYTES
        return _SLOWED_READ_BYTES if self._slowed else _READ_BYTES

    def _take_safely(self, data: bytes) -> None:
        """Handle received data; an error in our code closes this connection and affects no other."""
        try:
            self._take(data)
        except Exception:
            log.exception("a WebSocket failed")
            self.cut()

    def _take(self, data: bytes) -> None:
        frames = self._protocol
        if data:
            frames.receive_data(data)
        else:
            frames.receive_eof()
        for frame in frames.events_received():
            if not self._end_notified and isinstance(frame, Incoming):
                self._assemble(frame)
        self._send_protocol_output()
        if frames.state is not State.OPEN:
            self._notify_ended()
            self.delay_reading(_CLOSING_READ_DELAY_S)
        self._update_partial()
        self._slowed = self._read_delay_s > 0
        if frames.state is State.CLOSED or not data:
            self.cut()
        elif self._read_delay_s:
            seconds, self._read_delay_s, self._reading_delayed = self._read_delay_s, 0.0, True
            self._hub.call_later(min(seconds, _MAX_READ_DELAY_S), self._resume_reading)
            self._update_reader()

    def _update_partial(self) -> None:
        """Report the size of the incomplete message to the shared limit."""
        size = 0
        if not self._end_notified:
            size = len(self._protocol.reader.buffer)
            if (partial := self._assembly.size()) is not None:
                size += partial + (_INFLATER_BYTES if self._deflate else 0)
        if size != self._partial_bytes:
            self._partial_bytes = size
            self._bounds.partial.update(self, size)

    def _count_non_message(self) -> None:
        """Slow down a client that sends many pings or fragments; close it if there are too many."""
        seconds = self._assembly.count_non_message()
        if seconds is None:
            self.end(CloseCode.POLICY_VIOLATION, "too many control frames")
        else:
            self.delay_reading(seconds)

    def _assemble(self, frame: Incoming) -> None:
        """Handle a frame, and the message that it completes; text must be UTF-8."""
        if not frame.fin or frame.opcode not in (Opcode.TEXT, Opcode.BINARY):
            self._count_non_message()
        if frame.opcode is Opcode.PONG:
            self.ponged(bytes(frame.data))
            return
        try:
            message = self._assembly.add(frame)
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "text must be UTF-8")
            self._notify_ended()
            return
        if message is not None:
            self.received(message)

    def _send_protocol_output(self) -> None:
        """Send what the protocol generates by itself: pongs, close frames, the end of the stream."""
        writes = self._protocol.data_to_send()
        ending = bool(writes) and not writes[-1]
        if ending and not self._shutdown_pending:
            self._shutdown_pending = True
            self._hub.call_later(CLOSE_S, self.cut)
        if writes:
            self._enqueue(b"".join(writes))

    def _notify_ended(self) -> None:
        if not self._end_notified:
            self._end_notified = True
            self._assembly.clear()
            self._update_partial()
            self.ended()
