"""Runs the work of many clients a little at a time, so that none of them keeps the process to itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# Seconds of work before control is yielded to the other green threads.
SLICE_S = 0.0003
# Bytes of messages that have not been handled yet, of all viewers together.
MAX_WAITING_BYTES = 8 * 1024 * 1024


class RoundRobin:
    """Runs tasks in one green thread, round robin; the thread exists only while there are tasks.

    A task does one step at each call and returns whether there is more to do. Callers keep
    `waiting_bytes` up to date: the size of the messages that the tasks have yet to handle.
    """

    def __init__(
        self,
        spawn: Callable[[Callable[[], None]], None],
        yield_control: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`spawn` starts a green thread, `yield_control` lets the others run."""
        self._spawn = spawn
        self._yield_control = yield_control
        self._clock = clock
        self._tasks: deque[Callable[[], bool]] = deque()
        self._running = False
        self.waiting_bytes = 0

    def add(self, task: Callable[[], bool]) -> None:
        """Append a task."""
        self._tasks.append(task)
        if not self._running:
            self._running = True
            self._spawn(self._run)

    def full(self) -> bool:
        """Return whether no more messages may be queued."""
        return self.waiting_bytes > MAX_WAITING_BYTES

    def _run(self) -> None:
        began = self._clock()
        try:
            while self._tasks:
                task = self._tasks.popleft()
                if task():
                    self._tasks.append(task)
                if self._clock() - began >= SLICE_S:
                    self._yield_control()
                    began = self._clock()
        finally:
            self._running = False
