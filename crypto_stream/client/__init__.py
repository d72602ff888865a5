"""Typed clients for a running gateway: `Client` for prices and sources, `OrderClient` for orders."""

from crypto_stream.client.errors import OrderError, UnreachableError
from crypto_stream.client.messages import MarketData, Order, Position, Report, Trade
from crypto_stream.client.orders import OrderClient
from crypto_stream.client.prices import Client, Sources, SourceState, View

__all__ = [
    "Client",
    "MarketData",
    "Order",
    "OrderClient",
    "OrderError",
    "Position",
    "Report",
    "SourceState",
    "Sources",
    "Trade",
    "UnreachableError",
    "View",
]
