"""What an order must be to be accepted: its numbers, the venue's rules, a fresh market. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.market.exact import is_multiple, multiply, plain
from crypto_stream.market.orders import Kind, Outcome, Rules, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.ceilings import Most

_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?").fullmatch


class Terms(NamedTuple):
    """The house's own terms; `latency_ms` is the middle one, `seed` makes latencies repeat.

    `max_sessions` are connections of one owner, `keep_days` is for how long an unused owner is kept (0: for
    ever).
    """

    latency_ms: float
    seed: int | None
    outcomes: bool
    max_open: Most = Most()
    max_sessions: int = 20
    keep_days: float = 90.0


def check(ticket: Ticket, quote: Quote, rules: Rules | None, terms: Terms) -> None:
    """Raise RefusedError with code and reason unless `ticket` can be accepted on the market of `quote`."""
    amount = _number("amount", ticket.amount)
    price = None if ticket.price is None else _number("price", ticket.price)
    if (price is None) != (ticket.kind is Kind.MARKET):
        raise RefusedError("bad_field", "price: a limit order has one, a market order has none")
    if ticket.outcome is not None:
        if not terms.outcomes:
            raise RefusedError(
                "outcome_not_allowed", "outcome: this server lets nobody script it (setting order_outcomes)"
            )
        if ticket.outcome is Outcome.FILL and price is None:
            raise RefusedError("bad_field", "outcome: a market order has no price to be filled at")
    elif quote.stale:
        raise RefusedError("no_market", f"{ticket.symbol} has no live quote now, so nothing can be ordered")
    if rules is not None:
        _keep_to(rules, amount, price)


def too_many_sessions(most: int) -> str:
    """Say that an owner has all the connections it may have."""
    return f"at most {most} connections of one client_id (max_sessions): close some first"


def _number(name: str, text: str) -> Decimal:
    if not _NUMBER(text) or not (number := Decimal(text)):
        raise RefusedError(
            "bad_field", f"{name}: a decimal above 0, at most 20 digits before and 18 after the point"
        )
    return number


def _keep_to(rules: Rules, amount: Decimal, price: Decimal | None) -> None:
    tick, lot = _rule(rules.tick), _rule(rules.lot)
    least, notional = _rule(rules.min_amount), _rule(rules.min_notional)
    if price is not None and tick is not None and not is_multiple(price, tick):
        raise RefusedError("rules", f"price: {plain(price)} is no multiple of the tick {plain(tick)}")
    if lot is not None and not is_multiple(amount, lot):
        raise RefusedError("rules", f"amount: {plain(amount)} is no multiple of the lot {plain(lot)}")
    if least is not None and amount < least:
        raise RefusedError("rules", f"amount: {plain(amount)} is below the least, {plain(least)}")
    if price is not None and notional is not None and multiply(amount, price) < notional:
        raise RefusedError(
            "rules", f"amount: times price it is below the least value of an order, {plain(notional)}"
        )


def _rule(text: str | None) -> Decimal | None:
    """Read a venue's number; where it is not above 0 the venue demands nothing."""
    if text is None:
        return None
    number = Decimal(text)
    return number if number > 0 else None
