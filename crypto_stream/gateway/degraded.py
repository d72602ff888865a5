"""What is wrong although prices may be live: `degraded` of /readyz, and its metric. Pure."""

from __future__ import annotations

from crypto_stream.bus.interface import BusFigures
from crypto_stream.gateway.mirror import Mirror


def degraded(mirror: Mirror, bus: BusFigures) -> dict[str, list[str]]:
    """Return sentences about problems, by the part that has them; an empty list where there are none.

    The part `sources` is about data that sources do not deliver; all others begin their sentences.
    """
    troubles = {
        "prices": mirror.verdict().summary(),
        "history": mirror.history_trouble,
        "orders": mirror.orders_trouble,
        "bars": mirror.bars_trouble,
        "clock": mirror.clock_trouble,
        "bus": bus.trouble(),
    }
    found = {part: [f"{part}: {trouble}"] if trouble else [] for part, trouble in troubles.items()}
    found["feed"] = [f"feed: {trouble}" for trouble in mirror.feed_troubles]
    found["sources"] = mirror.lacking()
    return found
