"""The status transitions of orders, in one table, and the resulting orders. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from msgspec.structs import replace

from crypto_stream.market.exact import add, multiply, plain, subtract
from crypto_stream.market.orders import ExecType, Order, Status

# (status, event, whether any amount remains afterwards) → status. Other transitions are impossible.
TABLE: Mapping[tuple[Status | None, ExecType, bool], Status] = MappingProxyType(
    {
        (None, ExecType.NEW, True): Status.ACTIVE,
        (Status.ACTIVE, ExecType.TRADE, True): Status.ACTIVE,
        (Status.ACTIVE, ExecType.TRADE, False): Status.FILLED,
        (Status.ACTIVE, ExecType.CANCELED, True): Status.CANCELLED,
        (Status.ACTIVE, ExecType.REJECTED, True): Status.REJECTED,
    }
)


def leaves(order: Order) -> Decimal:
    """Return the amount that has not traded yet."""
    return subtract(Decimal(order.ticket.amount), Decimal(order.cum_amount))


def changed(order: Order, exec_type: ExecType, now_ms: int) -> Order:
    """Return the order after it was cancelled or rejected; raise KeyError if that is impossible."""
    status = TABLE[order.status, exec_type, leaves(order) > 0]
    return replace(order, status=status, changed_ms=max(now_ms, order.changed_ms))


def traded(order: Order, amount: Decimal, price: Decimal, now_ms: int) -> Order:
    """Return the order after a trade; raise KeyError if it cannot trade, ValueError if `amount` is wrong."""
    rest = subtract(leaves(order), amount)
    if rest < 0 or amount <= 0:
        raise ValueError(f"{amount} of order {order.order_id} cannot trade, {leaves(order)} is left")
    return replace(
        order,
        status=TABLE[order.status, ExecType.TRADE, rest > 0],
        changed_ms=max(now_ms, order.changed_ms),
        cum_amount=plain(add(Decimal(order.cum_amount), amount)),
        cum_value=plain(add(Decimal(order.cum_value), multiply(amount, price))),
    )
