"""Creation and running of the order service, on the engine's quotes and a store of orders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from crypto_stream.bus.orders import OrderMessages
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import LoopClock
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.service import Orders
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.validation import OrderSettings
from crypto_stream.settings import Settings
from crypto_stream.storage.interface import Stores

_TICK_S = 1.0


def make_orders(
    settings: Settings,
    stores: Stores,
    quotes: Mapping[str, Quote],
    rules: Callable[[str, str], Rules | None],
    send: Callable[[str, OrderMessages], bool],
) -> Orders:
    """Create the order service for the running event loop; the store is opened by `run_orders`."""
    call_soon = asyncio.get_running_loop().call_soon_threadsafe
    terms = OrderSettings(
        latency_ms=settings.order_latency,
        seed=settings.seed,
        outcomes=settings.order_outcomes,
        max_open=OrderLimits(
            of_owner=settings.max_open_orders,
            of_address=settings.max_open_per_address,
            of_gateway=settings.max_open_per_gateway,
            in_all=settings.max_open_in_all,
        ),
        max_sessions=settings.max_sessions,
        keep_days=settings.keep_owners,
    )
    store = StoreWriter(*stores.orders(), call_soon)
    return Orders(quotes, rules, terms, store, LoopClock(), send)


async def run_orders(orders: Orders) -> None:
    """Open the store, then accept and match orders until cancelled; write what is pending at the end."""
    orders.start()
    try:
        while True:
            await asyncio.sleep(_TICK_S)
            orders.tick()
    finally:
        orders.stop()
