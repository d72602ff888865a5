"""The thread that writes orders and the thread that reads them; nothing is told before it is on disk."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from crypto_stream.market.orders import ExecType, Report
from crypto_stream.orders.faults import Faults
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
from crypto_stream.storage.interface import CorruptError, OrderBatch, OrderReader, OrderWriter, UnusableError

log = logging.getLogger(__name__)

# Changes written in one transaction: some tens of milliseconds.
_MOST_AT_ONCE = 2_000
# Changes that wait for the disk; past that no order is accepted.
_MOST_WAITING = 50_000
_SLOW_S = 5.0
# What owners were told is written along with changes, or alone after so long: forgotten, it is told twice.
_TOLD_EVERY_S = 0.25
_RETRY_S = 1.0
_MOST_UNUSED = 100  # owners found at once
_MOST_USED = 1_000  # owners that wait to be noted as used; it is done along with other changes
# Owners whose newest seq is remembered; then all are forgotten and read again.
_MOST_SEQS = 100_000


class StoreWriter:
    """Write what is decided, all that waits in one transaction, on one thread; read on another.

    Every item has its result, in order, handed to the event loop by `post`. After a failure everything fails
    until the listener, which knows by then, calls `forget`. What waits is bounded by who puts it in: see
    `behind`. `commits` and `commit_s` count the transactions and the seconds they took.
    """

    def __init__(
        self,
        writer: OrderWriter,
        reader: OrderReader,
        post: Callable[[Callable[[], object]], object],
        retry_s: float = _RETRY_S,
        most_waiting: int = _MOST_WAITING,
        slow_s: float = _SLOW_S,
    ) -> None:
        """Use both from the two threads alone; a store that cannot be opened is tried every `retry_s`.

        More than `most_waiting` changes are too many; no answer for `slow_s` is worth a word.
        """
        self.commits = 0
        self.commit_s = 0.0
        self._writer = writer
        self._reader = reader
        self._post = post
        self._retry_s = retry_s
        self._most_waiting = most_waiting
        self._slow_s = slow_s
        self._outbox = threading.Condition()
        self._items: deque[Item] = deque()
        self._told: dict[str, int] = {}
        self._used: set[str] = set()
        self._seqs: dict[str, int] = {}
        self._doubt: OSError | None = None
        self._faults = Faults(retry_s)
        self._wanted = False
        self._ending = False
        self._busy_since: float | None = None
        self._lookups: queue.SimpleQueue[Lookup | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name="orders", daemon=True),
            threading.Thread(target=self._read_for_ever, name="orders reader", daemon=True),
        ]

    def start(self, listener: Listener) -> None:
        """Open what is kept and begin to write; `listener` hears of it."""
        self._listener = listener
        self._wanted = True
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, for at most so long, and end."""
        with self._outbox:
            self._ending = True
            self._outbox.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(seconds)

    def put(self, item: Item) -> None:
        """Have it written or read after all that was put before; never waits for the disk."""
        with self._outbox:
            self._items.append(item)
            self._outbox.notify_all()

    def told(self, owner: str, seq: int) -> None:
        """Remember that `owner` was told its reports up to `seq`."""
        with self._outbox:
            self._told[owner] = max(seq, self._told.get(owner, 0))

    def used(self, owner: str) -> None:
        """Remember that somebody uses an owner now."""
        with self._outbox:
            self._used.add(owner)

    def abandon(self, reason: str) -> None:
        """Fail all that waits, and open anew after a while: what made it cannot be trusted.

        After many that followed each other it is not opened again: it would go on for ever.
        """
        with self._outbox:
            fault = self._faults.note(reason, time.monotonic())
            self._doubt = self._doubt or fault
            self._outbox.notify_all()

    @property
    def behind(self) -> str | None:
        """Say that too much waits for the disk; None while it does not."""
        waiting = len(self._items)
        return f"the disk is behind, {waiting} changes wait for it" if waiting > self._most_waiting else None

    @property
    def stuck(self) -> str | None:
        """Say for how long the disk has not answered; None while that is not long."""
        since = self._busy_since
        seconds = 0.0 if since is None else time.monotonic() - since
        return f"the disk has not answered for {seconds:.0f} s" if seconds > self._slow_s else None

    def forget(self, *, reopen: bool) -> list[Item]:
        """Give up, after a failure, what was put in since, and return it; open again if that is of use."""
        with self._outbox:
            late, self._items = list(self._items), deque()
            self._told.clear()
            self._used.clear()
            self._wanted = reopen
            self._outbox.notify_all()
        return late

    def _run(self) -> None:
        try:
            while self._open():
                self._write_on()
        except Exception:  # a fault of ours: prices go on, and this is said
            log.exception("orders are no longer stored")
            self._fail([], "the thread that writes orders has ended, see the log", hopeless=True)
        finally:
            self._lookups.put(None)
            self._writer.close()

    def _open(self) -> bool:
        """Open what is kept as soon as that is wanted and works; False at the end."""
        while True:
            with self._outbox:
                self._outbox.wait_for(lambda: self._wanted or self._ending)
                if self._ending:
                    return False
            try:
                found = self._writer.open()
            except OSError as error:
                hopeless = isinstance(error, CorruptError | UnusableError)
                self._post(partial(self._listener.refused, str(error), hopeless=hopeless))
                with self._outbox:
                    self._wanted = not hopeless
                    self._outbox.wait_for(lambda: self._ending, self._retry_s)
                continue
            self._wanted = False
            self._seqs.clear()
            self._doubt = None
            self._post(partial(self._listener.opened, found))
            return True

    def _write_on(self) -> None:
        """Write what comes until the end, or until the disk refuses."""
        while True:
            items, told = self._next()
            try:
                if self._doubt is not None:
                    raise self._doubt
                self._work(items, told)
                if not items:
                    self._writer.tidy()
            except OSError as error:
                self._fail(items, str(error), hopeless=isinstance(error, CorruptError | UnusableError))
                if error is self._doubt:
                    with self._outbox:
                        self._outbox.wait_for(lambda: self._ending, self._faults.pause_s)
                return
            if self._ending and not self._items:
                return

    def _next(self) -> tuple[list[Item], dict[str, int]]:
        with self._outbox:
            self._outbox.wait_for(lambda: self._items or self._ending or self._doubt, _TOLD_EVERY_S)
            items: list[Item] = []
            while self._items and len(items) < _MOST_AT_ONCE:
                items.append(self._items.popleft())
                if isinstance(items[-1], Removal):
                    break  # what its owner does after that is numbered anew
            told, self._told = self._told, {}
        return items, told

    def _work(self, items: list[Item], told: dict[str, int]) -> None:
        """Write the changes together, then read: what is read holds them all, and is told after them."""
        self._busy_since = began = time.monotonic()
        try:
            stored = self._numbered([item for item in items if isinstance(item, Decided)])
            reports = [one.report for one in stored if not one.known]
            asks = any(isinstance(item, UnusedRead) for item in items)
            if reports or told or asks or len(self._used) > _MOST_USED:
                anonymous = frozenset(
                    one.report.order.owner for one in stored if one.decided.anonymous and not one.known
                )
                with self._outbox:
                    used, self._used = frozenset(self._used), set()
                taken = {
                    (one.decided.taken.symbol, one.decided.taken.source, one.decided.taken.side): (
                        one.decided.taken
                    )
                    for one in stored
                    if one.decided.taken is not None
                }
                self._writer.write(OrderBatch(reports, told, anonymous, used, tuple(taken.values())))
                self.commits += 1
                self.commit_s += time.monotonic() - began
            asked = [item for item in items if isinstance(item, OwnerRead)]
            found = [(item, self._writer.owner(item.owner, item.after)) for item in asked]
            rest = self._tended(items)
        finally:
            self._busy_since = None
        if stored:
            self._post(partial(self._listener.stored, stored))
        for item, owner in found:
            self._post(partial(item.done, owner))
        for call in rest:
            self._post(call)
        for lookup in items:
            if isinstance(lookup, Lookup):
                self._post(lookup.begin)
                self._lookups.put(lookup)

    def _tended(self, items: list[Item]) -> list[Callable[[], object]]:
        """Find unused owners and remove those that are to go; return what is to be called of it."""
        calls: list[Callable[[], object]] = []
        for item in items:
            if isinstance(item, UnusedRead):
                calls.append(partial(item.done, self._writer.unused(item.seconds, _MOST_UNUSED)))
            elif isinstance(item, Removal):
                self._writer.remove(item.owner)
                self._seqs.pop(item.owner, None)
                calls.append(item.done)
        return calls

    def _numbered(self, decided: list[Decided]) -> list[Stored]:
        """Give each change its owner's next seq; a new order whose name is taken is none."""
        if len(self._seqs) >= _MOST_SEQS:
            self._seqs.clear()
        names = [_name(one) for one in decided]
        given = [name for name in names if name is not None]
        taken = self._writer.named(given) if given else {}
        stored: list[Stored] = []
        for one, name in zip(decided, names, strict=True):
            if name is not None and name in taken:
                stored.append(Stored(one, taken[name], known=True))
                continue
            order = one.order
            report = Report(
                *(self._seq(order.owner), one.exec_id, one.exec_type, order.changed_ms, order),
                *(one.last_amount, one.last_price, one.source, one.reason),
            )
            if name is not None:
                taken[name] = report
            stored.append(Stored(one, report, known=False))
        return stored

    def _seq(self, owner: str) -> int:
        last = self._seqs.get(owner)
        if last is None:
            last = self._writer.owner(owner).last_seq
        self._seqs[owner] = last + 1
        return last + 1

    def _fail(self, items: list[Item], reason: str, *, hopeless: bool) -> None:
        with self._outbox:
            items, self._items = [*items, *self._items], deque()
            self._wanted = False
        self._post(partial(self._listener.failed, items, reason, hopeless=hopeless))

    def _read_for_ever(self) -> None:
        while (lookup := self._lookups.get()) is not None:
            try:
                self._post(lookup.read(self._reader))
            except OSError as error:
                self._post(partial(lookup.failed, str(error)))
                if isinstance(error, CorruptError):
                    with self._outbox:
                        self._doubt = error
                        self._outbox.notify_all()
            except Exception:  # a fault of ours costs this one answer
                log.exception("orders could not be read")
                self._post(partial(lookup.failed, "a fault of this server, see its log"))
        self._reader.close()


def _name(one: Decided) -> tuple[str, str] | None:
    """Return what the owner of a new order named it."""
    name = one.order.ticket.client_order_id
    return None if name is None or one.exec_type is not ExecType.NEW else (one.order.owner, name)
