"""What is wrong although prices may be live: `degraded` of /readyz, and its metric. Pure."""

from __future__ import annotations

from crypto_stream.bus.interface import BusFigures
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.market.instruments import few
from crypto_stream.market.status import SourceStatus


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
    found["sources"] = [sentence for one in mirror.sources(0.0) for sentence in _lacking(one)]
    return found


def _lacking(source: SourceStatus) -> list[str]:
    symbols: dict[str, list[str]] = {}
    for symbol, reason in source.lacking.items():
        symbols.setdefault(reason, []).append(symbol)
    return [f"{source.name}: {reason}: {few(of)}" for reason, of in symbols.items()]
