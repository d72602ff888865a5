"""The simulated exchange: each instrument's market, and the orders on their way to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from heapq import heappop, heappush
from typing import NamedTuple

from crypto_stream.market.depth import VenueDepth
from crypto_stream.market.exact import ZERO, plain
from crypto_stream.market.orders import ExecType, Outcome, Side
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.matching import ActiveOrder, DisplayedSize, Fill, Market, Offer
from crypto_stream.orders.waiting import WaitingOrders
from crypto_stream.orders.walking import Books
from crypto_stream.storage.interface import RemainingSize

Offers = Mapping[str, tuple[Offer, Offer]]
# How often orders that wait for books look for them.
_BOOK_S = 0.05
SCRIPTED = "its outcome was scripted"


class Decision(NamedTuple):
    """What happens to an order: a trade of `amount` at `price` from `source`, or its end for a reason."""

    active: ActiveOrder
    exec_type: ExecType
    amount: Decimal = ZERO
    price: Decimal = ZERO
    source: str | None = None
    reason: str | None = None
    remaining: RemainingSize | None = None


def remaining_offers(remaining: Iterable[RemainingSize]) -> Offers:
    """Restore offers: if a source displays the same size again, only the rest is available."""
    known: dict[str, tuple[dict[str, DisplayedSize], dict[str, DisplayedSize]]] = {}
    for one in remaining:
        sides = known.setdefault(one.symbol, ({}, {}))
        amount = None if one.remaining is None else Decimal(one.remaining)
        sides[one.side is Side.SELL][one.source] = DisplayedSize(one.price, one.size, amount)
    return {
        symbol: (Offer(bids, is_bid=True), Offer(asks, is_bid=False))
        for symbol, (bids, asks) in known.items()
    }


class Simulator:
    """Decide what happens to orders; the caller supplies the time.

    `books` are those that arriving orders walk; None: there are none.
    """

    def __init__(self, symbols: Iterable[str], offers: Offers) -> None:
        """Create a market without a quote for each symbol; `offers` are those of a previous simulator."""
        self._markets = {symbol: Market(offers.get(symbol)) for symbol in symbols}
        self._coming: list[tuple[float, int, int, ActiveOrder]] = []
        self._waiting = WaitingOrders()
        self._looks_s = 0.0  # when the waiting ones look for their books
        self.books: Books | None = None

    def add(self, symbols: Iterable[str]) -> None:
        """Create markets for more instruments, unless there are any from before."""
        for symbol in symbols:
            self._markets.setdefault(symbol, Market())

    def close(self, symbols: Iterable[str]) -> None:
        """Let nothing trade in these instruments before they are quoted again."""
        for symbol in symbols:
            if (market := self._markets.get(symbol)) is not None:
                market.close()

    def offers(self) -> Offers:
        """Return, by symbol, what the newest quotes still offer."""
        return {symbol: market.offers for symbol, market in self._markets.items()}

    def quoted(self, quotes: Iterable[Quote]) -> list[Decision]:
        """Apply published quotes; return the resulting trades."""
        markets = self._markets
        return [
            _decision(fill)
            for quote in quotes
            if (market := markets.get(quote.symbol)) is not None
            for fill in market.quoted(quote)
        ]

    def send(self, active: ActiveOrder, due_s: float) -> None:
        """Let an order reach its market at `due_s`; orders due at the same time arrive by rank."""
        heappush(self._coming, (due_s, active.order.due_ms, active.order.rank, active))

    def restore(self, active: ActiveOrder) -> bool:
        """Let an order that had reached its market rest again; return False if it must be sent instead."""
        return active.order.ticket.outcome is None and self._market(active).rest(active)

    @property
    def next_due_s(self) -> float | None:
        """When the next order may arrive; None if none is on its way."""
        due_s = [self._coming[0][0]] if self._coming else []
        if self._waiting:
            due_s.append(self._looks_s)
        return min(due_s, default=None)

    def arrivals(self, now_s: float) -> list[Decision]:
        """Let the orders arrive that are due; return the immediate results."""
        decisions: list[Decision] = []
        if self._waiting and self._looks_s <= now_s:
            for active in self._waiting.released(self._awaited):
                self.send(active, self._looks_s)
            self._looks_s = now_s + _BOOK_S
        while self._coming and self._coming[0][0] <= now_s:
            active = heappop(self._coming)[3]
            if not active.remaining:
                continue
            if (source := self._awaited(active)) is not None:
                self._wait(active, source, now_s)
            else:
                self._arrive(active, decisions)
        return decisions

    def remove(self, active: ActiveOrder) -> None:
        """Remove an order that has ended without a trade."""
        self._market(active).remove(active)

    def _arrive(self, active: ActiveOrder, decisions: list[Decision]) -> None:
        ticket = active.order.ticket
        if ticket.outcome is Outcome.FILL and active.price is not None:
            decisions.append(
                Decision(active, ExecType.TRADE, active.remaining, active.price, reason=SCRIPTED)
            )
            active.remaining = ZERO
        elif ticket.outcome is Outcome.REJECT:
            decisions.append(Decision(active, ExecType.REJECTED, reason=SCRIPTED))
        elif ticket.outcome is None:
            market = self._market(active)
            arrival = market.arrive(active, self._book(active, market))
            decisions += map(_decision, arrival.fills)
            if arrival.refused is not None:
                decisions.append(Decision(active, ExecType.CANCELED, reason=arrival.refused))

    def _wait(self, active: ActiveOrder, source: str, now_s: float) -> None:
        if not self._waiting:
            self._looks_s = now_s + _BOOK_S
        self._waiting.add(active, source)

    def _awaited(self, active: ActiveOrder) -> str | None:
        """Return the source whose book an order needs and that is about to come; None if it need not wait."""
        if self.books is None or active.order.ticket.outcome is not None:
            return None
        source, symbol = self._market(active).book_of(active), active.order.ticket.symbol
        return source if source is not None and self.books.awaits(source, symbol) else None

    def _book(self, active: ActiveOrder, market: Market) -> VenueDepth | None:
        """Return the book that an order walks: that of the source whose quote is the newest."""
        if self.books is None or (source := market.book_of(active)) is None:
            return None
        return self.books.at(source, active.order.ticket.symbol)

    def _market(self, active: ActiveOrder) -> Market:
        """Return the market of an order; one of an instrument that is no longer configured has no quote."""
        symbol = active.order.ticket.symbol
        if symbol not in self._markets:
            self._markets[symbol] = Market()
        return self._markets[symbol]


def _decision(fill: Fill) -> Decision:
    """Return the decision for a fill; a buy takes from the ask, a sell from the bid."""
    ticket, offer = fill.active.order.ticket, fill.offer
    if offer is None:
        return Decision(fill.active, ExecType.TRADE, fill.amount, fill.price, fill.source)
    side = Side.SELL if ticket.side is Side.BUY else Side.BUY
    amount = None if offer.remaining is None else plain(offer.remaining)
    remaining = RemainingSize(ticket.symbol, fill.source, side, offer.price or "", offer.size, amount)
    return Decision(fill.active, ExecType.TRADE, fill.amount, fill.price, fill.source, remaining=remaining)
