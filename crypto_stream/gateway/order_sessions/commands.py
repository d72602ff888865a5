"""Client messages as commands to the engine, and their names in the metrics. Pure."""

from __future__ import annotations

from crypto_stream.bus.orders import Cancel, Command, ListOrders, ListTrades, Place
from crypto_stream.orders.wire.messages import (
    CancelOrder,
    ClientRequest,
    GetOrders,
    GetTrades,
    Identify,
    PlaceOrder,
    Subscribe,
    Unsubscribe,
)

EngineRequest = PlaceOrder | CancelOrder | GetOrders | GetTrades  # those that the engine answers
NAMES: dict[type[ClientRequest], str] = {
    Subscribe: "subscribe",
    Unsubscribe: "unsubscribe",
    PlaceOrder: "place",
    CancelOrder: "cancel",
    GetOrders: "list_orders",
    GetTrades: "list_trades",
    Identify: "identify",
}


def command(number: int, ref: int, request: EngineRequest, *, walks: bool) -> Command:
    """Make the bus command of session `number`; the engine's answer carries the same `ref`.

    `walks`: orders may trade with the levels behind the top of book.
    """
    if isinstance(request, PlaceOrder):
        return Place(number, ref, request.ticket, walks)
    if isinstance(request, CancelOrder):
        return Cancel(number, ref, request.order_id)
    if isinstance(request, GetOrders):
        return ListOrders(number, ref)
    return ListTrades(number, ref, request.symbol)
