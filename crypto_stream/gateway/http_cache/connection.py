"""One connection on the fast road: answered on the hub while its green thread waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.http_cache.responder import Respond

# Bytes read at once; requests for this road are shorter.
_CHUNK = 16 * 1024
# Requests of one connection answered in a row before others have their turn.
_IN_A_ROW = 50


class Pause(Protocol):
    """Lets the green thread that made it wait; each of `servers/*` has one."""

    def wait(self, seconds: float) -> bool:
        """Wait until `end`; False after this long without it."""

    def end(self) -> None:
        """Let it go on, now; for callbacks of the hub, once for each `wait`."""


class CacheConnection:
    """Answer the simple requests of one connection.

    Only what needs its green thread wakes it: a request for the ordinary road, a client that does not take
    its answer, the end. Between two simple requests nothing is switched and no watch is changed.
    """

    def __init__(
        self, connection: Any, bare: Any, road: Respond, hub: Hub, pause: Callable[[], Pause]
    ) -> None:
        """Serve a green socket, of which `bare` is the real, non-blocking one; `pause` makes pauses."""
        self._connection = connection
        self._receive = bare.recv
        self._send = bare.send
        self._descriptor = bare.fileno()
        self._road = road
        self._hub = hub
        self._make_pause = pause
        self._came = self._owed = b""
        self._served = self._over = False
        self._error: Exception | None = None

    def attend(self, came: bytes, idle_s: float) -> bytes:
        """Answer `came` and what follows, until something is not simple; return that, b"" at the end.

        Raises TimeoutError after `idle_s` (at most twice that) without a request, OSError when the
        connection broke.
        """
        self._came = came
        while self._serve():
            if self._owed:
                owed, self._owed = self._owed, b""
                self._connection.sendall(owed)
            elif self._came:
                time.sleep(0)
            else:
                self._wait(idle_s)
        left, self._came = self._came, b""
        return left

    def was_used(self) -> bool:
        """Say whether something was answered since this, or a whole idle time, was last asked about."""
        used, self._served = self._served, False
        return used

    def _serve(self) -> bool:
        """Answer what came, as far as the client takes it; False when the rest is not for this road."""
        for _ in range(_IN_A_ROW):
            if not self._came:
                return not self._over
            answered = self._road(self._came)
            if answered is None:
                return False
            length, answer = answered
            self._came = self._came[length:]
            self._served = True
            try:
                sent = self._send(answer)
            except BlockingIOError:
                sent = 0
            if sent < len(answer):
                self._owed = answer[sent:]
                return True
        return True

    def _wait(self, idle_s: float) -> None:
        """Wait until the green thread is needed; what is simple is answered meanwhile."""
        pause = self._make_pause()
        stop = self._hub.reading(self._descriptor, lambda *_: self._readable(pause))
        try:
            while not pause.wait(idle_s):
                if not self._served:
                    raise TimeoutError("no request came")
                self._served = False
        finally:
            stop()
        if self._error is not None:
            raise self._error

    def _readable(self, pause: Pause) -> None:
        try:
            self._came = self._receive(_CHUNK)
            self._over = not self._came
            if self._serve() and not self._came and not self._owed:
                return
        except (BlockingIOError, InterruptedError):
            return
        except Exception as error:  # noqa: BLE001 - raised again in this connection's green thread
            self._error = error
        pause.end()
