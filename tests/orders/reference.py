"""A simple reference of orders: whole numbers, lists, and an atomic disk."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from crypto_stream.market.orders import ExecType, Order, Outcome, Side, Status, TimeInForce

STAYS_MS = 60_000
Left = tuple[int, int | None, float]  # price and size that a source displayed, what is left of the size
Offer = tuple[tuple[str | None, int, int | None], float]  # source, price and size now; what is left of it


@dataclass
class Known:
    """A stored order; `arrived` once its latency is over."""

    order: Order
    cum: int = 0
    status: Status = Status.ACTIVE
    arrived: bool = False

    @property
    def left(self) -> int:
        return int(self.order.ticket.amount) - self.cum if self.status is Status.ACTIVE else 0

    @property
    def price(self) -> int | None:
        price = self.order.ticket.price
        return None if price is None else int(price)


@dataclass(frozen=True)
class Shown:
    """A top of book; `size` counts for both sides."""

    source: str | None
    bid: int
    ask: int
    size: int | None
    stale: bool


@dataclass(frozen=True)
class Event:
    """One report: an order's event; the `price` and `source` of a trade."""

    order_id: str
    exec_type: ExecType
    amount: int | None = None
    price: int | None = None
    source: str | None = None


@dataclass
class Reference:
    """What is stored (`orders`, `events`), the quotes, and the sessions."""

    now_ms: int
    orders: dict[str, Known] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)
    offers: dict[tuple[str, Side], Offer] = field(default_factory=dict)
    known: dict[tuple[str, Side, str | None], Left] = field(default_factory=dict)  # of other sources
    taken: dict[tuple[str, Side, str | None], Left] = field(default_factory=dict)  # not on the disk yet
    stored: dict[tuple[str, Side, str | None], Left] = field(default_factory=dict)  # on the disk
    expires: dict[str, int] = field(default_factory=dict)
    sessions: dict[int, str] = field(default_factory=dict)
    refuses: bool = False
    trouble: bool = False

    def accept(self, order: Order) -> None:
        self.orders[order.order_id] = Known(order)
        self._happen(order, Event(order.order_id, ExecType.NEW))

    def cancel(self, order_id: str) -> None:
        with_disk = copy.deepcopy((self.orders, self.events))
        self._end(self.orders[order_id], ExecType.CANCELED)
        self._commit(with_disk, happened=True)

    def show(self, symbol: str, shown: Shown) -> None:
        self.shown[symbol] = shown
        if not self.trouble:
            self._decide(lambda: self._match(symbol))

    def remove(self, symbol: str) -> None:
        """Remove an instrument, which has no quote when it is there again."""
        self.shown[symbol] = Shown(None, 0, 0, None, stale=True)
        if not self.trouble:
            self._decide(lambda: self._end_all(symbol))

    def advance(self, ms: int) -> None:
        until_ms = self.now_ms + ms
        while (due_ms := self._next_ms(until_ms)) is not None:
            self.now_ms = due_ms
            self._decide(self._due)
        self.now_ms = until_ms

    def leave(self, session: int) -> None:
        owner = self.sessions.pop(session)
        if owner not in self.sessions.values() and owner.startswith("nobody"):
            self.expires[owner] = self.now_ms + STAYS_MS

    def begin(self) -> None:
        """Load everything from the disk, and trade with what remains of the quotes."""
        self.trouble = False
        self.expires.clear()
        for one in self.orders.values():
            one.arrived = one.order.due_ms <= self.now_ms and _waits(one) and not one.order.ticket.outcome
            owner = one.order.owner
            if one.left and owner.startswith("nobody") and owner not in self.sessions.values():
                self.expires[owner] = self.now_ms + STAYS_MS
        for symbol in self.shown:
            self._decide(lambda symbol=symbol: self._match(symbol))
        self._decide(self._due)

    def restart(self) -> None:
        """Lose everything that is not stored."""
        self.offers.clear()
        self.known = dict(self.stored)
        self.shown = {symbol: replace(shown, source=None, stale=True) for symbol, shown in self.shown.items()}
        self.sessions.clear()
        self.refuses = False

    def active(self, owner: str) -> list[str]:
        return [key for key, one in self.orders.items() if one.left and one.order.owner == owner]

    def _next_ms(self, until_ms: int) -> int | None:
        times = [
            one.order.due_ms
            for one in self.orders.values()
            if one.left and not one.arrived and not self.trouble
        ]
        times += [] if self.trouble else self.expires.values()
        times = [max(self.now_ms, time) for time in times if time <= until_ms]
        return min(times, default=None)

    def _due(self) -> None:
        coming = [one for one in self.orders.values() if not one.arrived and one.order.due_ms <= self.now_ms]
        for one in sorted(coming, key=lambda one: (one.order.due_ms, one.order.rank)):
            if one.left:
                self._arrive(one)
            one.arrived = True
        for owner in [owner for owner, time in self.expires.items() if time <= self.now_ms]:
            del self.expires[owner]
            for order_id in self.active(owner):
                self._end(self.orders[order_id], ExecType.CANCELED)

    def _arrive(self, one: Known) -> None:
        ticket = one.order.ticket
        if ticket.outcome is Outcome.FILL:
            self._trade(one, one.left, one.price, None)
        elif ticket.outcome is Outcome.REJECT:
            self._end(one, ExecType.REJECTED)
        elif ticket.outcome is None:
            there = self._there(one)
            if there and (ticket.time_in_force is not TimeInForce.FOK or there == one.left):
                self._take(one, there)
            if one.left and not _waits(one):
                self._end(one, ExecType.CANCELED)

    def _match(self, symbol: str) -> None:
        shown = self.shown[symbol]
        if shown.stale:
            return
        for side, price in ((Side.BUY, shown.ask), (Side.SELL, shown.bid)):
            self._offer(symbol, side, (shown.source, price, shown.size))
            while (best := self._best(symbol, side)) is not None and (there := self._there(best)):
                self._take(best, there)

    def _offer(self, symbol: str, side: Side, key: tuple[str | None, int, int | None]) -> None:
        """Offer what is shown; what a source shows again is what was left of it."""
        source, price, size = key
        current = self.offers.get((symbol, side))
        if current is not None and current[0] == key:
            return
        if current is not None and current[0][0] != source:
            self.known[symbol, side, current[0][0]] = (*current[0][1:], current[1])
        before = self.known.pop((symbol, side, source), None)
        left = float("inf") if size is None else size
        if before is not None and before[:2] == (price, size):
            left = before[2]
        self.offers[symbol, side] = (key, left)

    def _best(self, symbol: str, side: Side) -> Known | None:
        sign = -1 if side is Side.BUY else 1
        resting = [
            (sign * (one.price or 0), one.order.due_ms, one.order.rank, key)
            for key, one in self.orders.items()
            if one.left and one.arrived and one.order.ticket.outcome is None
            if (one.order.ticket.symbol, one.order.ticket.side) == (symbol, side)
        ]
        return self.orders[min(resting)[3]] if resting else None

    def _there(self, one: Known) -> int:
        ticket = one.order.ticket
        shown = self.shown[ticket.symbol]
        if shown.stale:
            return 0
        price, sign = (shown.ask, 1) if ticket.side is Side.BUY else (shown.bid, -1)
        if one.price is not None and sign * price > sign * one.price:
            return 0
        return int(min(one.left, self.offers[ticket.symbol, ticket.side][1]))

    def _take(self, one: Known, amount: int) -> None:
        ticket = one.order.ticket
        key, left = self.offers[ticket.symbol, ticket.side]
        self.offers[ticket.symbol, ticket.side] = (key, left - amount)
        self.taken[ticket.symbol, ticket.side, key[0]] = (*key[1:], left - amount)
        shown = self.shown[ticket.symbol]
        self._trade(one, amount, shown.ask if ticket.side is Side.BUY else shown.bid, shown.source)

    def _trade(self, one: Known, amount: int, price: int | None, source: str | None) -> None:
        one.cum += amount
        if one.cum == int(one.order.ticket.amount):
            one.status = Status.FILLED
        self._happen(one.order, Event(one.order.order_id, ExecType.TRADE, amount, price, source))

    def _end(self, one: Known, exec_type: ExecType) -> None:
        one.status = Status.CANCELLED if exec_type is ExecType.CANCELED else Status.REJECTED
        self._happen(one.order, Event(one.order.order_id, exec_type))

    def _end_all(self, symbol: str) -> None:
        for one in self.orders.values():
            if one.left and one.order.ticket.symbol == symbol:
                self._end(one, ExecType.CANCELED)

    def _happen(self, order: Order, event: Event) -> None:
        self.events.setdefault(order.owner, []).append(event)

    def _decide(self, decide: object) -> None:
        """Apply it, unless the disk fails: then nothing happened, but what it took is taken."""
        assert callable(decide)
        before = copy.deepcopy((self.orders, self.events))
        decide()
        self._commit(before, happened=self.events != before[1])

    def _commit(self, before: tuple[dict[str, Known], dict[str, list[Event]]], *, happened: bool) -> None:
        if self.refuses and happened:
            self.orders, self.events = before
            self.trouble = True
        else:
            self.stored.update(self.taken)
        self.taken.clear()


def _waits(one: Known) -> bool:
    return one.price is not None and one.order.ticket.time_in_force is TimeInForce.GTC
