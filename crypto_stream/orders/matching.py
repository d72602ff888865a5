"""The simulated market of one instrument: resting orders against the top of book. Pure.

A change of (source, price, size) of one side of the quote offers the displayed size once, to all orders
together, best price first, then who came first. What is left of it may be taken by orders that come later.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from crypto_stream.market.exact import ZERO, subtract
from crypto_stream.market.orders import Order, Side, TimeInForce
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.transitions import leaves

# Ended orders that a queue may still hold beside as many that wait; then it is cleared of them.
_LEAST_DEAD = 64


class Live(msgspec.Struct, gc=False):
    """One active order as the market sees it; `left` is 0 from the moment at which it can trade no more.

    There may be a hundred thousand, and none is part of a circle: the garbage collector is kept off.
    """

    order: Order
    left: Decimal
    price: Decimal | None
    queued: bool = False


def live_order(order: Order) -> Live:
    """Take an order that is on disk."""
    price = order.ticket.price
    return Live(order, leaves(order), None if price is None else Decimal(price))


class Left(NamedTuple):
    """What is left of a size that was displayed at a price; `left` None is without an end."""

    price: str | None
    size: str | None
    left: Decimal | None


class Fill(NamedTuple):
    """A trade of one order; `offer` is what the displayed size then has left."""

    live: Live
    amount: Decimal
    price: Decimal
    source: str
    offer: Left


class Arrival(NamedTuple):
    """What an order that reaches the market finds; `refused` says why it may not stay, None when it may."""

    fills: list[Fill]
    refused: str | None


class Offer:
    """One side of the top of book, and what is left of it; `left` None is without an end.

    `known` is what other sources displayed last: who serves again, with the same, offers what was left.
    """

    __slots__ = ("fresh", "key", "known", "left", "price", "source")

    def __init__(self, known: Mapping[str, Left] | None = None) -> None:
        self.known: dict[str, Left] = dict(known or {})
        self.key: tuple[str | None, str | None, str | None] | None = None
        self.fresh = False
        self.source = ""
        self.price = ZERO
        self.left: Decimal | None = ZERO

    def change(self, source: str | None, price: str | None, size: str | None, *, fresh: bool) -> bool:
        """Take the newest quote; True when there may be something to trade that was not there before."""
        key = (source, price, size)
        if not fresh:
            self.fresh = False
            return False
        if key != self.key:
            if self.key is not None and source != self.source:
                self.known[self.source] = Left(*self.key[1:], self.left)
            self.fresh, self.key = False, None  # until all of it is read it offers nothing
            self.source = source or ""
            self.price = ZERO if price is None else Decimal(price)
            self.left = None if size is None else Decimal(size)
            before = self.known.pop(self.source, None) if self.known else None
            if before is not None and (before.price, before.size) == (price, size):
                self.left = before.left
            if self.price <= 0:
                self.left = ZERO  # such a price trades with nobody
            self.key = key
        elif self.fresh:
            return False
        self.fresh = True
        return True

    def gives(self) -> bool:
        """Say whether anything can be taken."""
        return self.fresh and (self.left is None or self.left > 0)

    def take(self, live: Live) -> Fill:
        """Trade what both sides have."""
        amount = live.left if self.left is None or live.left < self.left else self.left
        live.left = subtract(live.left, amount)
        if self.left is not None:
            self.left = subtract(self.left, amount)
        _, price, size = self.key or (None, None, None)
        return Fill(live, amount, self.price, self.source, Left(price, size, self.left))


class _Queue:
    """Orders of one side, best price first, then who came first; ended ones are dropped when they surface."""

    def __init__(self, side: Side) -> None:
        self._buys = side is Side.BUY
        self._heap: list[tuple[Decimal, int, int, Live]] = []
        self._dead = 0

    def add(self, live: Live, price: Decimal) -> None:
        order = live.order
        live.queued = True
        key = price.copy_negate() if self._buys else price
        heappush(self._heap, (key, order.due_ms, order.rank, live))

    def best(self) -> Live | None:
        heap = self._heap
        while heap:
            live = heap[0][3]
            if live.left:
                return live
            heappop(heap)
            self._dead -= not live.queued
        return None

    def drop_one(self) -> None:
        """Count one that has ended; what is dead never outnumbers what waits for long."""
        self._dead += 1
        if self._dead > _LEAST_DEAD and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].left]
            heapify(self._heap)
            self._dead = 0

    def __len__(self) -> int:
        return sum(1 for entry in self._heap if entry[3].left)


class Market:
    """The orders of one instrument and the offers of its newest quote."""

    def __init__(self, offers: tuple[Offer, Offer] | None = None) -> None:
        """Begin without a quote; `offers` are those of a former market, what it has traded stays traded."""
        self.offers = self._bid, self._ask = offers or (Offer(), Offer())
        for offer in self.offers:
            offer.fresh = False
        self._buys = _Queue(Side.BUY)
        self._sells = _Queue(Side.SELL)

    def quoted(self, quote: Quote) -> list[Fill]:
        """Take the newest quote, return the trades it makes, in their order."""
        fresh = not quote.stale
        fills: list[Fill] = []
        if self._ask.change(quote.source, quote.ask, quote.ask_size, fresh=fresh):
            self._match(self._ask, self._buys, fills)
        if self._bid.change(quote.source, quote.bid, quote.bid_size, fresh=fresh):
            self._match(self._bid, self._sells, fills)
        return fills

    def arrive(self, live: Live) -> Arrival:
        """Let an order reach the market: it takes what is there, and rests if it is one that waits."""
        ticket = live.order.ticket
        offer = self._ask if ticket.side is Side.BUY else self._bid
        crosses = offer.gives() and _crosses(ticket.side, live.price, offer.price)
        if ticket.time_in_force is TimeInForce.FOK and not (
            crosses and (offer.left is None or offer.left >= live.left)
        ):
            return Arrival([], "not enough liquidity at this price")
        fills = [offer.take(live)] if crosses else []
        if not live.left or self.rest(live):
            return Arrival(fills, None)
        return Arrival(fills, "no more liquidity" if fills else _why_not(offer))

    def rest(self, live: Live) -> bool:
        """Let an order wait for a price that it takes; False: it is none that waits."""
        ticket = live.order.ticket
        if live.price is None or ticket.time_in_force is not TimeInForce.GTC:
            return False
        (self._buys if ticket.side is Side.BUY else self._sells).add(live, live.price)
        return True

    def leave(self, live: Live) -> None:
        """Take out an order that has ended without a trade."""
        live.left = ZERO
        if live.queued:
            live.queued = False
            (self._buys if live.order.ticket.side is Side.BUY else self._sells).drop_one()

    def resting(self) -> int:
        """Count the orders that rest here."""
        return len(self._buys) + len(self._sells)

    def _match(self, offer: Offer, queue: _Queue, fills: list[Fill]) -> None:
        while offer.gives() and (live := queue.best()) is not None:
            if not _crosses(live.order.ticket.side, live.price, offer.price):
                return
            fills.append(offer.take(live))


def _crosses(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    if limit is None:
        return True
    return price <= limit if side is Side.BUY else price >= limit


def _why_not(offer: Offer) -> str:
    if not offer.fresh:
        return "there is no live quote"
    return "no liquidity at this price"
