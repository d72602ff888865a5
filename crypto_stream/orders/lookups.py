"""Lookups in the store, concurrent with writes: their limit, the reading thread, and the answers."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from crypto_stream.bus.orders import (
    Cancel,
    Failed,
    ListOrders,
    ListTrades,
    OrdersListed,
    SessionMessage,
    TradesListed,
)
from crypto_stream.market.orders import Status
from crypto_stream.orders.outbox import Recipient
from crypto_stream.orders.writes import Lookup
from crypto_stream.storage.interface import CorruptError, OrderReader

log = logging.getLogger(__name__)

MAX_CLOSED = 1_000  # ended orders in a list
MAX_TRADES = 1_000
# Lookups per gateway that are being read, or whose answer was not sent yet: lists are long.
MAX_CONCURRENT = 8


class LookupLimiter:
    """Limit each gateway's concurrent lookups; a lookup is done once its answer was sent."""

    def __init__(self, begin: Callable[[Lookup], None], limit: int = MAX_CONCURRENT) -> None:
        self._begin = begin
        self._limit = limit
        self._in_progress: dict[str, Counter[Recipient]] = {}
        self._waiting: dict[str, deque[tuple[Recipient, Lookup]]] = {}

    def submit(self, recipient: Recipient, lookup: Lookup) -> None:
        """Begin a lookup now or once others are done."""
        self._waiting.setdefault(recipient.gateway, deque()).append((recipient, lookup))
        self._begin_next(recipient.gateway)

    def done(self, recipient: Recipient) -> None:
        """Record that a lookup of this session is done, and begin the next one."""
        in_progress = self._in_progress.get(recipient.gateway)
        if in_progress is not None and in_progress[recipient]:
            in_progress[recipient] -= 1
            if not in_progress[recipient]:
                del in_progress[recipient]
            self._begin_next(recipient.gateway)

    def session_ended(self, recipient: Recipient) -> None:
        """Discard the waiting lookups of a session that has ended."""
        if in_progress := self._in_progress.get(recipient.gateway):
            in_progress.pop(recipient, None)
        self._begin_next(recipient.gateway)

    def remove_waiting(self) -> list[Lookup]:
        """Remove and return all lookups that have not begun."""
        waiting, self._waiting = self._waiting, {}
        return [lookup for queue in waiting.values() for _, lookup in queue]

    def _begin_next(self, gateway: str) -> None:
        in_progress = self._in_progress.setdefault(gateway, Counter())
        queue = self._waiting.get(gateway, deque())
        while queue and (queue[0][0].gone or in_progress.total() < self._limit):
            recipient, lookup = queue.popleft()
            if not recipient.gone:
                in_progress[recipient] += 1
                self._begin(lookup)
        if not queue:
            self._waiting.pop(gateway, None)
            if not in_progress:
                self._in_progress.pop(gateway, None)


class LookupThread:
    """Run lookups one at a time; results are passed to the event loop by `post`."""

    def __init__(
        self,
        reader: OrderReader,
        post: Callable[[Callable[[], object]], object],
        on_corrupt: Callable[[OSError], None],
    ) -> None:
        """Use `reader` on the thread only; `on_corrupt` is called if the store is corrupt."""
        self._reader = reader
        self._post = post
        self._on_corrupt = on_corrupt
        self._lookups: queue.SimpleQueue[Lookup | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="orders reader", daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Run queued lookups, for at most `seconds`, and stop."""
        self._lookups.put(None)
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def put(self, lookup: Lookup) -> None:
        """Queue a lookup; callers bound their number."""
        self._lookups.put(lookup)

    def _run(self) -> None:
        while (lookup := self._lookups.get()) is not None:
            try:
                self._post(lookup.read(self._reader))
            except OSError as error:
                self._post(partial(lookup.failed, str(error)))
                if isinstance(error, CorruptError):
                    self._on_corrupt(error)
            except Exception:  # an internal error fails only this lookup
                log.exception("orders could not be read")
                self._post(partial(lookup.failed, "internal error, see the server's log"))
        self._reader.close()


def answer(reader: OrderReader, owner: str, command: Cancel | ListOrders | ListTrades) -> SessionMessage:
    """Answer a command of `owner`, on the reading thread; raise OSError if reading fails."""
    session, ref = command.session, command.ref
    if isinstance(command, ListOrders):
        return OrdersListed(session, ref, reader.orders(owner, MAX_CLOSED))
    if isinstance(command, ListTrades):
        trades = [] if command.symbol is None else reader.trades(owner, command.symbol, MAX_TRADES)
        return TradesListed(session, ref, trades, reader.positions(owner))
    order = reader.order(owner, command.order_id)
    if order is None:
        return Failed(session, ref, "unknown_order", f"order_id: you have no order {command.order_id}")
    if order.status is Status.ACTIVE:
        return Failed(session, ref, "not_active", "order_id: the order has just ended, its report follows")
    return Failed(
        session, ref, "not_active", f"order_id: the order is {order.status.name.lower()}, not active"
    )
