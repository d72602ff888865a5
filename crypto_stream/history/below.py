"""Trades below what is closed: late ones, or those of a source whose bars lie in a false future."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from crypto_stream.market.events import Trade

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
        """Begin without any."""
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

    def clear(self) -> list[Kept]:
        """Forget them, because one came that is not below or because bars begin anew; return those kept."""
        kept = list(self._kept)
        self._kept.clear()
        self._trades = 0
        return kept

    @property
    def lasts(self) -> bool:
        """Say whether this has gone on for long."""
        return self._trades >= _TRADES and self._last_ns - self._first_ns >= _LONG_NS
