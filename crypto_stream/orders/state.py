"""The state in memory since the store was opened: owners, active orders, the simulated exchange.

Decisions are passed to the store and sent once they are stored. If writing fails, the whole state is
discarded and a new one is loaded, so memory is never ahead of the disk permanently.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from itertools import chain, islice

from crypto_stream.errors import RefusedError
from crypto_stream.market.exact import plain
from crypto_stream.market.orders import ExecType, Order, Report, Rules, Status, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import Clock
from crypto_stream.orders.ids import IdGenerator
from crypto_stream.orders.limits import OpenOrders
from crypto_stream.orders.matching import ActiveOrder, active_order
from crypto_stream.orders.owners import Owner, OwnerSession
from crypto_stream.orders.recovery import FaultRecovery
from crypto_stream.orders.simulator import Decision, Offers, Simulator
from crypto_stream.orders.transitions import changed, traded
from crypto_stream.orders.validation import OrderSettings, check, too_many_sessions
from crypto_stream.orders.walking import Books
from crypto_stream.orders.writes import PendingReport
from crypto_stream.storage.interface import LoadedOrders

ANONYMOUS_GRACE_S = 60.0  # how long an anonymous owner's orders survive its last session
CONNECTION_GONE = "its connection was closed for 60 s"
INSTRUMENT_REMOVED = "its instrument was removed"
# Orders loaded in one iteration of the event loop, so that prices continue meanwhile.
_LOADED_AT_ONCE = 2_000
# Orders ended at once because their instruments were removed: each takes some 30 µs.
_ENDED_AT_ONCE = 250


class State:
    """Accepts, trades and ends orders."""

    def __init__(
        self,
        quotes: Mapping[str, Quote],
        rules: Callable[[str, str], Rules | None],
        settings: OrderSettings,
        clock: Clock,
        safely: FaultRecovery,
        put: Callable[[PendingReport], None],
        offers: Offers,
    ) -> None:
        """Trade on `quotes` (always the newest, by symbol); `rules` returns those of a source and symbol.

        Timer callbacks run through `safely`. `offers` is what a previous state left of these quotes, so that
        no size is traded twice.
        """
        self.owners: dict[str, Owner] = {}
        self._by_symbol: dict[str, dict[str, ActiveOrder]] = {}  # the stored active ones, by order_id
        self._open = OpenOrders(settings.max_open)
        self._quotes = quotes
        self._rules = rules
        self._settings = settings
        self._clock = clock
        self._safely = safely
        self._put = put
        self._simulator = Simulator(quotes, offers)
        self._random = random.Random()
        self._new_id = IdGenerator()
        self._rank = 0
        self._wakes_s: float | None = None
        self._closed = False
        self._books: Books | None = None
        self._walking: set[str] = set()  # orders that are not stored yet

    @property
    def active(self) -> int:
        """The number of active orders, including those being written."""
        return self._open.active

    def walk(self, books: Books | None) -> None:
        """Let orders walk these books."""
        self._books = self._simulator.books = books

    def load(self, found: LoadedOrders, ready: Callable[[], None]) -> None:
        """Load the stored orders in pieces, then start trading, and call `ready`."""
        self._rank = found.next_rank
        self._load(found, 0, ready)

    def close(self) -> Offers:
        """Stop; return what remains of the newest quotes."""
        self._closed = True
        return self._simulator.offers()

    def owner(self, name: str, *, anonymous: bool) -> Owner:
        """Return the owner of this name, creating it if necessary."""
        owner = self.owners.get(name)
        if owner is None:
            owner = self.owners[name] = Owner(name, anonymous=anonymous)
        return owner

    def quoted(self, quotes: Iterable[Quote]) -> None:
        """Match orders with quotes that changed."""
        self._decide(self._simulator.quoted(quotes))

    def place(self, owner: Owner, ticket: Ticket, cause: object, *, walks: bool = False) -> None:
        """Validate an order and pass it to the store; raise RefusedError if it is refused.

        `walks`: it may trade with the levels behind the top of book. After a restart it no longer does.
        """
        quote = self._quotes.get(ticket.symbol)
        if quote is None:
            raise RefusedError("unknown_instrument", f"instrument: {ticket.symbol!r} does not exist here")
        self._open.check(owner)
        check(ticket, quote, self._rules(quote.source or "", ticket.symbol), self._settings)
        rank, now_ms = self._rank, self._clock.now_ms()
        self._rank += 1
        order = Order(
            order_id=self._new_id(now_ms),
            owner=owner.name,
            rank=rank,
            ticket=ticket,
            created_ms=now_ms,
            due_ms=now_ms + self._latency_ms(rank),
            changed_ms=now_ms,
        )
        self._open.count(owner, +1)
        if walks and self._books is not None:
            self._walking.add(order.order_id)
            self._books.need(ticket.symbol)
        self._put(PendingReport(self._report(ExecType.NEW, order), cause, owner.anonymous))

    def accept(self, order: Order) -> None:
        """Send an order that is now stored to the market."""
        owner = self.owner(order.owner, anonymous=False)
        active = self._add_active(owner, order)
        active.walks = order.order_id in self._walking
        self._walking.discard(order.order_id)
        if order.ticket.symbol not in self._quotes:  # it was removed while the order was being stored
            self.cancel(active, None, INSTRUMENT_REMOVED)
            return
        self._simulator.send(active, self._due_s(order))
        self._wake()
        if owner.expires_s is not None and owner.expires_s <= self._clock.now_s():
            self._clock.soon(partial(self._safely, self._expire, owner, owner.expires_s))

    def withdraw(self, order: Order) -> None:
        """Uncount an order that turned out to be a known one."""
        self._walking.discard(order.order_id)
        owner = self.owners[order.owner]
        self._open.count(owner, -1)
        self._forget_if_unused(owner)

    def cancel(self, active: ActiveOrder, cause: object, reason: str | None = None) -> None:
        """End an active order."""
        self._end(Decision(active, ExecType.CANCELED, reason=reason), cause)

    def clear(self, name: str, reason: str) -> int:
        """End all active orders of an owner; return how many there were."""
        owner = self.owners.get(name)
        orders = list(owner.active.values()) if owner else []
        for active in orders:
            self.cancel(active, None, reason)
        return len(orders)

    def add_instruments(self, symbols: Iterable[str]) -> None:
        """Open the markets of instruments that were added."""
        self._simulator.add(symbols)

    def remove_instruments(self, symbols: Collection[str]) -> None:
        """Close the markets of instruments that were removed, and end some of the active orders in them."""
        self._simulator.close(symbols)
        orders = chain.from_iterable(self._by_symbol.get(symbol, {}).values() for symbol in symbols)
        for active in list(islice(orders, _ENDED_AT_ONCE)):
            self.cancel(active, None, INSTRUMENT_REMOVED)

    def has_orders(self, symbols: Iterable[str]) -> bool:
        """Return whether any order in these instruments is active."""
        return not self._by_symbol.keys().isdisjoint(symbols)

    def join(self, session: OwnerSession) -> Owner:
        """Add a session to its owner; raise RefusedError if it has too many."""
        owner = self.owner(session.owner.name, anonymous=session.owner.anonymous)
        if len(owner.sessions) >= self._settings.max_sessions:
            raise RefusedError("too_many_sessions", too_many_sessions(self._settings.max_sessions))
        owner.sessions.add(session)
        self._open.move(owner, session.address, session.gateway)
        owner.expires_s = None
        session.owner = owner
        return owner

    def leave(self, session: OwnerSession) -> None:
        """Remove a session; after the last one of an anonymous owner its orders expire."""
        owner = session.owner
        if session not in owner.sessions:
            return  # it was refused
        owner.sessions.remove(session)
        self._start_grace(owner)
        self._forget_if_unused(owner)

    def _start_grace(self, owner: Owner) -> None:
        if owner.anonymous and not owner.sessions:
            owner.expires_s = self._clock.now_s() + ANONYMOUS_GRACE_S
            self._clock.at(owner.expires_s, partial(self._safely, self._expire, owner, owner.expires_s))

    def _forget_if_unused(self, owner: Owner) -> None:
        """Remove an owner without sessions and orders."""
        if not (owner.sessions or owner.open):
            self.owners.pop(owner.name, None)

    def _load(self, found: LoadedOrders, at: int, ready: Callable[[], None]) -> None:
        if self._closed:
            return
        now_ms = self._clock.now_ms()
        for order in found.active[at : at + _LOADED_AT_ONCE]:
            owner = self.owner(order.owner, anonymous=order.owner in found.anonymous)
            self._open.count(owner, +1)
            active = self._add_active(owner, order)
            if order.due_ms > now_ms or not self._simulator.restore(active):
                self._simulator.send(active, self._due_s(order))
        at += _LOADED_AT_ONCE
        if at < len(found.active):
            self._clock.soon(partial(self._safely, self._load, found, at, ready))
            return
        for owner in self.owners.values():
            self._start_grace(owner)
        self.quoted(self._quotes.values())
        self._wake()
        ready()

    def _add_active(self, owner: Owner, order: Order) -> ActiveOrder:
        active = owner.active[order.order_id] = active_order(order)
        self._by_symbol.setdefault(order.ticket.symbol, {})[order.order_id] = active
        return active

    def _decide(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if decision.exec_type is ExecType.TRADE:
                self._trade(decision)
            else:
                self._end(decision, None)

    def _trade(self, decision: Decision) -> None:
        active, amount, price = decision.active, decision.amount, decision.price
        active.order = traded(active.order, amount, price, self._clock.now_ms())
        if active.order.status is not Status.ACTIVE:
            self._drop(active)
        report = self._report(
            ExecType.TRADE,
            active.order,
            last_amount=plain(amount),
            last_price=plain(price),
            source=decision.source,
            reason=decision.reason,
        )
        self._put(PendingReport(report, remaining=decision.remaining))

    def _end(self, decision: Decision, cause: object) -> None:
        active = decision.active
        active.order = changed(active.order, decision.exec_type, self._clock.now_ms())
        self._simulator.remove(active)
        self._drop(active)
        self._put(
            PendingReport(self._report(decision.exec_type, active.order, reason=decision.reason), cause)
        )

    def _report(self, exec_type: ExecType, order: Order, **details: str | None) -> Report:
        """Create a report of an order as it is now; its seq is assigned when it is written."""
        return Report(0, self._new_id(), exec_type, order.changed_ms, order, **details)

    def _drop(self, active: ActiveOrder) -> None:
        owner, symbol = self.owners[active.order.owner], active.order.ticket.symbol
        del owner.active[active.order.order_id]
        del self._by_symbol[symbol][active.order.order_id]
        if not self._by_symbol[symbol]:
            del self._by_symbol[symbol]
        self._open.count(owner, -1)
        self._forget_if_unused(owner)

    def _expire(self, owner: Owner, at_s: float) -> None:
        if self._closed or owner.expires_s is None or owner.expires_s > at_s:
            return  # the owner has reconnected, and may have disconnected again
        for active in list(owner.active.values()):
            self.cancel(active, None, CONNECTION_GONE)

    def _wake(self) -> None:
        """Set a timer for the next arrival."""
        due_s = self._simulator.next_due_s
        if due_s is not None and (self._wakes_s is None or due_s < self._wakes_s):
            self._wakes_s = due_s
            self._clock.at(due_s, partial(self._safely, self._arrive, due_s))

    def _arrive(self, woken_s: float) -> None:
        if self._closed or self._wakes_s != woken_s:
            return
        self._wakes_s = None
        self._decide(self._simulator.arrivals(max(woken_s, self._clock.now_s())))
        self._wake()

    def _due_s(self, order: Order) -> float:
        """Return when an order arrives; a wall clock that was set back does not delay it further."""
        wait_ms = min(order.due_ms - self._clock.now_ms(), order.due_ms - order.created_ms)
        return self._clock.now_s() + max(0, wait_ms) / 1000

    def _latency_ms(self, rank: int) -> int:
        seed, middle = self._settings.seed, self._settings.latency_ms
        chance = self._random if seed is None else random.Random(f"{seed} orders {rank}")
        return round(chance.uniform(0.5, 1.5) * middle)
