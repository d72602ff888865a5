"""A gateway's end of the bus on a single machine: a client of the engine's Unix socket."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from crypto_stream.backoff import Backoff
from crypto_stream.bus.codec import decode_to_gateway
from crypto_stream.bus.frames import Splitter, encode_frame
from crypto_stream.bus.interface import SILENCE_S, BusFigures
from crypto_stream.bus.messages import Answer, RequestBody, ToEngine, ToGateway
from crypto_stream.bus.orders import OrderCommands
from crypto_stream.bus.pending import PendingRequests
from crypto_stream.errors import BusError

log = logging.getLogger(__name__)

_RECONNECT_S = (0.05, 1.0)
_READ_BYTES = 256 * 1024


class LocalGatewayPort:
    """A gateway's end: blocking sockets and threads, which green servers replace by their own."""

    def __init__(self, path: Path, silence_s: float = SILENCE_S) -> None:
        """Connect to the engine at `path`; a connection without data for `silence_s` is closed."""
        self._path = path
        self._silence_s = silence_s
        self._socket: socket.socket | None = None
        self._pending = PendingRequests()
        self._joins = 0
        self._sending = threading.Lock()
        self._closed = False

    def run(self, receive: Callable[[Sequence[ToGateway]], None], reset: Callable[[], None]) -> None:
        """Connect, receive and reconnect until closed; `reset` is called when requests may have been lost."""
        backoff = Backoff(*_RECONNECT_S)
        while not self._closed:
            try:
                connected = self._connect()
            except OSError:
                reset()
                time.sleep(backoff.next_delay())
                continue
            backoff.reset()
            try:
                self._read(connected, receive)
            except (OSError, BusError) as error:
                if not self._closed:
                    log.warning("engine lost", extra={"reason": str(error) or type(error).__name__})
            finally:
                self._disconnect()
            if not self._closed:
                reset()

    def close(self) -> None:
        """Make `run` return soon; pending requests fail."""
        self._closed = True
        self._disconnect()

    def request(self, body: RequestBody, timeout_s: float = 5.0) -> bytes:
        """Send one request, return the answer as msgpack; raise BusError (no answer) or RefusedError."""
        return self._pending.ask(self._send_frame, body, timeout_s)

    def figures(self) -> BusFigures:
        """Return the figures for metrics."""
        return BusFigures(relay=None if self._socket is None else "local", joins=self._joins)

    def send(self, commands: OrderCommands) -> None:
        """Send order commands of sessions; raise BusError if the engine cannot be reached."""
        self._send_frame(commands)

    def _connect(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(self._silence_s)
        try:
            connected.connect(os.fspath(self._path))
        except OSError:
            connected.close()
            raise
        self._socket = connected
        self._joins += 1
        return connected

    def _read(self, connected: socket.socket, receive: Callable[[Sequence[ToGateway]], None]) -> None:
        splitter = Splitter()
        while data := connected.recv(_READ_BYTES):
            messages: list[ToGateway] = []
            for body in splitter.feed(data):
                message = decode_to_gateway(body)
                if isinstance(message, Answer):
                    self._pending.answered(message)
                else:
                    messages.append(message)
            if messages:
                receive(messages)

    def _send_frame(self, message: ToEngine) -> None:
        frame = encode_frame(message)
        with self._sending:
            if self._socket is None:
                raise BusError("the engine cannot be reached")
            connected = self._socket
            try:
                connected.sendall(frame)
            except OSError as error:
                with contextlib.suppress(OSError):  # part of a frame may have been sent: nothing may follow
                    connected.shutdown(socket.SHUT_RDWR)
                raise BusError(f"the engine cannot be reached: {error}") from None

    def _disconnect(self) -> None:
        connected, self._socket = self._socket, None
        if connected:
            with contextlib.suppress(OSError):  # the engine may have closed it first
                connected.shutdown(socket.SHUT_RDWR)  # unlike close, this wakes a thread that is reading
            connected.close()
        self._pending.fail()
