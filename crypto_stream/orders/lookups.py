"""What is read from the disk beside the writing: whose turn it is, the thread that reads, the answers."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from crypto_stream.bus.orders import Cancel, Failed, Listed, ListOrders, ListTrades, Told, Traded
from crypto_stream.market.orders import Status
from crypto_stream.orders.outbox import Reader
from crypto_stream.orders.writes import Lookup
from crypto_stream.storage.interface import CorruptError, OrderReader

log = logging.getLogger(__name__)

MOST_CLOSED = 1_000  # ended orders of a list
MOST_TRADES = 1_000
# Answers of one gateway that are being read, or wait for it to take them: lists are long.
MOST_AT_ONCE = 8


class LookupLimiter:
    """Let so many lookups of each gateway begin at once; one is done when its answer was taken."""

    def __init__(self, begin: Callable[[Lookup], None], most: int = MOST_AT_ONCE) -> None:
        self._begin = begin
        self._most = most
        self._under_way: dict[str, Counter[Reader]] = {}
        self._waiting: dict[str, deque[tuple[Reader, Lookup]]] = {}

    def take(self, reader: Reader, lookup: Lookup) -> None:
        """Begin a lookup now, or when it is its turn."""
        self._waiting.setdefault(reader.gateway, deque()).append((reader, lookup))
        self._go_on(reader.gateway)

    def done(self, reader: Reader) -> None:
        """Let the next one begin in the place of one of this session."""
        under_way = self._under_way.get(reader.gateway)
        if under_way is not None and under_way[reader]:
            under_way[reader] -= 1
            if not under_way[reader]:
                del under_way[reader]
            self._go_on(reader.gateway)

    def left(self, reader: Reader) -> None:
        """Forget a session that has ended: what it waited for is not read any more."""
        if under_way := self._under_way.get(reader.gateway):
            under_way.pop(reader, None)
        self._go_on(reader.gateway)

    def take_back(self) -> list[Lookup]:
        """Give up every lookup that has not begun, and return them."""
        waiting, self._waiting = self._waiting, {}
        return [lookup for queue in waiting.values() for _, lookup in queue]

    def _go_on(self, gateway: str) -> None:
        under_way = self._under_way.setdefault(gateway, Counter())
        queue = self._waiting.get(gateway, deque())
        while queue and (queue[0][0].gone or under_way.total() < self._most):
            reader, lookup = queue.popleft()
            if not reader.gone:
                under_way[reader] += 1
                self._begin(lookup)
        if not queue:
            self._waiting.pop(gateway, None)
            if not under_way:
                self._under_way.pop(gateway, None)


class LookupThread:
    """Read one lookup after the other; what comes of each is handed to the event loop by `post`."""

    def __init__(
        self,
        reader: OrderReader,
        post: Callable[[Callable[[], object]], object],
        doubt: Callable[[OSError], None],
    ) -> None:
        """Use `reader` from the thread alone; `doubt` hears that what is kept is corrupt."""
        self._reader = reader
        self._post = post
        self._doubt = doubt
        self._lookups: queue.SimpleQueue[Lookup | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="orders reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Read what waits, for at most so long, and end."""
        self._lookups.put(None)
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def put(self, lookup: Lookup) -> None:
        """Have it read; how many wait is bounded by who asks."""
        self._lookups.put(lookup)

    def _run(self) -> None:
        while (lookup := self._lookups.get()) is not None:
            try:
                self._post(lookup.read(self._reader))
            except OSError as error:
                self._post(partial(lookup.failed, str(error)))
                if isinstance(error, CorruptError):
                    self._doubt(error)
            except Exception:  # a fault of ours costs this one answer
                log.exception("orders could not be read")
                self._post(partial(lookup.failed, "a fault of this server, see its log"))
        self._reader.close()


def answer(reader: OrderReader, owner: str, command: Cancel | ListOrders | ListTrades) -> Told:
    """Answer one command of `owner`, on the thread that reads; OSError when it cannot be read."""
    session, ref = command.session, command.ref
    if isinstance(command, ListOrders):
        return Listed(session, ref, reader.orders(owner, MOST_CLOSED))
    if isinstance(command, ListTrades):
        trades = [] if command.symbol is None else reader.trades(owner, command.symbol, MOST_TRADES)
        return Traded(session, ref, trades, reader.positions(owner))
    order = reader.order(owner, command.order_id)
    if order is None:
        return Failed(session, ref, "unknown_order", f"order_id: you have no order {command.order_id}")
    if order.status is Status.ACTIVE:
        return Failed(session, ref, "not_active", "order_id: the order is just ending, its report follows")
    return Failed(
        session, ref, "not_active", f"order_id: the order is {order.status.name.lower()}, not active"
    )
