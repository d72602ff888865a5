"""The life of an order: the one table of what may happen to it, and the order as it is after that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from msgspec.structs import replace

from crypto_stream.market.exact import add, multiply, plain, subtract
from crypto_stream.market.orders import ExecType, Order, Status

# (status, what happens, whether something is left to trade after it) → status. Nothing else can happen.
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
    """Return what of an active order has not traded yet."""
    return subtract(Decimal(order.ticket.amount), Decimal(order.cum_amount))


def changed(order: Order, exec_type: ExecType, now_ms: int) -> Order:
    """Return the order after it was cancelled or rejected; KeyError where the table has no such step."""
    status = TABLE[order.status, exec_type, leaves(order) > 0]
    return replace(order, status=status, changed_ms=max(now_ms, order.changed_ms))


def traded(order: Order, amount: Decimal, price: Decimal, now_ms: int) -> Order:
    """Return the order after a trade of `amount`; KeyError where it cannot trade, ValueError for too much."""
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
