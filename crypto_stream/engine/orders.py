"""Orders as the engine runs them: on its quotes, kept in the data directory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from crypto_stream.bus.orders import OrderNews
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import LoopClock
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.service import Orders
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.validation import Terms
from crypto_stream.settings import Settings
from crypto_stream.storage.backends import order_stores

_TICK_S = 1.0


def make_orders(
    settings: Settings,
    quotes: Mapping[str, Quote],
    rules: Callable[[str, str], Rules | None],
    tell: Callable[[str, OrderNews], bool],
) -> Orders:
    """Join the parts on the running event loop; nothing is opened before `run_orders`."""
    post = asyncio.get_running_loop().call_soon_threadsafe
    most = OrderLimits(
        *(settings.max_open_orders, settings.max_open_per_address),
        *(settings.max_open_per_gateway, settings.max_open_in_all),
    )
    terms = Terms(
        *(settings.order_latency, settings.seed, settings.order_outcomes, most),
        *(settings.max_sessions, settings.keep_owners),
    )
    store = StoreWriter(*order_stores(settings.data_dir), post)
    return Orders(quotes, rules, terms, store, LoopClock(), tell)


async def run_orders(orders: Orders) -> None:
    """Open what is kept, accept and trade, for ever; what is decided is written at the end."""
    orders.start()
    try:
        while True:
            await asyncio.sleep(_TICK_S)
            orders.tick()
    finally:
        orders.stop()
