"""Writes reports of orders and returns the results: nothing is sent before it is stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

from msgspec.structs import replace

from crypto_stream.backoff import Backoff
from crypto_stream.market.orders import ExecType
from crypto_stream.orders.faults import Faults
from crypto_stream.orders.lookups import LookupThread
from crypto_stream.orders.writes import (
    Item,
    Listener,
    Lookup,
    OwnerRead,
    PendingReport,
    Removal,
    Stored,
    UnusedRead,
)
from crypto_stream.storage.interface import OrderBatch, OrderReader, OrderWriter
from crypto_stream.storage.writer_thread import WriterThread

# Reports written in one transaction: a few tens of milliseconds.
_MAX_BATCH = 2_000
# Queued items; beyond this no order is accepted.
_MAX_WAITING = 50_000
_SLOW_S = 5.0
# Acknowledgements are written along with reports, or alone after this long; if lost, reports are sent twice.
_IDLE_S = 0.25
_RETRY_S = 1.0
_MAX_UNUSED = 100  # owners found per query
_MAX_USED = 1_000  # owners to be marked as used; normally written along with reports
# Owners whose newest seq is cached; beyond this the cache is cleared.
_MAX_SEQS = 100_000

Post = Callable[[Callable[[], object]], object]


class StoreWriter:
    """Write all queued reports in one transaction, then run the queued reads.

    The result of every item that is `put` is passed to the event loop by `post`, in order. After a failure
    everything fails until the listener, which has been notified, calls `forget`. Callers bound the queue: see
    `behind`.
    """

    def __init__(
        self,
        store: OrderWriter,
        reader: OrderReader,
        post: Post,
        retry_s: float = _RETRY_S,
        max_queued: int = _MAX_WAITING,
        slow_s: float = _SLOW_S,
    ) -> None:
        """Use `store` and `reader` on one thread each; opening the store is retried every `retry_s`.

        With more than `max_queued` items it is `behind`; without an answer for `slow_s` it is `stuck`.
        """
        self._store = store
        self._post = post
        self._slow_s = slow_s
        self._faults = Faults(retry_s)
        self._is_open = False
        self._seqs: dict[str, int] = {}
        self._received: dict[str, int] = {}
        self._used: set[str] = set()
        self._notes_lock = threading.Lock()  # for the two above
        self._thread = WriterThread(self, "orders", max_queued, Backoff(retry_s, retry_s), idle_s=_IDLE_S)
        self.put = self._thread.put
        self._lookups = LookupThread(reader, post, self._thread.fail_next)

    @property
    def advice(self) -> str:
        """What an operator can do about an error that is not retried."""
        return self._store.advice

    def start(self, listener: Listener) -> None:
        """Open the store and start writing; results go to `listener`."""
        self._listener = listener
        self._thread.start()
        self._lookups.start()

    def stop(self, seconds: float) -> None:
        """Write what is queued, for at most `seconds`, and stop."""
        self._thread.stop(seconds)
        self._lookups.stop(seconds)

    def received(self, owner: str, seq: int) -> None:
        """Record that `owner` has received its reports up to `seq`."""
        with self._notes_lock:
            self._received[owner] = max(seq, self._received.get(owner, 0))

    def used(self, owner: str) -> None:
        """Record that an owner is in use."""
        with self._notes_lock:
            self._used.add(owner)

    def abandon(self, reason: str) -> None:
        """Fail everything queued, because its state cannot be trusted, and reopen the store after a pause.

        After too many faults in succession the store is not reopened.
        """
        fault = self._faults.note(reason, time.monotonic())
        self._thread.fail_next(fault, self._faults.pause_s)

    def forget(self, *, reopen: bool) -> list[Item]:
        """Remove and return, after a failure, what was queued since; reopen the store if `reopen`."""
        late = self._thread.remove_all()
        with self._notes_lock:
            self._received.clear()
            self._used.clear()
        if reopen:
            self._thread.resume()
        return late

    @property
    def commits(self) -> int:
        """The number of transactions."""
        return self._thread.commits

    @property
    def commit_s(self) -> float:
        """The total seconds that they took."""
        return self._thread.commit_s

    @property
    def behind(self) -> str | None:
        """The refusal of new orders while too much is queued; None otherwise."""
        return f"the disk is too slow, {len(self._thread)} changes are queued" if self._thread.full else None

    @property
    def stuck(self) -> str | None:
        """How long the disk has not answered; None if that is not long."""
        seconds = self._thread.busy_s
        return f"the disk has not answered for {seconds:.0f} s" if seconds > self._slow_s else None

    # The methods called by the writer thread.

    def open(self) -> None:
        """Open the store, and pass its contents to the listener."""
        self._is_open = False
        found = self._store.open()
        self._is_open = True
        self._seqs.clear()
        self._post(partial(self._listener.opened, found))

    def batch(self, waiting: Iterable[Item]) -> list[Item]:
        """Take all, up to a limit or a removal, after which its owner's seq starts again."""
        items: list[Item] = []
        for item in waiting:
            items.append(item)
            if len(items) == _MAX_BATCH or isinstance(item, Removal):
                break
        return items

    def write(self, batch: list[Item]) -> bool:
        """Write the reports together, then read: results of reads include them, and are sent after them."""
        stored = self._numbered([item for item in batch if isinstance(item, PendingReport)])
        committed = self._commit(stored, urgent=any(isinstance(item, UnusedRead) for item in batch))
        calls = self._read(batch)
        if stored:
            self._post(partial(self._listener.stored, stored))
        for call in calls:
            self._post(call)
        for item in batch:
            if isinstance(item, Lookup):
                self._post(item.begin)
                self._lookups.put(item)
        if not batch:
            self._store.tidy()
        return committed

    def failed(self, error: OSError, *, fatal: bool) -> bool:
        """Return everything queued, because it was decided on a state that is not stored; retry opening."""
        reason = str(error)
        if self._is_open:
            items = self._thread.remove_all()
            self._post(partial(self._listener.failed, items, reason, fatal=fatal))
            return False
        self._post(partial(self._listener.refused, reason, fatal=fatal))
        return not fatal

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _commit(self, stored: list[Stored], *, urgent: bool) -> bool:
        """Write new reports, acknowledgements and used owners; skip the transaction if nothing is urgent."""
        new = [one for one in stored if not one.known]
        with self._notes_lock:
            if not (new or self._received or urgent or len(self._used) > _MAX_USED):
                return False
            received, self._received = self._received, {}
            used, self._used = frozenset(self._used), set()
        anonymous = frozenset(one.report.order.owner for one in new if one.pending.anonymous)
        remaining = {
            (
                one.pending.remaining.symbol,
                one.pending.remaining.source,
                one.pending.remaining.side,
            ): one.pending.remaining
            for one in stored
            if one.pending.remaining is not None
        }
        reports = [one.report for one in new]
        self._store.write(OrderBatch(reports, received, anonymous, used, tuple(remaining.values())))
        return True

    def _read(self, batch: list[Item]) -> list[Callable[[], object]]:
        """Run the reads and removals; return the callbacks, those of owner reads first."""
        calls: list[Callable[[], object]] = [
            partial(item.done, self._store.owner(item.owner, item.after))
            for item in batch
            if isinstance(item, OwnerRead)
        ]
        for item in batch:
            if isinstance(item, UnusedRead):
                calls.append(partial(item.done, self._store.unused(item.seconds, _MAX_UNUSED)))
            elif isinstance(item, Removal):
                self._store.remove(item.owner)
                self._seqs.pop(item.owner, None)
                calls.append(item.done)
        return calls

    def _numbered(self, pending: list[PendingReport]) -> list[Stored]:
        """Assign each report its owner's next seq, unless it is a new order with a known client_order_id."""
        if len(self._seqs) >= _MAX_SEQS:
            self._seqs.clear()
        names = [_name(one) for one in pending]
        given = [name for name in names if name is not None]
        known = self._store.existing(given) if given else {}
        stored: list[Stored] = []
        for one, name in zip(pending, names, strict=True):
            if name is not None and name in known:
                stored.append(Stored(one, known[name], known=True))
                continue
            report = replace(one.report, seq=self._seq(one.report.order.owner))
            if name is not None:
                known[name] = report
            stored.append(Stored(one, report, known=False))
        return stored

    def _seq(self, owner: str) -> int:
        last = self._seqs.get(owner)
        if last is None:
            last = self._store.owner(owner).last_seq
        self._seqs[owner] = last + 1
        return last + 1


def _name(one: PendingReport) -> tuple[str, str] | None:
    """Return owner and client_order_id of a new order, if it has one."""
    order, name = one.report.order, one.report.order.ticket.client_order_id
    return None if name is None or one.report.exec_type is not ExecType.NEW else (order.owner, name)
