"""Typed clients for a running gateway: `Client` for prices and sources, `OrderClient` for orders."""

from crypto_stream.client.errors import OrderError, UnreachableError
from crypto_stream.client.messages import MarketData, Order, Position, Report, Trade
from crypto_stream.client.orders import OrderClient
from crypto_stream.client.prices import (
    BestView,
    Client,
    DepthView,
    IndexView,
    Sources,
    SourceState,
    View,
)
from crypto_stream.market.best import Best
from crypto_stream.market.depth import Depth
from crypto_stream.market.index import Index

__all__ = [
    "Best",
    "BestView",
    "Client",
    "Depth",
    "DepthView",
    "Index",
    "IndexView",
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
