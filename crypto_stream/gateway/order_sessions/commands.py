"""What a client asks, as the engine is asked for it and as the metrics count it. Pure."""

from __future__ import annotations

from crypto_stream.bus.orders import Cancel, Command, ListOrders, ListTrades, Place
from crypto_stream.orders.wire.messages import (
    Ask,
    CancelOrder,
    GetOrders,
    GetTrades,
    Identify,
    PlaceOrder,
    Subscribe,
    Unsubscribe,
)

Engines = PlaceOrder | CancelOrder | GetOrders | GetTrades  # the asks that the engine answers
NAMES: dict[type[Ask], str] = {
    Subscribe: "subscribe",
    Unsubscribe: "unsubscribe",
    PlaceOrder: "place",
    CancelOrder: "cancel",
    GetOrders: "list_orders",
    GetTrades: "list_trades",
    Identify: "identify",
}


def command(number: int, ref: int, ask: Engines) -> Command:
    """Put what session `number` asks for the bus; its answer comes with `ref`."""
    if isinstance(ask, PlaceOrder):
        return Place(number, ref, ask.ticket)
    if isinstance(ask, CancelOrder):
        return Cancel(number, ref, ask.order_id)
    if isinstance(ask, GetOrders):
        return ListOrders(number, ref)
    return ListTrades(number, ref, ask.symbol)
