"""Validate new orders: their numbers, the venue's rules, a live market. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.market.exact import is_multiple, multiply, plain
from crypto_stream.market.orders import Kind, Outcome, Rules, Side, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.limits import OrderLimits

_VALUE = "amount: times price,"
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,18})?").fullmatch


class OrderSettings(NamedTuple):
    """The settings of the order service; `latency_ms` is the average, `seed` makes latencies reproducible.

    `max_sessions` is the number of connections per owner, `keep_days` how long unused owners are kept (0: for
    ever).
    """

    latency_ms: float
    seed: int | None
    outcomes: bool
    max_open: OrderLimits = OrderLimits()
    max_sessions: int = 20
    keep_days: float = 90.0


def check(ticket: Ticket, quote: Quote, rules: Rules | None, settings: OrderSettings) -> None:
    """Raise RefusedError with code and reason unless `ticket` can be accepted on the market of `quote`."""
    amount = _number("amount", ticket.amount)
    price = None if ticket.price is None else _number("price", ticket.price)
    if (price is None) != (ticket.kind is Kind.MARKET):
        raise RefusedError("bad_field", "price: a limit order has one, a market order has none")
    if ticket.outcome is not None:
        if not settings.outcomes:
            raise RefusedError(
                "outcome_not_allowed", "outcome: not allowed by this server (setting order_outcomes)"
            )
        if ticket.outcome is Outcome.FILL and price is None:
            raise RefusedError("bad_field", "outcome: a market order has no price to be filled at")
    elif quote.stale:
        raise RefusedError("no_market", f"{ticket.symbol} has no live quote now, so nothing can be ordered")
    if rules is not None:
        _check_rules(rules, ticket, amount, price, quote)


def too_many_sessions(limit: int) -> str:
    """Return the refusal of one connection too many."""
    return f"at most {limit} connections of one client_id (max_sessions): close some first"


def _number(name: str, text: str) -> Decimal:
    if not _NUMBER(text) or not (number := Decimal(text)):
        raise RefusedError(
            "bad_field", f"{name}: a decimal above 0, at most 20 digits before and 18 after the point"
        )
    return number


def _check_rules(rules: Rules, ticket: Ticket, amount: Decimal, price: Decimal | None, quote: Quote) -> None:
    """Raise RefusedError if the venue would refuse the order; a market order is valued at the quote."""
    if price is not None:
        _multiple("price", price, "tick", rules.tick)
        _between("price:", price, rules.min_price, rules.max_price)
    _multiple("amount", amount, "lot", rules.lot)
    _between("amount:", amount, rules.min_amount, None)
    if price is not None:
        _between("amount:", amount, None, rules.max_amount)
        _between(_VALUE, multiply(amount, price), rules.min_notional, rules.max_notional)
        return
    _multiple("amount", amount, "lot of market orders", rules.market_lot)
    _between("amount:", amount, rules.market_min_amount, rules.market_max_amount, " of a market order")
    shown = quote.ask if ticket.side is Side.BUY else quote.bid
    if shown is not None and (at := Decimal(shown)) > 0:
        lowest, highest = rules.market_min_notional, rules.market_max_notional
        _between(_VALUE, multiply(amount, at), lowest, highest, " of a market order")


def _multiple(name: str, number: Decimal, of: str, text: str | None) -> None:
    step = _rule(text)
    if step is not None and not is_multiple(number, step):
        raise RefusedError("rules", f"{name}: {plain(number)} is not a multiple of the {of} {plain(step)}")


def _between(name: str, number: Decimal, lowest: str | None, highest: str | None, of: str = "") -> None:
    low, high = _rule(lowest), _rule(highest)
    if low is not None and number < low:
        raise RefusedError("rules", f"{name} {plain(number)} is below the minimum{of}, {plain(low)}")
    if high is not None and number > high:
        raise RefusedError("rules", f"{name} {plain(number)} is above the maximum{of}, {plain(high)}")


def _rule(text: str | None) -> Decimal | None:
    """Parse a venue's number; one that is not above 0 means no rule."""
    if text is None:
        return None
    number = Decimal(text)
    return number if number > 0 else None
