"""What requests cost is done a little at a time: however many come at once, others run between."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.turns import SLICE_S
from crypto_stream.gateway.http_cache.connection import Pause


class Line:
    """Let the green threads of connections go on one after the other, part of a millisecond in a row.

    A hub wakes all whose sockets can be read in one go: thousands of handshakes would keep it for seconds.
    """

    def __init__(
        self, hub: Hub, pause: Callable[[], Pause], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Work on `hub`, where `pause` makes the running green thread's pause."""
        self._hub = hub
        self._make_pause = pause
        self._clock = clock
        self._waiting: deque[Pause] = deque()

    def wait(self) -> None:
        """Wait for the running green thread's turn."""
        pause = self._make_pause()
        if not self._waiting:
            self._hub.later(0.0, self._run)
        self._waiting.append(pause)
        while not pause.wait(60.0):
            pass

    def _run(self, *_: object) -> None:
        until = self._clock() + SLICE_S
        while self._waiting:
            self._waiting[0].end()  # returns when that thread waits for something, or has ended
            self._waiting.popleft()
            if self._clock() >= until and self._waiting:
                self._hub.later(0.0, self._run)
                return
