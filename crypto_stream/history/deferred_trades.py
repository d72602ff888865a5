"""Trades that belong to no bar yet: their source does not serve yet, or the bars of their time are closed."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from crypto_stream.market.events import Trade

log = logging.getLogger(__name__)

# Trades retained per instrument and source that does not serve yet, and for how long.
_MAX_EARLY = 1_000
_EARLY_NS = 1_000_000_000
# A trade this close to our clock is current; bars that end later than this after it are in the future.
NEAR_MS = 60_000
# This many trades, over this long a time, show the source's correct time.
_TRADES = 3
_SPREAD_NS = 2_000_000_000
_MAX_LATE = 10_000
# If all trades are late for this long, that is reported.
_LONG_NS = 10_000_000_000


class DeferredTrade(NamedTuple):
    """A trade that may still be added to a bar, and when it was received."""

    source: str
    trade: Trade
    received_ns: int


class EarlyTrades:
    """The first trades of sources that may serve an instrument soon, while none serves it.

    The newest 1,000 of the last second are retained for each instrument and source.
    """

    def __init__(self) -> None:
        self._deferred: dict[str, dict[str, deque[DeferredTrade]]] = {}

    def add(self, deferred: DeferredTrade) -> None:
        """Retain a trade received now."""
        of_symbol = self._deferred.setdefault(deferred.trade.symbol, {})
        trades = of_symbol.setdefault(deferred.source, deque(maxlen=_MAX_EARLY))
        while trades and deferred.received_ns - trades[0].received_ns > _EARLY_NS:
            trades.popleft()
        trades.append(deferred)

    def pop(self, symbol: str, source: str | None, now_ns: int) -> list[DeferredTrade]:
        """Return the trades of the source that serves from now on; discard all others."""
        trades = self._deferred.pop(symbol, {}).get(source or "", ())
        return [deferred for deferred in trades if now_ns - deferred.received_ns < _EARLY_NS]


class _LateTradesOfSymbol:
    """The trades of one instrument that were older than its closed bars, since the last one that was not.

    At most 10,000 are retained; the oldest are discarded.
    """

    __slots__ = ("_count", "_first_ns", "_last_ns", "deferred")

    def __init__(self) -> None:
        self.deferred: deque[DeferredTrade] = deque(maxlen=_MAX_LATE)
        self._first_ns = self._last_ns = 0
        self._count = 0

    def add(self, late: DeferredTrade, floor_ms: int, now_ms: int) -> bool:
        """Retain a trade older than `floor_ms`; return whether the closed bars are in the future.

        That is so if several trades agree with our clock `now_ms`, and the closed bars end well after it.
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
        """Return whether this has lasted long enough to be reported."""
        return self._count >= _TRADES and self._last_ns - self._first_ns >= _LONG_NS


class LateTrades:
    """Trades older than closed bars: they are late, or a wrong clock closed the bars."""

    def __init__(self) -> None:
        self._late: dict[str, _LateTradesOfSymbol] = {}
        self._all_late: set[str] = set()

    @property
    def trouble(self) -> str | None:
        """Return which instruments' trades are not recorded; None if there are none."""
        if not self._all_late:
            return None
        names = ", ".join(sorted(self._all_late)[:3])
        return f"trades of {len(self._all_late)} instruments are older than their closed bars ({names})"

    def add(self, late: DeferredTrade, floor_ms: int, now_ms: int) -> list[DeferredTrade]:
        """Retain a late trade; return all retained ones if they show that the bars are in the future."""
        of_one = self._late.setdefault(late.trade.symbol, _LateTradesOfSymbol())
        return self.on_time(late.trade.symbol) if of_one.add(late, floor_ms, now_ms) else []

    def on_time(self, symbol: str) -> list[DeferredTrade]:
        """Reset an instrument with a trade that is not late; return its retained trades."""
        of_one = self._late.pop(symbol, None)
        return [] if of_one is None else list(of_one.deferred)

    def check(self) -> None:
        """Update, and log, the instruments whose trades are all late."""
        all_late = {symbol for symbol, of_one in self._late.items() if of_one.lasts}
        if more := sorted(all_late - self._all_late):
            extra = {"instruments": len(more), "symbols": ",".join(more[:10])}
            log.warning("trades not recorded, they are older than closed bars", extra=extra)
        self._all_late = all_late
