"""The simulated exchange: every instrument's market, and the orders still on their way to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from heapq import heappop, heappush
from typing import NamedTuple

from crypto_stream.market.exact import ZERO, plain
from crypto_stream.market.orders import ExecType, Outcome, Side
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.matching import Fill, Left, Live, Market, Offer
from crypto_stream.storage.interface import Taken

Offers = Mapping[str, tuple[Offer, Offer]]
SCRIPTED = "its outcome was scripted"


class Verdict(NamedTuple):
    """What becomes of an order: a trade of `amount` at `price` from `source`, or its end for a reason."""

    live: Live
    exec_type: ExecType
    amount: Decimal = ZERO
    price: Decimal = ZERO
    source: str | None = None
    reason: str | None = None
    taken: Taken | None = None


def offers_left(taken: Iterable[Taken]) -> Offers:
    """Make offers of what was traded with before: whoever displays the same again offers what was left."""
    known: dict[str, tuple[dict[str, Left], dict[str, Left]]] = {}
    for one in taken:
        sides = known.setdefault(one.symbol, ({}, {}))
        left = None if one.left is None else Decimal(one.left)
        sides[one.side is Side.SELL][one.source] = Left(one.price, one.size, left)
    return {symbol: (Offer(bids), Offer(asks)) for symbol, (bids, asks) in known.items()}


class Simulator:
    """Decide what becomes of orders; every clock is handed in."""

    def __init__(self, symbols: Iterable[str], offers: Offers) -> None:
        """Open a market, still without a quote, for each symbol; `offers` are those of a former exchange."""
        self._markets = {symbol: Market(offers.get(symbol)) for symbol in symbols}
        self._coming: list[tuple[float, int, int, Live]] = []

    def offers(self) -> Offers:
        """Give, by symbol, what the newest quotes still offer."""
        return {symbol: market.offers for symbol, market in self._markets.items()}

    def quoted(self, quotes: Iterable[Quote]) -> list[Verdict]:
        """Take published quotes; return the trades they make."""
        markets = self._markets
        return [
            _verdict(fill)
            for quote in quotes
            if (market := markets.get(quote.symbol)) is not None
            for fill in market.quoted(quote)
        ]

    def send(self, live: Live, due_s: float) -> None:
        """Let an order reach its market at `due_s`; those due at once arrive in their order."""
        heappush(self._coming, (due_s, live.order.due_ms, live.order.rank, live))

    def restore(self, live: Live) -> bool:
        """Let an order that had reached its market rest there again, before any quote; False: send it."""
        return live.order.ticket.outcome is None and self._market(live).rest(live)

    @property
    def next_due_s(self) -> float | None:
        """Tell when the next order arrives; None: none is on its way."""
        return self._coming[0][0] if self._coming else None

    def arrivals(self, now_s: float) -> list[Verdict]:
        """Let those arrive that are due; return what becomes of them at once."""
        verdicts: list[Verdict] = []
        while self._coming and self._coming[0][0] <= now_s:
            live = heappop(self._coming)[3]
            if live.left:
                self._arrive(live, verdicts)
        return verdicts

    def leave(self, live: Live) -> None:
        """Take out an order that has ended without a trade."""
        self._market(live).leave(live)

    def _arrive(self, live: Live, verdicts: list[Verdict]) -> None:
        ticket = live.order.ticket
        if ticket.outcome is Outcome.FILL and live.price is not None:
            verdicts.append(Verdict(live, ExecType.TRADE, live.left, live.price, reason=SCRIPTED))
            live.left = ZERO
        elif ticket.outcome is Outcome.REJECT:
            verdicts.append(Verdict(live, ExecType.REJECTED, reason=SCRIPTED))
        elif ticket.outcome is None:
            arrival = self._market(live).arrive(live)
            verdicts += map(_verdict, arrival.fills)
            if arrival.refused is not None:
                verdicts.append(Verdict(live, ExecType.CANCELED, reason=arrival.refused))

    def _market(self, live: Live) -> Market:
        """Return the market of an order; that of an instrument which is no longer configured has no quote."""
        symbol = live.order.ticket.symbol
        if symbol not in self._markets:
            self._markets[symbol] = Market()
        return self._markets[symbol]


def _verdict(fill: Fill) -> Verdict:
    """Say what a fill means; a buy takes of what is offered, a sell of what is bid for."""
    ticket, offer = fill.live.order.ticket, fill.offer
    side = Side.SELL if ticket.side is Side.BUY else Side.BUY
    left = None if offer.left is None else plain(offer.left)
    taken = Taken(ticket.symbol, fill.source, side, offer.price or "", offer.size, left)
    return Verdict(fill.live, ExecType.TRADE, fill.amount, fill.price, fill.source, taken=taken)
