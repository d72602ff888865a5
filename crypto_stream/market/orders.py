"""Orders and their execution reports, as the bus carries and the store keeps them.

There may be a hundred thousand of them and none can be part of a reference cycle, so they are not tracked by
the garbage collector (`gc=False`).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Side(IntEnum):
    """Buy or sell; the numbers are those of the wire protocol."""

    BUY = 1
    SELL = 2


class Status(IntEnum):
    """The state of an order; the numbers are those of the wire protocol. Only ACTIVE orders ever change."""

    ACTIVE = 1
    FILLED = 2
    REJECTED = 3
    CANCELLED = 4


class Kind(StrEnum):
    """How an order is priced (FIX OrdType)."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(StrEnum):
    """How long an order stays active (FIX TimeInForce).

    Good till cancelled, immediate or cancel (what cannot trade at once is cancelled), fill or kill (the whole
    order trades at once or nothing does).
    """

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class Outcome(StrEnum):
    """The scripted outcome of a test order, whatever the market does: fill at its price, reject, rest."""

    FILL = "fill"
    REJECT = "reject"
    REST = "rest"


class ExecType(StrEnum):
    """What a report is about (FIX ExecType): the order was accepted, traded, cancelled or rejected."""

    NEW = "new"
    TRADE = "trade"
    CANCELED = "canceled"
    REJECTED = "rejected"


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """A client's order; decimals as canonical text, above 0. `price` is None for market orders only."""

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

    `rank` numbers all accepted orders, `due_ms` is when it reaches the market (after a simulated latency);
    times are ms since the epoch. `cum_amount` is the amount traded so far and `cum_value` the sum of amount
    times price of those trades, both exact. The rest is `ticket.amount` - `cum_amount`, even after it ended.
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
    """One change of an order, with the resulting order; `seq` counts the reports of its owner from 1.

    A trade has `last_amount`, `last_price` and the `source` whose quote filled it (None: a scripted outcome);
    `reason` explains an end that the owner did not ask for.
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
    """The sums of an owner's trades in one instrument; exact decimals."""

    symbol: str
    bought_amount: str = "0"
    bought_value: str = "0"
    sold_amount: str = "0"
    sold_value: str = "0"


class Rules(msgspec.Struct, frozen=True, gc=False):
    """A venue's rules for the numbers of an order; None where it has none.

    Prices are multiples of `tick` from `min_price` to `max_price`, amounts multiples of `lot` from
    `min_amount` to `max_amount`, and amount times price lies between `min_notional` and `max_notional`.
    `lot` and `min_amount` apply to all orders, the `market_…` rules to market orders, and the others to
    limit orders only.
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
