"""One thread that writes what it is given to a store: in order, in batches, opened and tried again."""

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
ENDED = "the thread that writes has ended, see the log"

_Item = TypeVar("_Item")


class Store(Protocol[_Item]):
    """What is written to, and what is written together; called on the thread alone.

    OSError from `open` or `write`: nothing of the batch was kept. Any other exception is a fault of ours, and
    ends the thread.
    """

    def open(self) -> None:
        """Open what is kept: at first, and again after each failure."""

    def batch(self, waiting: Iterable[_Item]) -> list[_Item]:
        """Say which of the oldest of `waiting` are written together; nobody can `put` meanwhile."""

    def write(self, batch: list[_Item]) -> bool:
        """Write all or nothing, and say whether that was a commit.

        The batch is empty at the end, and when nothing came for `idle_s`.
        """

    def failed(self, error: OSError, *, fatal: bool) -> bool:
        """Notice a failure; `fatal`: it needs a person.

        True: open again after the back-off, and write the same once more. False: do nothing before `resume`.
        """

    def close(self) -> None:
        """Give back what is held; the last call."""


class WriterThread(Generic[_Item]):
    """Write what is `put`, each item once and in order; what was not written when the process dies is lost.

    `commits` and `commit_s` count the commits and the seconds they took, `retries` the failures after which
    the thread went on by itself; `trouble` is the latest error, None since something was written again.
    """

    def __init__(
        self,
        store: Store[_Item],
        name: str,
        most: int,
        backoff: Backoff,
        *,
        idle_s: float | None = None,
        weigh: Callable[[_Item], int] = lambda _item: 1,
        merge: Callable[[_Item, _Item], _Item] | None = None,
    ) -> None:
        """Let items of the weight `most` wait; more make it `full`.

        `merge` then makes one of the two oldest that are not being written, as often as needed. Without it
        whoever puts has to look at `full`. `backoff` is in seconds.
        """
        self.commits = 0
        self.commit_s = 0.0
        self.retries = 0
        self.trouble: str | None = None
        self._store = store
        self._most = most
        self._backoff = backoff
        self._idle_s = idle_s
        self._weigh = weigh
        self._merge = merge
        self._queue: deque[_Item] = deque()
        self._weight = 0
        self._in_hand = 0  # items at the head of the queue that are being written
        self._doubt: OSError | None = None
        self._pause_s = 0.0
        self._held = False
        self._ending = False
        self._busy_since: float | None = None
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Open the store and begin to write."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, for at most so long, and end; what fails now is not tried again."""
        with self._news:
            self._ending = True
            self._news.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def put(self, item: _Item) -> None:
        """Have it written after all that was put before; never waits for the disk."""
        with self._news:
            self._queue.append(item)
            self._weight += self._weigh(item)
            while self._merge is not None and self.full and len(self._queue) - self._in_hand > 1:
                self._merge_oldest(self._merge)
            self._news.notify_all()

    def waiting(self) -> list[_Item]:
        """List what is not written yet, oldest first; what is being written belongs to it."""
        with self._news:
            return list(self._queue)

    def __len__(self) -> int:
        """Count what is not written yet."""
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Say whether more waits than may."""
        return self._weight > self._most

    @property
    def busy_s(self) -> float:
        """Tell for how many seconds the store has not answered; 0 while it has nothing to do."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def doubt(self, error: OSError, pause_s: float = 0.0) -> None:
        """Let the next write fail with this error, and open again after so many seconds at the earliest."""
        with self._news:
            self._doubt, self._pause_s = self._doubt or error, pause_s
            self._news.notify_all()

    def take_back(self) -> list[_Item]:
        """Give up all that waits, and return it; only while nothing is being written, as after a failure."""
        with self._news:
            items, self._queue = list(self._queue), deque()
            self._weight = 0
        return items

    def resume(self) -> None:
        """Open again after a failure that `Store.failed` returned False for."""
        with self._news:
            self._held = False
            self._news.notify_all()

    def _merge_oldest(self, merge: Callable[[_Item, _Item], _Item]) -> None:
        older, newer = self._queue[self._in_hand], self._queue[self._in_hand + 1]
        del self._queue[self._in_hand]
        one = self._queue[self._in_hand] = merge(older, newer)
        self._weight += self._weigh(one) - self._weigh(older) - self._weigh(newer)

    def _run(self) -> None:
        try:
            while True:
                try:
                    self._doubt = None  # before it is opened: who hears of that may have doubts at once
                    self._store.open()
                    self._write_on()
                    return
                except OSError as error:
                    if not self._goes_on(error):
                        return
        except Exception:  # prices go on without what is stored, and this is said
            log.exception("no longer stored, a fault of this server", extra={"what": self._thread.name})
            self.trouble, self._in_hand = ENDED, 0
            self._store.failed(UnusableError(ENDED), fatal=True)
        finally:
            self._store.close()

    def _write_on(self) -> None:
        """Write what comes, until the end."""
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
            with self._news:
                for _ in batch:
                    self._weight -= self._weigh(self._queue.popleft())
                self._in_hand = 0
            self.trouble = None
            self._backoff.reset()
            if self._ending and not self._queue:
                return

    def _next(self) -> list[_Item]:
        with self._news:
            self._news.wait_for(lambda: self._queue or self._ending or self._doubt, self._idle_s)
            if self._doubt is not None:
                raise self._doubt
            batch = self._store.batch(self._queue)
            self._in_hand = len(batch)
            return batch

    def _goes_on(self, error: OSError) -> bool:
        """Have the failure noticed, and wait until the store is to be opened again; False at the end."""
        with self._news:
            doubted = error is self._doubt
            pause_s = self._pause_s if doubted else 0.0
            self._held, self._in_hand = True, 0  # before anybody hears of it and may resume
        self.trouble = str(error)
        if self._store.failed(error, fatal=isinstance(error, FATAL)):
            self.retries += 1
            pause_s = max(pause_s, self._backoff.next_delay())
            self.resume()
        with self._news:
            if self._ending and not doubted:
                return False
            self._news.wait_for(lambda: self._ending, pause_s)
            self._news.wait_for(lambda: self._ending or not self._held)
            return not self._held  # who is ended meanwhile tries once more
