"""The messages of the order protocol's extended mode, typed; decimals are Decimal, times in ms.

Pure. docs/orders.md describes all messages and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from enum import IntEnum
from typing import Any

import msgspec

from crypto_stream.market.orders import ExecType, Kind, Side, Status, TimeInForce

_EXACT = Context(prec=200)  # enough for the sums of all trades in an instrument


class RequestKind(IntEnum):
    """The messages that a client sends; the numbers are those of the wire protocol."""

    SUBSCRIBE = 1
    UNSUBSCRIBE = 2
    PLACE = 3
    CANCEL = 4
    GET_ORDERS = 5
    GET_TRADES = 6


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as of its newest change; `creation_time` is None if it is known from a later report only.

    `amount` = `cum_amount` + `leaves_amount`, always. `price` is None for a market order, `avg_price` until
    the first trade.
    """

    order_id: str
    client_order_id: str | None
    instrument: str
    side: Side
    kind: Kind = msgspec.field(name="type")
    time_in_force: TimeInForce
    status: Status
    amount: Decimal
    price: Decimal | None
    cum_amount: Decimal
    leaves_amount: Decimal
    avg_price: Decimal | None
    change_time: int
    creation_time: int | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one of the owner's orders (ExecutionReport); `seq` counts them from 1 in each `store`.

    A trade has `last_amount`, `last_price` and the `source` whose quote filled it; `reason` explains an end
    that the owner did not ask for.
    """

    seq: int
    exec_id: str
    exec_type: ExecType
    time: int
    order_id: str
    status: Status = msgspec.field(name="order_status")
    client_order_id: str | None
    instrument: str
    side: Side
    kind: Kind = msgspec.field(name="type")
    time_in_force: TimeInForce
    amount: Decimal
    price: Decimal | None
    last_amount: Decimal | None
    last_price: Decimal | None
    cum_amount: Decimal
    leaves_amount: Decimal
    avg_price: Decimal | None
    source: str | None
    reason: str | None
    request_id: int | str | None
    store: str = ""

    @property
    def order(self) -> Order:
        """The order as it is after this change."""
        return Order(
            order_id=self.order_id,
            client_order_id=self.client_order_id,
            instrument=self.instrument,
            side=self.side,
            kind=self.kind,
            time_in_force=self.time_in_force,
            status=self.status,
            amount=self.amount,
            price=self.price,
            cum_amount=self.cum_amount,
            leaves_amount=self.leaves_amount,
            avg_price=self.avg_price,
            change_time=self.time,
            creation_time=self.time if self.exec_type is ExecType.NEW else None,
        )


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of one of the owner's orders; `source` is the source of the quote that filled it."""

    exec_id: str
    order_id: str
    side: Side
    amount: Decimal
    price: Decimal
    time: int
    source: str | None
    seq: int


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of the owner's trades in one instrument; values are sums of amount times price."""

    instrument: str
    bought_amount: Decimal
    bought_value: Decimal
    sold_amount: Decimal
    sold_value: Decimal

    @property
    def amount(self) -> Decimal:
        """The amount held; negative if more was sold than bought."""
        return _EXACT.subtract(self.bought_amount, self.sold_amount)


class MarketData(msgspec.Struct, frozen=True, kw_only=True):
    """The newest top of book of an instrument, named as in the subscription; None where unknown.

    `min_amount` is the lot (0 if unknown), `max_amount` the displayed size. While it is `stale` nothing can
    be traded, and there are neither prices nor sizes.
    """

    instrument: str
    bid: Decimal | None
    offer: Decimal | None
    min_amount: Decimal | None
    max_amount: Decimal | None
    timestamp: int
    source: str | None
    stale: bool


class Success(msgspec.Struct, frozen=True):
    """A subscription was made or ended."""

    subscription_id: str
    request_id: int | str | None = None


class Error(msgspec.Struct, frozen=True):
    """A message was refused and changed nothing."""

    reason: str
    code: str
    request_id: int | str | None = None


class _Top(msgspec.Struct, frozen=True):
    bid: Decimal | None
    offer: Decimal | None
    min_amount: Decimal | None
    max_amount: Decimal | None
    timestamp: int
    source: str | None
    stale: bool


class Update(msgspec.Struct, frozen=True):
    """The newest quotes of one subscription."""

    subscription_id: str
    instrument: str
    quotes: list[_Top]

    @property
    def newest(self) -> MarketData | None:
        """The last of the quotes, or None."""
        if not self.quotes:
            return None
        return MarketData(instrument=self.instrument, **msgspec.structs.asdict(self.quotes[-1]))


class OrdersList(msgspec.Struct, frozen=True):
    """The owner's orders, oldest first."""

    orders: list[Order]
    request_id: int | str | None = None


class TradesList(msgspec.Struct, frozen=True):
    """The owner's trades in one instrument, oldest first, and positions in all."""

    trades: list[Trade]
    positions: list[Position]
    request_id: int | str | None = None


Answer = Success | Error | Report | OrdersList | TradesList
_TYPES: dict[int, type[Answer | Update]] = {
    1: Success,
    2: Error,
    3: Report,
    4: Update,
    5: OrdersList,
    6: TradesList,
}


class _Envelope(msgspec.Struct, frozen=True):
    type: int = msgspec.field(name="messageType")
    message: msgspec.Raw


_decoder = msgspec.json.Decoder(_Envelope)


def encode(request: RequestKind, message: Mapping[str, Any]) -> str:
    """Encode a message as a text frame; values of None are omitted, decimals have no exponent."""
    given = {key: _without_exponent(value) for key, value in message.items() if value is not None}
    return msgspec.json.encode({"messageType": int(request), "message": given}).decode()


def _without_exponent(value: object) -> object:
    return f"{value:f}" if isinstance(value, Decimal) else value


def decode(frame: str | bytes) -> Answer | Update | None:
    """Decode a frame; return None if its type is unknown (a newer server), raise DecodeError if malformed."""
    envelope = _decoder.decode(frame)
    kind = _TYPES.get(envelope.type)
    return None if kind is None else msgspec.json.decode(envelope.message, type=kind)
