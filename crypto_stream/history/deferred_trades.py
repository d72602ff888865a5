"""Trades that make no bar now and may make one soon: too early for their source, or below closed bars."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from crypto_stream.market.events import Trade

log = logging.getLogger(__name__)

# Of an instrument and source that does not serve yet: so many trades are held, for so long.
_MAX_EARLY = 1_000
_EARLY_NS = 1_000_000_000
# A trade is of the present when it differs so much at most; what is closed lies in the future beyond that.
NEAR_MS = 60_000
# So many trades, over so long a time, show where the source's time goes on.
_TRADES = 3
_SPREAD_NS = 2_000_000_000
_MAX_LATE = 10_000
# Trades that are late for so long, without one that is not, are no longer a few late ones.
_LONG_NS = 10_000_000_000


class DeferredTrade(NamedTuple):
    """A trade that may still make a bar, and when it came."""

    source: str
    trade: Trade
    received_ns: int


class EarlyTrades:
    """Hold what came while nothing served an instrument: the first trades of a source that soon will.

    At most 1,000 of the last second, of each instrument and source, the newest.
    """

    def __init__(self) -> None:
        self._deferred: dict[str, dict[str, deque[DeferredTrade]]] = {}

    def add(self, deferred: DeferredTrade) -> None:
        """Hold a trade that came now."""
        of_symbol = self._deferred.setdefault(deferred.trade.symbol, {})
        trades = of_symbol.setdefault(deferred.source, deque(maxlen=_MAX_EARLY))
        while trades and deferred.received_ns - trades[0].received_ns > _EARLY_NS:
            trades.popleft()
        trades.append(deferred)

    def pop(self, symbol: str, source: str | None, now_ns: int) -> list[DeferredTrade]:
        """Give those of the source that serves from now on; the others are forgotten."""
        trades = self._deferred.pop(symbol, {}).get(source or "", ())
        return [deferred for deferred in trades if now_ns - deferred.received_ns < _EARLY_NS]


class _LateTradesOfSymbol:
    """The trades of one instrument that came below its closed bars since the last one that did not.

    At most 10,000 are held; then the oldest are lost.
    """

    __slots__ = ("_count", "_first_ns", "_last_ns", "deferred")

    def __init__(self) -> None:
        self.deferred: deque[DeferredTrade] = deque(maxlen=_MAX_LATE)
        self._first_ns = self._last_ns = 0
        self._count = 0

    def add(self, late: DeferredTrade, floor_ms: int, now_ms: int) -> bool:
        """Hold a trade below `floor_ms`; True when enough show that the bars up to there are of no past.

        That is so when the trades go on at `now_ms`, the present, and what is closed lies beyond it.
        """
        if not self._count:
            self._first_ns = late.received_ns
        self._count += 1
        self._last_ns = late.received_ns
        time = late.trade.time
        if time is None or floor_ms <= now_ms + NEAR_MS or abs(time - now_ms) > NEAR_MS:
            self.deferred.clear()
            return False
        if self.deferred and self.deferred[0].source != late.source:
            self.deferred.clear()
        self.deferred.append(late)
        return len(self.deferred) >= _TRADES and late.received_ns - self.deferred[0].received_ns >= _SPREAD_NS

    @property
    def lasts(self) -> bool:
        """Say whether this has gone on for long."""
        return self._count >= _TRADES and self._last_ns - self._first_ns >= _LONG_NS


class LateTrades:
    """Hold trades below closed bars: they are late, or those bars lie in a false future."""

    def __init__(self) -> None:
        self._late: dict[str, _LateTradesOfSymbol] = {}
        self._lasting: set[str] = set()

    @property
    def trouble(self) -> str | None:
        """Say whose trades make no bars although they come; None: nobody's."""
        if not self._lasting:
            return None
        names = ", ".join(sorted(self._lasting)[:3])
        return f"trades of {len(self._lasting)} instruments are older than their closed bars ({names})"

    def add(self, late: DeferredTrade, floor_ms: int, now_ms: int) -> list[DeferredTrade]:
        """Hold a late trade; return all that were held once they show that the bars are of no past."""
        of_one = self._late.setdefault(late.trade.symbol, _LateTradesOfSymbol())
        return self.on_time(late.trade.symbol) if of_one.add(late, floor_ms, now_ms) else []

    def on_time(self, symbol: str) -> list[DeferredTrade]:
        """Begin anew for an instrument of which a trade is not late; return those held."""
        of_one = self._late.pop(symbol, None)
        return [] if of_one is None else list(of_one.deferred)

    def check(self) -> None:
        """Notice, and log, of whom this has become lasting."""
        lasting = {symbol for symbol, of_one in self._late.items() if of_one.lasts}
        if more := sorted(lasting - self._lasting):
            extra = {"instruments": len(more), "symbols": ",".join(more[:10])}
            log.warning("trades make no bars, they are older than closed ones", extra=extra)
        self._lasting = lasting
