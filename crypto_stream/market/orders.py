"""An order and what happened to it: what the bus carries and the store keeps.

Nothing here can be part of a circle, and there may be a hundred thousand: the garbage collector is kept off.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Side(IntEnum):
    """Which way an order trades; the numbers are those of the wire."""

    BUY = 1
    SELL = 2


class Status(IntEnum):
    """Where an order is in its life; the numbers are those of the wire. Only an ACTIVE one ever changes."""

    ACTIVE = 1
    FILLED = 2
    REJECTED = 3
    CANCELLED = 4


class Kind(StrEnum):
    """How an order is priced (FIX OrdType)."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(StrEnum):
    """How long an order waits (FIX TimeInForce): until cancelled, not at all, or whole or not at all."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class Outcome(StrEnum):
    """What a tester's order does whatever the market does: fill at its own price, be rejected, rest."""

    FILL = "fill"
    REJECT = "reject"
    REST = "rest"


class ExecType(StrEnum):
    """What a report tells (FIX ExecType): the order is accepted, traded, cancelled or rejected."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    REJECTED = "rejected"


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """What a client asks for; decimals as plain text, above 0. `price` is None exactly for a market order."""

    symbol: str
    side: Side
    amount: str
    price: str | None = None
    kind: Kind = Kind.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    client_order_id: str | None = None
    outcome: Outcome | None = None


class Order(msgspec.Struct, frozen=True, gc=False):
    """One accepted order as of its newest report.

    `rank` counts all accepted orders, `due_ms` is when it reaches the market (its simulated latency), times
    are ms since the epoch. `cum_amount` is what has traded and `cum_value` the sum of amount times price of
    it, both exact; what is left is `ticket.amount` - `cum_amount`, also of an order that has ended.
    """

    order_id: str
    owner: str
    rank: int
    ticket: Ticket
    created_ms: int
    due_ms: int
    status: Status = Status.ACTIVE
    changed_ms: int = 0
    cum_amount: str = "0"
    cum_value: str = "0"


class Report(msgspec.Struct, frozen=True, gc=False):
    """One change of one order, with the order as it is after it; `seq` counts an owner's reports from 1.

    A trade has `last_amount`, `last_price` and the `source` whose quote filled it (None: a scripted outcome);
    `reason` says why an order ended without its owner's wish.
    """

    seq: int
    exec_id: str
    exec_type: ExecType
    time: int
    order: Order
    last_amount: str | None = None
    last_price: str | None = None
    source: str | None = None
    reason: str | None = None


class Position(msgspec.Struct, frozen=True, gc=False):
    """What an owner's trades of one instrument come to; exact decimals."""

    symbol: str
    bought_amount: str = "0"
    bought_value: str = "0"
    sold_amount: str = "0"
    sold_value: str = "0"


class Rules(msgspec.Struct, frozen=True, gc=False):
    """What a venue demands of an order's numbers; None where it does not say.

    Prices are multiples of `tick` from `min_price` to `max_price`, amounts of `lot` from `min_amount` to
    `max_amount`; amount times price is from `min_notional` to `max_notional`. Those of price and notional,
    and `max_amount`, are of limit orders; market orders have those named so, `lot` and `min_amount`.
    """

    tick: str | None = None
    lot: str | None = None
    min_amount: str | None = None
    min_notional: str | None = None
    max_amount: str | None = None
    min_price: str | None = None
    max_price: str | None = None
    max_notional: str | None = None
    market_lot: str | None = None
    market_min_amount: str | None = None
    market_max_amount: str | None = None
    market_min_notional: str | None = None
    market_max_notional: str | None = None
