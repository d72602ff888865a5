"""All that is in memory of one opening of the store: owners, active orders, the exchange.

What is decided here is handed to the store and sent when it is on disk. When the disk refuses, the whole
state is thrown away and a new one made of what is kept: memory is never ahead of the disk for good.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from crypto_stream.errors import RefusedError
from crypto_stream.market.exact import plain
from crypto_stream.market.orders import ExecType, Order, Report, Rules, Status, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import Clock
from crypto_stream.orders.limits import OpenOrders
from crypto_stream.orders.matching import Live, live_order
from crypto_stream.orders.owners import Owner, Session
from crypto_stream.orders.recovery import Guard
from crypto_stream.orders.simulator import Offers, Simulator, Verdict
from crypto_stream.orders.transitions import changed, traded
from crypto_stream.orders.validation import Terms, check, too_many_sessions
from crypto_stream.orders.writes import Decided
from crypto_stream.storage.interface import OrdersFound

STAYS_S = 60.0  # an anonymous owner's orders outlive its last session by so much
LEFT = "its connection had been gone for 60 s"
# Orders taken over in one turn of the event loop at a start: prices go on meanwhile.
_LOADED_AT_ONCE = 2_000


class State:
    """Accept, trade and end orders."""

    def __init__(
        self,
        quotes: Mapping[str, Quote],
        rules: Callable[[str, str], Rules | None],
        terms: Terms,
        clock: Clock,
        safely: Guard,
        put: Callable[[Decided], None],
        offers: Offers,
    ) -> None:
        """Trade on `quotes` (always the newest, by symbol); `rules` are asked by source and symbol.

        What `clock` calls back is called `safely`. `offers` is what a former state left of these quotes:
        nothing is offered twice.
        """
        self.owners: dict[str, Owner] = {}
        self._open = OpenOrders(terms.max_open)
        self._quotes = quotes
        self._rules = rules
        self._terms = terms
        self._clock = clock
        self._safely = safely
        self._put = put
        self._exchange = Simulator(quotes, offers)
        self._random = random.Random()
        self._new_id = _Ids()
        self._rank = 0
        self._wakes_s: float | None = None
        self._closed = False

    @property
    def active(self) -> int:
        """Count the active orders, those on their way to the disk too."""
        return self._open.active

    def load(self, found: OrdersFound, ready: Callable[[], None]) -> None:
        """Take over what is kept, piece by piece, then trade, and say that it is `ready`."""
        self._rank = found.next_rank
        self._load(found, 0, ready)

    def close(self) -> Offers:
        """Do nothing more; return what is left of the newest quotes."""
        self._closed = True
        return self._exchange.offers()

    def owner(self, name: str, *, anonymous: bool) -> Owner:
        """Return the owner of this name, known or new."""
        owner = self.owners.get(name)
        if owner is None:
            owner = self.owners[name] = Owner(name, anonymous=anonymous)
        return owner

    def quoted(self, quotes: Iterable[Quote]) -> None:
        """Trade with quotes that changed."""
        self._decide(self._exchange.quoted(quotes))

    def place(self, owner: Owner, ticket: Ticket, cause: object) -> None:
        """Accept an order once it is on disk; raise RefusedError with code and reason instead."""
        quote = self._quotes.get(ticket.symbol)
        if quote is None:
            raise RefusedError("unknown_instrument", f"instrument: {ticket.symbol!r} is none here")
        self._open.check(owner)
        check(ticket, quote, self._rules(quote.source or "", ticket.symbol), self._terms)
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
        self._put(Decided(self._report(ExecType.NEW, order), cause, owner.anonymous))

    def accept(self, order: Order) -> None:
        """Let an order that is now on disk go on its way to the market."""
        owner = self.owner(order.owner, anonymous=False)
        live = self._take(owner, order)
        self._exchange.send(live, self._due_s(order))
        self._wake()
        if owner.expires_s is not None and owner.expires_s <= self._clock.now_s():
            self._clock.soon(partial(self._safely, self._expire, owner, owner.expires_s))

    def withdraw(self, name: str) -> None:
        """Take back the room of an order that turned out to be known to the owner of this name."""
        owner = self.owners[name]
        self._open.count(owner, -1)
        self._release(owner)

    def cancel(self, live: Live, cause: object, reason: str | None = None) -> None:
        """End an active order."""
        self._end(Verdict(live, ExecType.CANCELED, reason=reason), cause)

    def clear(self, name: str, reason: str) -> int:
        """End all active orders of an owner; return how many there were."""
        owner = self.owners.get(name)
        active = list(owner.live.values()) if owner else []
        for live in active:
            self.cancel(live, None, reason)
        return len(active)

    def join(self, session: Session) -> Owner:
        """Take in a session of an owner; RefusedError when it has too many."""
        owner = self.owner(session.owner.name, anonymous=session.owner.anonymous)
        if len(owner.sessions) >= self._terms.max_sessions:
            raise RefusedError("too_many_sessions", too_many_sessions(self._terms.max_sessions))
        owner.sessions.add(session)
        self._open.move(owner, session.address, session.gateway)
        owner.expires_s = None
        session.owner = owner
        return owner

    def leave(self, session: Session) -> None:
        """Let a session go; if it was the last one of an owner that cannot come back, its time runs."""
        owner = session.owner
        if session not in owner.sessions:
            return  # it was one too many
        owner.sessions.remove(session)
        self._left(owner)
        self._release(owner)

    def _left(self, owner: Owner) -> None:
        if owner.anonymous and not owner.sessions:
            owner.expires_s = self._clock.now_s() + STAYS_S
            self._clock.at(owner.expires_s, partial(self._safely, self._expire, owner, owner.expires_s))

    def _release(self, owner: Owner) -> None:
        """Forget an owner of whom nothing is open."""
        if not (owner.sessions or owner.open):
            self.owners.pop(owner.name, None)

    def _load(self, found: OrdersFound, at: int, ready: Callable[[], None]) -> None:
        if self._closed:
            return
        now_ms = self._clock.now_ms()
        for order in found.active[at : at + _LOADED_AT_ONCE]:
            owner = self.owner(order.owner, anonymous=order.owner in found.anonymous)
            self._open.count(owner, +1)
            live = self._take(owner, order)
            if order.due_ms > now_ms or not self._exchange.restore(live):
                self._exchange.send(live, self._due_s(order))
        at += _LOADED_AT_ONCE
        if at < len(found.active):
            self._clock.soon(partial(self._safely, self._load, found, at, ready))
            return
        for owner in self.owners.values():
            self._left(owner)
        self.quoted(self._quotes.values())
        self._wake()
        ready()

    def _take(self, owner: Owner, order: Order) -> Live:
        taken = owner.live[order.order_id] = live_order(order)
        return taken

    def _decide(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            if verdict.exec_type is ExecType.TRADE:
                self._trade(verdict)
            else:
                self._end(verdict, None)

    def _trade(self, verdict: Verdict) -> None:
        live, amount, price = verdict.live, verdict.amount, verdict.price
        live.order = traded(live.order, amount, price, self._clock.now_ms())
        if live.order.status is not Status.ACTIVE:
            self._drop(live)
        report = self._report(
            ExecType.TRADE,
            live.order,
            last_amount=plain(amount),
            last_price=plain(price),
            source=verdict.source,
            reason=verdict.reason,
        )
        self._put(Decided(report, taken=verdict.taken))

    def _end(self, verdict: Verdict, cause: object) -> None:
        live = verdict.live
        live.order = changed(live.order, verdict.exec_type, self._clock.now_ms())
        self._exchange.leave(live)
        self._drop(live)
        self._put(Decided(self._report(verdict.exec_type, live.order, reason=verdict.reason), cause))

    def _report(self, exec_type: ExecType, order: Order, **details: str | None) -> Report:
        """Make a report of an order as it is now; its seq is given when it is written."""
        return Report(0, self._new_id(), exec_type, order.changed_ms, order, **details)

    def _drop(self, live: Live) -> None:
        owner = self.owners[live.order.owner]
        del owner.live[live.order.order_id]
        self._open.count(owner, -1)
        self._release(owner)

    def _expire(self, owner: Owner, at_s: float) -> None:
        if self._closed or owner.expires_s is None or owner.expires_s > at_s:
            return  # somebody came, and may have left again since
        for live in list(owner.live.values()):
            self.cancel(live, None, LEFT)

    def _wake(self) -> None:
        """Be called when the next order arrives."""
        due_s = self._exchange.next_due_s
        if due_s is not None and (self._wakes_s is None or due_s < self._wakes_s):
            self._wakes_s = due_s
            self._clock.at(due_s, partial(self._safely, self._arrive, due_s))

    def _arrive(self, woken_s: float) -> None:
        if self._closed or self._wakes_s != woken_s:
            return
        self._wakes_s = None
        self._decide(self._exchange.arrivals(max(woken_s, self._clock.now_s())))
        self._wake()

    def _due_s(self, order: Order) -> float:
        """Tell when an order arrives; a wall clock that was set back delays it no longer."""
        wait_ms = min(order.due_ms - self._clock.now_ms(), order.due_ms - order.created_ms)
        return self._clock.now_s() + max(0, wait_ms) / 1000

    def _latency_ms(self, rank: int) -> int:
        seed, middle = self._terms.seed, self._terms.latency_ms
        chance = self._random if seed is None else random.Random(f"{seed} orders {rank}")
        return round(chance.uniform(0.5, 1.5) * middle)


class _Ids:
    """Make random UUIDs; the system's randomness, a call that lets other threads in, is fetched in bulk.

    Those of orders begin with the time (RFC 9562, version 7): they are looked up by it, and an index takes
    what comes at its end for less than half of what it takes to write everywhere.
    """

    def __init__(self) -> None:
        self._hex = ""
        self._at = 0

    def __call__(self, now_ms: int | None = None) -> str:
        at = self._at
        if at >= len(self._hex):
            self._hex, at = os.urandom(16 * 256).hex(), 0
        self._at = at + 32
        text = self._hex[at : at + 32]
        variant = "89ab"[int(text[16], 16) & 3]
        begin, version = (text, 4) if now_ms is None else (f"{now_ms:012x}", 7)
        return f"{begin[:8]}-{begin[8:12]}-{version}{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
