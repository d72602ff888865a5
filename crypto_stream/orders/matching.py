"""The simulated market of one instrument: matches resting orders with the top of book. Pure.

Whenever (source, price, size) of one side of the quote changes, the displayed size is available once, to all
orders together, by price, then time. Later orders may take what remains. An arriving order that may walk the
book also trades with the levels behind the top, as far as they are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from crypto_stream.market.depth import VenueDepth
from crypto_stream.market.exact import ZERO, add, subtract
from crypto_stream.market.orders import Order, Side, TimeInForce
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.transitions import leaves
from crypto_stream.orders.walking import Level, Taken, after, levels_behind

# A queue is purged when it contains more ended orders than this, and more than active ones.
_MIN_ENDED = 64


class ActiveOrder(msgspec.Struct, gc=False):
    """An active order in the market; `remaining` is 0 as soon as it can no longer trade.

    `walks`: when it arrives it trades with the levels behind the top of book, too. There may be a hundred
    thousand, and none is part of a reference cycle, so they are not garbage-collected.
    """

    order: Order
    remaining: Decimal
    price: Decimal | None
    queued: bool = False
    walks: bool = False


def active_order(order: Order) -> ActiveOrder:
    """Return a stored order as an active one."""
    price = order.ticket.price
    return ActiveOrder(order, leaves(order), None if price is None else Decimal(price))


class DisplayedSize(NamedTuple):
    """A size displayed at a price, and how much of it remains; `remaining` None: unlimited."""

    price: str | None
    size: str | None
    remaining: Decimal | None


class Fill(NamedTuple):
    """A trade of one order; `offer` is the displayed size after it, None behind the top of book."""

    active: ActiveOrder
    amount: Decimal
    price: Decimal
    source: str
    offer: DisplayedSize | None


class Arrival(NamedTuple):
    """The result of an order's arrival; `refused` is why it cannot rest, None if it rests or is filled."""

    fills: list[Fill]
    refused: str | None


class Offer:
    """One side of the top of book, and how much of it remains; `remaining` None: unlimited.

    `known` is what other sources displayed last: if one serves again with the same size, only the rest is
    available. `taken` is what remains of levels that orders traded with behind the top.
    """

    __slots__ = ("_is_bid", "fresh", "key", "known", "price", "remaining", "source", "taken", "took")

    def __init__(self, known: Mapping[str, DisplayedSize] | None = None, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self.known: dict[str, DisplayedSize] = dict(known or {})
        self.key: tuple[str | None, str | None, str | None] | None = None
        self.taken = Taken()
        self.took = False
        self.fresh = False
        self.source = ""
        self.price = ZERO
        self.remaining: Decimal | None = ZERO

    def change(self, source: str | None, price: str | None, size: str | None, *, fresh: bool) -> bool:
        """Apply the newest quote; return whether more may be available than before."""
        key = (source, price, size)
        if not fresh:
            self.fresh = False
            return False
        if key != self.key:
            if self.key is not None and source != self.source:
                self.known[self.source] = DisplayedSize(*self.key[1:], self.remaining)
            if self.took:
                self._note_top()
            self.fresh, self.key = False, None  # in case a number cannot be read
            self.source = source or ""
            self.price = ZERO if price is None else Decimal(price)
            self.remaining = self._left(price, size)
            self.key = key
        elif self.fresh:
            return False
        self.fresh = True
        return True

    def _left(self, price: str | None, size: str | None) -> Decimal | None:
        """Return what remains of the size that is displayed now; None: unlimited."""
        before = self.known.pop(self.source, None) if self.known else None
        if self.price <= 0:
            return ZERO  # nothing trades at such a price
        if size is None:
            return None
        displayed = remaining = Decimal(size)
        if before is not None and before.remaining is not None and before[:2] == (price, size):
            remaining = before.remaining
        if self.taken.active:
            self.taken.moved(self.source, self.price, is_bid=self._is_bid)
            remaining = min(remaining, self.taken.remaining(self.source, self.price, displayed))
        return remaining

    def is_available(self) -> bool:
        """Return whether anything can be traded."""
        return self.fresh and (self.remaining is None or self.remaining > 0)

    def take(self, active: ActiveOrder) -> Fill:
        """Trade as much as both sides have."""
        amount = active.remaining if self.remaining is None else min(self.remaining, active.remaining)
        active.remaining = subtract(active.remaining, amount)
        self.took = True
        if self.remaining is not None:
            self.remaining = subtract(self.remaining, amount)
        _, price, size = self.key or (None, None, None)
        return Fill(active, amount, self.price, self.source, DisplayedSize(price, size, self.remaining))

    def behind(self, active: ActiveOrder, book: VenueDepth | None) -> list[Level]:
        """Return the levels behind the top that an order may trade with, best first.

        There are none without a book of the source that serves, nor behind an unknown, so unlimited, size.
        """
        is_there = self.fresh and self.remaining is not None and self.price > 0
        if book is None or book.source != self.source or not (is_there and active.walks):
            return []
        side = active.order.ticket.side
        levels = levels_behind(book, side, self.price, self.taken)
        return [each for each in levels if each.remaining > 0 and _crosses(side, active.price, each.price)]

    def walk(self, active: ActiveOrder, level: Level) -> Fill:
        """Trade as much as the order and a level behind the top have."""
        amount = min(active.remaining, level.remaining)
        active.remaining = subtract(active.remaining, amount)
        self.taken.active = True
        self.taken.note(level.source, level.price, level.size, after(level, amount))
        return Fill(active, amount, level.price, level.source, None)

    def _note_top(self) -> None:
        """Remember what remains of the top, which may become a level behind a better one."""
        self.took = False
        if self.key is not None and self.remaining is not None and self.key[2]:
            self.taken.note(self.source, self.price, Decimal(self.key[2]), self.remaining)


class _Queue:
    """The orders of one side, by price, then time; ended ones are dropped when they come to the front."""

    def __init__(self, side: Side) -> None:
        self._buys = side is Side.BUY
        self._heap: list[tuple[Decimal, int, int, ActiveOrder]] = []
        self._ended = 0

    def add(self, active: ActiveOrder, price: Decimal) -> None:
        order = active.order
        active.queued = True
        key = price.copy_negate() if self._buys else price
        heappush(self._heap, (key, order.due_ms, order.rank, active))

    def best(self) -> ActiveOrder | None:
        heap = self._heap
        while heap:
            active = heap[0][3]
            if active.remaining:
                return active
            heappop(heap)
            self._ended -= not active.queued
        return None

    def drop_one(self) -> None:
        """Count an ended order; purge the queue once ended orders outnumber waiting ones."""
        self._ended += 1
        if self._ended > _MIN_ENDED and self._ended * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].remaining]
            heapify(self._heap)
            self._ended = 0

    def __len__(self) -> int:
        return sum(1 for entry in self._heap if entry[3].remaining)


class Market:
    """The orders of one instrument and the offers of its newest quote."""

    def __init__(self, offers: tuple[Offer, Offer] | None = None) -> None:
        """Start without a quote; `offers` are those of a previous market, so that no size is traded twice."""
        self.offers = self._bid, self._ask = offers or (Offer(is_bid=True), Offer(is_bid=False))
        self.close()
        self._buys = _Queue(Side.BUY)
        self._sells = _Queue(Side.SELL)

    def quoted(self, quote: Quote) -> list[Fill]:
        """Apply the newest quote; return the resulting trades in order."""
        fresh = not quote.stale
        fills: list[Fill] = []
        if self._ask.change(quote.source, quote.ask, quote.ask_size, fresh=fresh):
            self._match(self._ask, self._buys, fills)
        if self._bid.change(quote.source, quote.bid, quote.bid_size, fresh=fresh):
            self._match(self._bid, self._sells, fills)
        return fills

    def close(self) -> None:
        """Let nothing trade before the next quote."""
        for offer in self.offers:
            offer.fresh = False

    def arrive(self, active: ActiveOrder, book: VenueDepth | None = None) -> Arrival:
        """Match an arriving order with what is available; let it rest if its time in force permits.

        `book` is that of the source that serves, None if it is unknown.
        """
        ticket = active.order.ticket
        offer = self._ask if ticket.side is Side.BUY else self._bid
        crosses = offer.is_available() and _crosses(ticket.side, active.price, offer.price)
        behind = offer.behind(active, book)
        if ticket.time_in_force is TimeInForce.FOK and not _is_enough(offer, crosses, behind, active):
            return Arrival([], "not enough liquidity at this price")
        fills = [offer.take(active)] if crosses else []
        for level in behind:
            if not active.remaining:
                break
            fills.append(offer.walk(active, level))
        if not active.remaining or self.rest(active):
            return Arrival(fills, None)
        return Arrival(fills, "no more liquidity" if fills else _why_not(offer))

    def rest(self, active: ActiveOrder) -> bool:
        """Let an order rest; return False if its kind or time in force does not permit that."""
        ticket = active.order.ticket
        if active.price is None or ticket.time_in_force is not TimeInForce.GTC:
            return False
        (self._buys if ticket.side is Side.BUY else self._sells).add(active, active.price)
        return True

    def book_of(self, active: ActiveOrder) -> str | None:
        """Return the source whose book an arriving order may walk; None if it has no need to."""
        side = active.order.ticket.side
        offer = self._ask if side is Side.BUY else self._bid
        is_enough = offer.remaining is None or offer.remaining >= active.remaining
        goes_on = active.price != offer.price and _crosses(side, active.price, offer.price)
        return offer.source if active.walks and offer.fresh and goes_on and not is_enough else None

    def remove(self, active: ActiveOrder) -> None:
        """Remove an order that has ended without a trade."""
        active.remaining = ZERO
        if active.queued:
            active.queued = False
            (self._buys if active.order.ticket.side is Side.BUY else self._sells).drop_one()

    def resting(self) -> int:
        """Return the number of resting orders."""
        return len(self._buys) + len(self._sells)

    def _match(self, offer: Offer, queue: _Queue, fills: list[Fill]) -> None:
        while offer.is_available() and (active := queue.best()) is not None:
            if not _crosses(active.order.ticket.side, active.price, offer.price):
                return
            fills.append(offer.take(active))


def _is_enough(offer: Offer, crosses: bool, behind: Sequence[Level], active: ActiveOrder) -> bool:
    """Return whether an order can be filled completely."""
    if crosses and offer.remaining is None:
        return True
    total = offer.remaining if crosses and offer.remaining is not None else ZERO
    for level in behind:
        total = add(total, level.remaining)
    return total >= active.remaining


def _crosses(side: Side, limit: Decimal | None, price: Decimal) -> bool:
    if limit is None:
        return True
    return price <= limit if side is Side.BUY else price >= limit


def _why_not(offer: Offer) -> str:
    return "no liquidity at this price" if offer.fresh else "there is no live quote"
