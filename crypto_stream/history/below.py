"""Trades below what is closed: late ones, or those of a source whose bars lie in a false future."""

from __future__ import annotations

import logging
from collections import deque
from typing import NamedTuple

from crypto_stream.market.events import Trade

log = logging.getLogger(__name__)

# A trade is of the present when it differs so much at most; what is closed lies in the future beyond that.
NEAR_MS = 60_000
# So many trades, over so long a time, show where the source's time goes on.
_TRADES = 3
_SPREAD_NS = 2_000_000_000
_MOST_KEPT = 10_000
# Trades that are left out for so long, without one that is not, are no longer a few late ones.
_LONG_NS = 10_000_000_000


class Kept(NamedTuple):
    """A trade that may still make a bar, and when it came."""

    source: str
    trade: Trade
    came_ns: int


class Below:
    """The trades of one instrument that came below its closed bars since the last one that did not.

    At most 10,000 are kept; then the oldest are lost.
    """

    __slots__ = ("_first_ns", "_kept", "_last_ns", "_trades")

    def __init__(self) -> None:
        self._kept: deque[Kept] = deque(maxlen=_MOST_KEPT)
        self._first_ns = self._last_ns = 0
        self._trades = 0

    def take(self, kept: Kept, floor_ms: int, now_ms: int) -> bool:
        """Take a trade below `floor_ms`; True when enough show that the bars up to there are of no past.

        That is so when the trades go on at `now_ms`, the present, and what is closed lies beyond it.
        """
        if not self._trades:
            self._first_ns = kept.came_ns
        self._trades += 1
        self._last_ns = kept.came_ns
        time = kept.trade.time
        if time is None or floor_ms <= now_ms + NEAR_MS or abs(time - now_ms) > NEAR_MS:
            self._kept.clear()
            return False
        if self._kept and self._kept[0].source != kept.source:
            self._kept.clear()
        self._kept.append(kept)
        return len(self._kept) >= _TRADES and kept.came_ns - self._kept[0].came_ns >= _SPREAD_NS

    @property
    def kept(self) -> list[Kept]:
        """The trades that may still make bars."""
        return list(self._kept)

    @property
    def lasts(self) -> bool:
        """Say whether this has gone on for long."""
        return self._trades >= _TRADES and self._last_ns - self._first_ns >= _LONG_NS


class LeftOut:
    """The instruments whose trades come below their closed bars, said in the log when that lasts."""

    def __init__(self) -> None:
        self._below: dict[str, Below] = {}
        self._lasting: set[str] = set()

    @property
    def trouble(self) -> str | None:
        """Say whose trades make no bars although they come; None: nobody's."""
        if not self._lasting:
            return None
        names = ", ".join(sorted(self._lasting)[:3])
        return f"trades of {len(self._lasting)} instruments are older than their closed bars ({names})"

    def take(self, kept: Kept, floor_ms: int, now_ms: int) -> list[Kept]:
        """Take a trade below; return all that were kept once they show that the bars are of no past."""
        below = self._below.setdefault(kept.trade.symbol, Below())
        return self.in_time(kept.trade.symbol) if below.take(kept, floor_ms, now_ms) else []

    def in_time(self, symbol: str) -> list[Kept]:
        """Begin anew for an instrument of which a trade is not below; return those kept."""
        below = self._below.pop(symbol, None)
        return [] if below is None else below.kept

    def say(self) -> None:
        """Say of whom this has become lasting."""
        lasting = {symbol for symbol, below in self._below.items() if below.lasts}
        if more := sorted(lasting - self._lasting):
            extra = {"instruments": len(more), "symbols": ",".join(more[:10])}
            log.warning("trades make no bars, they are older than closed ones", extra=extra)
        self._lasting = lasting
