"""Lets the green threads of connections run a few at a time, so that a burst of requests blocks nobody."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.round_robin import SLICE_S
from crypto_stream.gateway.http_cache.connection import Pause


class FairQueue:
    """Resumes waiting green threads in order, for a fraction of a millisecond at a time.

    A hub wakes all threads with a readable socket in the same iteration: thousands of handshakes would block
    it for seconds.
    """

    def __init__(
        self, hub: Hub, pause: Callable[[], Pause], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """`pause` makes a pause for the current green thread."""
        self._hub = hub
        self._make_pause = pause
        self._clock = clock
        self._waiting: deque[Pause] = deque()

    def wait_turn(self) -> None:
        """Suspend the current green thread until its turn."""
        pause = self._make_pause()
        if not self._waiting:
            self._hub.call_later(0.0, self._run)
        self._waiting.append(pause)
        while not pause.wait(60.0):
            pass

    def _run(self, *_: object) -> None:
        until = self._clock() + SLICE_S
        while self._waiting:
            self._waiting[0].resume()  # returns once that thread waits for something or has ended
            self._waiting.popleft()
            if self._clock() >= until and self._waiting:
                self._hub.call_later(0.0, self._run)
                return
