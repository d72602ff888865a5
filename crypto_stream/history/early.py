"""Trades that came while nothing served the instrument: the first ones of a source that soon will. Pure."""

from __future__ import annotations

from collections import deque

from crypto_stream.market.events import Trade

_MOST = 1_000
_KEPT_NS = 1_000_000_000


class Early:
    """Keep the trades of the last second: at most 1,000 of an instrument and source, the newest."""

    def __init__(self) -> None:
        self._came: dict[str, dict[str, deque[tuple[int, Trade]]]] = {}

    def keep(self, source: str, trade: Trade, now_ns: int) -> None:
        """Keep a trade that came now."""
        came = self._came.setdefault(trade.symbol, {}).setdefault(source, deque(maxlen=_MOST))
        while came and now_ns - came[0][0] > _KEPT_NS:
            came.popleft()
        came.append((now_ns, trade))

    def take(self, symbol: str, source: str | None, now_ns: int) -> list[tuple[int, Trade]]:
        """Give those of the source that serves from now on, with when they came; the others are forgotten."""
        came = self._came.pop(symbol, {}).get(source or "", ())
        return [(came_ns, trade) for came_ns, trade in came if now_ns - came_ns < _KEPT_NS]
