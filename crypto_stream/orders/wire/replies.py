"""Format messages to order clients as JSON, in the style of each session. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, NamedTuple

import msgspec

from crypto_stream.market.exact import plain, subtract
from crypto_stream.market.orders import ExecType, Order, Position, Report, Rules, Status
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.wire.fields import AFTER_POINT, Form, RequestId
from crypto_stream.orders.wire.messages import camel_case

# An average is the only number that may be inexact: it is rounded to as many digits as a price may have.
_ROUNDING = Context(prec=1_000, rounding=ROUND_HALF_EVEN)
_SMALLEST = Decimal(1).scaleb(-AFTER_POINT)
# Sent for an unknown lot: clients of the exercise expect a number.
_NO_LOT = "0"

_encoder = msgspec.json.Encoder()
# Returns the client's name for a symbol.
Forms = Callable[[str], Form]


class Style(NamedTuple):
    """The style of a session: camelCase or snake_case keys, the basic or the extended mode."""

    camel: bool
    extended: bool


def success(style: Style, subscription_id: str, request_id: RequestId = None) -> bytes:
    """Format SuccessInfo."""
    return _formatted(1, _with(style, {"subscription_id": subscription_id}, request_id), style)


def identified(style: Style, request_id: RequestId = None) -> bytes:
    """Format the answer to Identify; the client_id is not repeated."""
    return _formatted(7, _with(style, {}, request_id), style)


def error(style: Style, code: str, reason: str, request_id: RequestId = None) -> bytes:
    """Format ErrorInfo."""
    message = {"reason": reason, "code": code} if style.extended else {"reason": reason}
    return _formatted(2, _with(style, message, request_id), style)


def execution(
    style: Style, report: Report, forms: Forms, request_id: RequestId = None, store: str = ""
) -> bytes | None:
    """Format ExecutionReport; None for a partial fill, which is not sent in the basic mode.

    `store` is the identity of the store that `seq` belongs to.
    """
    if style.extended:
        more = {"store": store, "request_id": request_id}
        return _formatted(3, {**_execution(report, forms), **more}, style)
    status = report.order.status
    if status is Status.ACTIVE and report.exec_type is ExecType.TRADE:
        return None
    return _EXECUTIONS[style.camel] % (report.order.order_id.encode(), status)


def orders_list(style: Style, orders: Iterable[Order], forms: Forms, request_id: RequestId = None) -> bytes:
    """Format OrdersList."""
    rows = [_with_keys(_order(style, order, forms), style) for order in orders]
    return _formatted(5, _with(style, {"orders": rows}, request_id), style)


def trades_list(
    style: Style,
    trades: Iterable[Report],
    positions: Iterable[Position],
    form: Form | None,
    forms: Forms,
    request_id: RequestId = None,
) -> bytes:
    """Format TradesList; `form` is the client's name for the instrument of the trades."""
    message: dict[str, Any] = {
        "instrument": form,
        "trades": [_with_keys(_trade(report), style) for report in trades],
        "positions": [_with_keys(_position(position, forms), style) for position in positions],
    }
    return _formatted(6, _with(style, message, request_id), style)


def update_around(style: Style, form: Form, quote: Quote | None, rules: Rules) -> tuple[bytes, bytes]:
    """Format MarketDataUpdate without its subscription_id: the parts before and after it.

    Without a quote its list is empty. A stale quote has neither prices nor size, so that no client takes an
    old price for a live one.
    """
    quotes = [] if quote is None else [_with_keys(_top(style, quote, rules), style)]
    rest = _encoder.encode({"instrument": form, "quotes": quotes})
    return _UPDATES[style.camel], b'",' + rest[1:] + b"}"


# By whether the keys are camelCase.
_EXECUTIONS = {
    False: b'{"messageType":3,"message":{"order_id":"%s","order_status":%d}}',
    True: b'{"messageType":3,"message":{"orderId":"%s","orderStatus":%d}}',
}
_UPDATES = {
    False: b'{"messageType":4,"message":{"subscription_id":"',
    True: b'{"messageType":4,"message":{"subscriptionId":"',
}


def _execution(report: Report, forms: Forms) -> dict[str, Any]:
    order, ticket = report.order, report.order.ticket
    return {
        "order_id": order.order_id,
        "order_status": order.status,
        "client_order_id": ticket.client_order_id,
        "exec_id": report.exec_id,
        "exec_type": report.exec_type,
        "instrument": forms(ticket.symbol),
        "side": ticket.side,
        "type": ticket.kind,
        "time_in_force": ticket.time_in_force,
        "amount": ticket.amount,
        "price": ticket.price,
        "last_amount": report.last_amount,
        "last_price": report.last_price,
        **_filled(order),
        "source": report.source,
        "reason": report.reason,
        "time": report.time,
        "seq": report.seq,
    }


def _order(style: Style, order: Order, forms: Forms) -> dict[str, Any]:
    ticket = order.ticket
    row: dict[str, Any] = {
        "creation_time": order.created_ms,
        "change_time": order.changed_ms or order.created_ms,
        "status": order.status,
        "side": ticket.side,
        "price": ticket.price,
        "amount": ticket.amount,
        "instrument": forms(ticket.symbol),
        "order_id": order.order_id,
    }
    if style.extended:
        row |= {"type": ticket.kind, "time_in_force": ticket.time_in_force}
        row |= {"client_order_id": ticket.client_order_id, **_filled(order)}
    return row


def _filled(order: Order) -> dict[str, str | None]:
    """Return the traded and the remaining amount, which always add up to the order's amount."""
    if order.cum_amount == "0":
        return {"cum_amount": "0", "leaves_amount": order.ticket.amount, "avg_price": None}
    done = Decimal(order.cum_amount)
    average = _ROUNDING.quantize(_ROUNDING.divide(Decimal(order.cum_value), done), _SMALLEST)
    return {
        "cum_amount": order.cum_amount,
        "leaves_amount": plain(subtract(Decimal(order.ticket.amount), done)),
        "avg_price": plain(average),
    }


def _trade(report: Report) -> dict[str, Any]:
    return {
        "exec_id": report.exec_id,
        "order_id": report.order.order_id,
        "side": report.order.ticket.side,
        "amount": report.last_amount,
        "price": report.last_price,
        "time": report.time,
        "source": report.source,
        "seq": report.seq,
    }


def _position(position: Position, forms: Forms) -> dict[str, Any]:
    return {
        "instrument": forms(position.symbol),
        "bought_amount": position.bought_amount,
        "bought_value": position.bought_value,
        "sold_amount": position.sold_amount,
        "sold_value": position.sold_value,
    }


def _top(style: Style, quote: Quote, rules: Rules) -> dict[str, Any]:
    live = not quote.stale
    row: dict[str, Any] = {
        "bid": quote.bid if live else None,
        "offer": quote.ask if live else None,
        "min_amount": rules.lot or _NO_LOT,
        "max_amount": (quote.ask_size or quote.bid_size) if live else None,
        "timestamp": quote.time or quote.received or quote.published,
    }
    if style.extended:
        row |= {"source": quote.source, "stale": quote.stale}
    return row


def _with(style: Style, message: dict[str, Any], request_id: RequestId) -> dict[str, Any]:
    if style.extended:
        message["request_id"] = request_id
    return message


_CAMEL: dict[str, str] = {}  # a cache of the few names


def _with_keys(message: dict[str, Any], style: Style) -> dict[str, Any]:
    if not style.camel:
        return message
    if not message.keys() <= _CAMEL.keys():
        _CAMEL.update((name, camel_case(name)) for name in message)
    return {_CAMEL[name]: value for name, value in message.items()}


def _formatted(number: int, message: dict[str, Any], style: Style) -> bytes:
    return b'{"messageType":%d,"message":%s}' % (number, _encoder.encode(_with_keys(message, style)))
