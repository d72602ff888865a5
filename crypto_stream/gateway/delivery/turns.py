"""What viewers ask is done a little at a time: each has its turn, and so have all others of this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# Seconds of work in a row, then whatever else is due has its turn.
SLICE_S = 0.0003
# Bytes of messages that may wait for their turn, of all viewers together.
MOST_WAITING = 8 * 1024 * 1024


class Turns:
    """Run pieces of work in one green thread, round robin; it lives while there is work.

    A piece says whether more of it is to be done. `waiting` counts the bytes that the pieces hold.
    """

    def __init__(
        self,
        spawn: Callable[[Callable[[], None]], None],
        breathe: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Work in what `spawn` starts; `breathe` lets others run."""
        self._spawn = spawn
        self._breathe = breathe
        self._clock = clock
        self._work: deque[Callable[[], bool]] = deque()
        self._running = False
        self.waiting = 0

    def add(self, work: Callable[[], bool]) -> None:
        """Have it done, after what was added before."""
        self._work.append(work)
        if not self._running:
            self._running = True
            self._spawn(self._run)

    def full(self) -> bool:
        """Say whether so much waits that no more may be kept."""
        return self.waiting > MOST_WAITING

    def _run(self) -> None:
        began = self._clock()
        try:
            while self._work:
                work = self._work.popleft()
                if work():
                    self._work.append(work)
                if self._clock() - began >= SLICE_S:
                    self._breathe()
                    began = self._clock()
        finally:
            self._running = False
