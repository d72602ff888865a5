"""A thread that writes queued items to a store, in order and in batches, and retries after failures."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from crypto_stream.backoff import Backoff
from crypto_stream.storage.interface import CorruptError, UnusableError

log = logging.getLogger(__name__)

FATAL = (CorruptError, UnusableError)
ENDED = "the writer thread has ended, see the log"

_Item = TypeVar("_Item")


class Store(Protocol[_Item]):
    """What the thread writes to; called on the thread only.

    OSError from `open` or `write`: nothing of the batch was stored. Any other exception is an internal error,
    and ends the thread.
    """

    def open(self) -> None:
        """Open the store: at the start, and again after each failure."""

    def batch(self, waiting: Iterable[_Item]) -> list[_Item]:
        """Return which of the oldest of `waiting` to write together; called with the lock held."""

    def write(self, batch: list[_Item]) -> bool:
        """Write atomically, and return whether anything was committed.

        The batch is empty at the end, and if nothing was queued for `idle_s`.
        """

    def failed(self, error: OSError, *, fatal: bool) -> bool:
        """Handle a failure; `fatal`: it needs an operator.

        Return True to reopen after the backoff and write the same again, False to wait for `resume`.
        """

    def close(self) -> None:
        """Close the store; the last call."""


class WriterThread(Generic[_Item]):
    """Write what is `put`, each item once and in order; queued items are lost if the process dies.

    `commits` and `commit_s` count the commits and their seconds, `retries` the failures that were retried;
    `trouble` is the latest error, None after a successful write.
    """

    def __init__(
        self,
        store: Store[_Item],
        name: str,
        max_weight: int,
        backoff: Backoff,
        *,
        idle_s: float | None = None,
        weigh: Callable[[_Item], int] = lambda _item: 1,
        merge: Callable[[_Item, _Item], _Item] | None = None,
    ) -> None:
        """Queue items up to the total weight `max_weight`; beyond it the queue is `full`.

        `merge` then merges the two oldest items that are not being written, as often as needed. Without it
        callers must check `full`. `backoff` is in seconds.
        """
        self.commits = 0
        self.commit_s = 0.0
        self.retries = 0
        self.trouble: str | None = None
        self._store = store
        self._max_weight = max_weight
        self._backoff = backoff
        self._idle_s = idle_s
        self._weigh = weigh
        self._merge = merge
        self._queue: deque[_Item] = deque()
        self._weight = 0
        self._in_progress = 0  # items at the head of the queue being written
        self._injected_error: OSError | None = None
        self._pause_s = 0.0
        self._is_paused = False
        self._ending = False
        self._busy_since: float | None = None
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Open the store and start writing."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what is queued, for at most `seconds`, and stop; failures are no longer retried."""
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def put(self, item: _Item) -> None:
        """Queue an item; never waits for the disk."""
        with self._condition:
            self._queue.append(item)
            self._weight += self._weigh(item)
            while self._merge is not None and self.full and len(self._queue) - self._in_progress > 1:
                self._merge_oldest(self._merge)
            self._condition.notify_all()

    def waiting(self) -> list[_Item]:
        """List what is not written yet, oldest first, including what is being written."""
        with self._condition:
            return list(self._queue)

    def __len__(self) -> int:
        """Return the number of items that are not written yet."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the queue exceeds its maximum weight."""
        return self._weight > self._max_weight

    @property
    def busy_s(self) -> float:
        """How many seconds the current write has taken; 0 while idle."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def fail_next(self, error: OSError, pause_s: float = 0.0) -> None:
        """Make the next write fail with `error`, and reopen after `pause_s` at the earliest."""
        with self._condition:
            self._injected_error, self._pause_s = self._injected_error or error, pause_s
            self._condition.notify_all()

    def remove_all(self) -> list[_Item]:
        """Remove and return all items; only while nothing is being written, as after a failure."""
        with self._condition:
            items, self._queue = list(self._queue), deque()
            self._weight = 0
        return items

    def resume(self) -> None:
        """Reopen after a failure for which `Store.failed` returned False."""
        with self._condition:
            self._is_paused = False
            self._condition.notify_all()

    def _merge_oldest(self, merge: Callable[[_Item, _Item], _Item]) -> None:
        older, newer = self._queue[self._in_progress], self._queue[self._in_progress + 1]
        del self._queue[self._in_progress]
        one = self._queue[self._in_progress] = merge(older, newer)
        self._weight += self._weigh(one) - self._weigh(older) - self._weigh(newer)

    def _run(self) -> None:
        try:
            while True:
                try:
                    self._injected_error = None  # before `open`, whose result may lead to `fail_next` at once
                    self._store.open()
                    self._write_until_stopped()
                    return
                except OSError as error:
                    if not self._recover(error):
                        return
        except Exception:  # the engine continues without storage, and reports that
            log.exception("writer thread failed, nothing more is stored", extra={"what": self._thread.name})
            self.trouble, self._in_progress = ENDED, 0
            self._store.failed(UnusableError(ENDED), fatal=True)
        finally:
            self._store.close()

    def _write_until_stopped(self) -> None:
        """Write what is queued until stopped."""
        while True:
            batch = self._next()
            self._busy_since = began = time.monotonic()
            try:
                committed = self._store.write(batch)
            finally:
                self._busy_since = None
            if committed:
                self.commits += 1
                self.commit_s += time.monotonic() - began
            with self._condition:
                for _ in batch:
                    self._weight -= self._weigh(self._queue.popleft())
                self._in_progress = 0
            self.trouble = None
            self._backoff.reset()
            if self._ending and not self._queue:
                return

    def _next(self) -> list[_Item]:
        with self._condition:
            self._condition.wait_for(
                lambda: self._queue or self._ending or self._injected_error, self._idle_s
            )
            if self._injected_error is not None:
                raise self._injected_error
            batch = self._store.batch(self._queue)
            self._in_progress = len(batch)
            return batch

    def _recover(self, error: OSError) -> bool:
        """Report the failure, and wait until the store may be reopened; return False when stopped."""
        with self._condition:
            was_injected = error is self._injected_error
            pause_s = self._pause_s if was_injected else 0.0
            self._is_paused, self._in_progress = True, 0  # before `Store.failed`, which may lead to `resume`
        self.trouble = str(error)
        if self._store.failed(error, fatal=isinstance(error, FATAL)):
            self.retries += 1
            pause_s = max(pause_s, self._backoff.next_delay())
            self.resume()
        with self._condition:
            if self._ending and not was_injected:
                return False
            self._condition.wait_for(lambda: self._ending, pause_s)
            self._condition.wait_for(lambda: self._ending or not self._is_paused)
            return not self._is_paused  # if stopped meanwhile, try once more
