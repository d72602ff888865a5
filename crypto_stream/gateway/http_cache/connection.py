"""Answers a connection's cacheable requests on the hub while its green thread sleeps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.http_cache.responder import Respond

# Bytes read at once; cacheable requests are shorter.
_READ_BYTES = 16 * 1024
# Requests of one connection answered before control is yielded to others.
_MAX_CONSECUTIVE = 50


class Pause(Protocol):
    """Suspends the green thread that created it; each of `servers/*` implements it."""

    def wait(self, seconds: float) -> bool:
        """Suspend the thread until `resume`; False if that is not called within this time."""

    def resume(self) -> None:
        """Resume the thread immediately; to be called on the hub, once for each `wait`."""


class CacheConnection:
    """Answers the cacheable requests of one connection.

    Its green thread wakes only when it is needed: for any other request, if the client does not read a
    response, and at the end. Between two cacheable requests there is no thread switch, and no change to what
    the hub watches.
    """

    def __init__(
        self, connection: Any, bare: Any, respond: Respond, hub: Hub, pause: Callable[[], Pause]
    ) -> None:
        """`bare` is the real, non-blocking socket under the green `connection`; `pause` makes a `Pause`."""
        self._connection = connection
        self._receive = bare.recv
        self._send = bare.send
        self._descriptor = bare.fileno()
        self._respond = respond
        self._hub = hub
        self._make_pause = pause
        self._received = self._unsent = b""
        self._served = self._eof = False
        self._error: Exception | None = None

    def serve(self, received: bytes, idle_s: float) -> bytes:
        """Answer `received` and what follows until a request is not cacheable; return that, b"" at the end.

        Raises TimeoutError after `idle_s` (at most twice that) without a request, OSError if the connection
        fails.
        """
        self._received = received
        while self._answer():
            if self._unsent:
                unsent, self._unsent = self._unsent, b""
                self._connection.sendall(unsent)
            elif self._received:
                self._hub.yield_control()
            else:
                self._wait(idle_s)
        rest, self._received = self._received, b""
        return rest

    def recently_used(self) -> bool:
        """Return whether a request was answered since the last call, or in the last idle time."""
        used, self._served = self._served, False
        return used

    def _answer(self) -> bool:
        """Answer what was received; False if that is not cacheable, or the client has hung up."""
        for _ in range(_MAX_CONSECUTIVE):
            if not self._received:
                return not self._eof
            answered = self._respond(self._received)
            if answered is None:
                return False
            length, response = answered
            self._received = self._received[length:]
            self._served = True
            try:
                sent = self._send(response)
            except BlockingIOError:
                sent = 0
            if sent < len(response):
                self._unsent = response[sent:]
                return True
        return True

    def _wait(self, idle_s: float) -> None:
        """Suspend the green thread until it is needed; cacheable requests are answered meanwhile."""
        pause = self._make_pause()
        stop = self._hub.on_readable(self._descriptor, partial(self._readable, pause))
        try:
            while not pause.wait(idle_s):
                if not self._served:
                    raise TimeoutError("no request came")
                self._served = False
        finally:
            stop()
        if self._error is not None:
            raise self._error

    def _readable(self, pause: Pause, *_: object) -> None:
        try:
            self._received = self._receive(_READ_BYTES)
            self._eof = not self._received
            if self._answer() and not self._received and not self._unsent:
                return
        except (BlockingIOError, InterruptedError):
            return
        except Exception as error:  # noqa: BLE001 - raised again in this connection's green thread
            self._error = error
        pause.resume()
