"""Answers out of what is on the disk: lists, trades, what became of an order, one that was sent again."""

from __future__ import annotations

from crypto_stream.bus.orders import Cancel, Failed, Happened, Listed, ListOrders, ListTrades, Told, Traded
from crypto_stream.market.orders import Order, Report, Status
from crypto_stream.storage.interface import OrderReader

MOST_CLOSED = 1_000  # ended orders of a list
MOST_TRADES = 1_000


def answer(reader: OrderReader, owner: str, command: Cancel | ListOrders | ListTrades) -> Told:
    """Answer one command of `owner`, on the thread that reads; OSError when it cannot be read."""
    session, ref = command.session, command.ref
    if isinstance(command, ListOrders):
        return Listed(session, ref, reader.orders(owner, MOST_CLOSED))
    if isinstance(command, ListTrades):
        trades = [] if command.symbol is None else reader.trades(owner, command.symbol, MOST_TRADES)
        return Traded(session, ref, trades, reader.positions(owner))
    order = reader.order(owner, command.order_id)
    if order is None:
        return Failed(session, ref, "unknown_order", f"order_id: you have no order {command.order_id}")
    if order.status is Status.ACTIVE:
        return Failed(session, ref, "not_active", "order_id: the order is just ending, its report follows")
    return Failed(
        session, ref, "not_active", f"order_id: the order is {order.status.name.lower()}, not active"
    )


def resent(session: int, ref: int, order: Order, newest: Report, store: str) -> Told:
    """Answer a new order whose name its owner has used before: how that one stands, if it is the same."""
    if newest.order.ticket == order.ticket:
        return Happened(session, ref, newest, store)
    name, known = order.ticket.client_order_id, newest.order.order_id
    reason = f"client_order_id: {name!r} is the name of another order, {known}"
    return Failed(session, ref, "duplicate_client_order_id", reason)
