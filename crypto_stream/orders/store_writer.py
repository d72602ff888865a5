"""What is decided about orders, on its way to the disk and back; nothing is sent before it is on the disk."""

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
    Decided,
    Item,
    Listener,
    Lookup,
    OwnerRead,
    Removal,
    Stored,
    UnusedRead,
)
from crypto_stream.storage.interface import OrderBatch, OrderReader, OrderWriter
from crypto_stream.storage.writer_thread import WriterThread

# Changes written in one transaction: some tens of milliseconds.
_MOST_AT_ONCE = 2_000
# Changes that wait for the disk; past that no order is accepted.
_MOST_WAITING = 50_000
_SLOW_S = 5.0
# What owners received is written along with changes, or alone after so long: forgotten, it is sent twice.
_IDLE_S = 0.25
_RETRY_S = 1.0
_MOST_UNUSED = 100  # owners found at once
_MOST_USED = 1_000  # owners that wait to be noted as used; it is done along with other changes
# Owners whose newest seq is remembered; then all are forgotten and read again.
_MOST_SEQS = 100_000

Post = Callable[[Callable[[], object]], object]


class StoreWriter:
    """Write what is decided, all that waits in one transaction; what is read comes after it, in order.

    Every item that is `put` has its result, in order, handed to the event loop by `post`. After a failure
    everything fails until the listener, which knows by then, calls `forget`. What waits is bounded by who
    puts it in: see `behind`.
    """

    def __init__(
        self,
        store: OrderWriter,
        reader: OrderReader,
        post: Post,
        retry_s: float = _RETRY_S,
        most_waiting: int = _MOST_WAITING,
        slow_s: float = _SLOW_S,
    ) -> None:
        """Use both from the two threads alone; a store that cannot be opened is tried every `retry_s`.

        More than `most_waiting` changes are too many; no answer for `slow_s` is worth a word.
        """
        self._store = store
        self._post = post
        self._slow_s = slow_s
        self._faults = Faults(retry_s)
        self._is_open = False
        self._seqs: dict[str, int] = {}
        self._received: dict[str, int] = {}
        self._used: set[str] = set()
        self._notes_lock = threading.Lock()  # of the two above
        self._thread = WriterThread(self, "orders", most_waiting, Backoff(retry_s, retry_s), idle_s=_IDLE_S)
        self.put = self._thread.put
        self._lookups = LookupThread(reader, post, self._thread.doubt)

    def start(self, listener: Listener) -> None:
        """Open what is kept and begin to write; `listener` hears of it."""
        self._listener = listener
        self._thread.start()
        self._lookups.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, for at most so long, and end."""
        self._thread.stop(seconds)
        self._lookups.stop(seconds)

    def received(self, owner: str, seq: int) -> None:
        """Remember that `owner` has read its reports up to `seq`."""
        with self._notes_lock:
            self._received[owner] = max(seq, self._received.get(owner, 0))

    def used(self, owner: str) -> None:
        """Remember that somebody uses an owner now."""
        with self._notes_lock:
            self._used.add(owner)

    def abandon(self, reason: str) -> None:
        """Fail all that waits, and open anew after a while: what made it cannot be trusted.

        After many that followed each other it is not opened again: it would go on for ever.
        """
        fault = self._faults.note(reason, time.monotonic())
        self._thread.doubt(fault, self._faults.pause_s)

    def forget(self, *, reopen: bool) -> list[Item]:
        """Give up, after a failure, what was put in since, and return it; open again if that is of use."""
        late = self._thread.take_back()
        with self._notes_lock:
            self._received.clear()
            self._used.clear()
        if reopen:
            self._thread.resume()
        return late

    @property
    def commits(self) -> int:
        """Count the transactions."""
        return self._thread.commits

    @property
    def commit_s(self) -> float:
        """Sum up the seconds that they took."""
        return self._thread.commit_s

    @property
    def behind(self) -> str | None:
        """Say that too much waits for the disk; None while it does not."""
        return f"the disk is behind, {len(self._thread)} changes wait for it" if self._thread.full else None

    @property
    def stuck(self) -> str | None:
        """Say for how long the disk has not answered; None while that is not long."""
        seconds = self._thread.busy_s
        return f"the disk has not answered for {seconds:.0f} s" if seconds > self._slow_s else None

    # What the thread asks for.

    def open(self) -> None:
        """Open what is kept, and say what is there."""
        self._is_open = False
        found = self._store.open()
        self._is_open = True
        self._seqs.clear()
        self._post(partial(self._listener.opened, found))

    def batch(self, waiting: Iterable[Item]) -> list[Item]:
        """Take all, up to a bound and to a removal: what its owner does after that is numbered anew."""
        items: list[Item] = []
        for item in waiting:
            items.append(item)
            if len(items) == _MOST_AT_ONCE or isinstance(item, Removal):
                break
        return items

    def write(self, batch: list[Item]) -> bool:
        """Write the changes together, then read: what is read holds them all, and is sent after them."""
        stored = self._numbered([item for item in batch if isinstance(item, Decided)])
        committed = self._commit(stored, at_once=any(isinstance(item, UnusedRead) for item in batch))
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
        """Hand back all that waits, as it was decided on what is not on the disk; opening is tried again."""
        reason = str(error)
        if self._is_open:
            items = self._thread.take_back()
            self._post(partial(self._listener.failed, items, reason, hopeless=fatal))
            return False
        self._post(partial(self._listener.refused, reason, hopeless=fatal))
        return not fatal

    def close(self) -> None:
        """Give back the file."""
        self._store.close()

    def _commit(self, stored: list[Stored], *, at_once: bool) -> bool:
        """Write the new reports, and what was noted of owners; alone only what cannot wait."""
        new = [one for one in stored if not one.known]
        with self._notes_lock:
            if not (new or self._received or at_once or len(self._used) > _MOST_USED):
                return False
            received, self._received = self._received, {}
            used, self._used = frozenset(self._used), set()
        anonymous = frozenset(one.report.order.owner for one in new if one.decided.anonymous)
        taken = {
            (one.decided.taken.symbol, one.decided.taken.source, one.decided.taken.side): one.decided.taken
            for one in stored
            if one.decided.taken is not None
        }
        reports = [one.report for one in new]
        self._store.write(OrderBatch(reports, received, anonymous, used, tuple(taken.values())))
        return True

    def _read(self, batch: list[Item]) -> list[Callable[[], object]]:
        """Read and remove what is to be; return what to call then: what was read of owners first."""
        calls: list[Callable[[], object]] = [
            partial(item.done, self._store.owner(item.owner, item.after))
            for item in batch
            if isinstance(item, OwnerRead)
        ]
        for item in batch:
            if isinstance(item, UnusedRead):
                calls.append(partial(item.done, self._store.unused(item.seconds, _MOST_UNUSED)))
            elif isinstance(item, Removal):
                self._store.remove(item.owner)
                self._seqs.pop(item.owner, None)
                calls.append(item.done)
        return calls

    def _numbered(self, decided: list[Decided]) -> list[Stored]:
        """Give each change its owner's next seq; a new order whose name is taken is none."""
        if len(self._seqs) >= _MOST_SEQS:
            self._seqs.clear()
        names = [_name(one) for one in decided]
        given = [name for name in names if name is not None]
        taken = self._store.named(given) if given else {}
        stored: list[Stored] = []
        for one, name in zip(decided, names, strict=True):
            if name is not None and name in taken:
                stored.append(Stored(one, taken[name], known=True))
                continue
            report = replace(one.report, seq=self._seq(one.report.order.owner))
            if name is not None:
                taken[name] = report
            stored.append(Stored(one, report, known=False))
        return stored

    def _seq(self, owner: str) -> int:
        last = self._seqs.get(owner)
        if last is None:
            last = self._store.owner(owner).last_seq
        self._seqs[owner] = last + 1
        return last + 1


def _name(one: Decided) -> tuple[str, str] | None:
    """Return what the owner of a new order named it."""
    order, name = one.report.order, one.report.order.ticket.client_order_id
    return None if name is None or one.report.exec_type is not ExecType.NEW else (order.owner, name)
