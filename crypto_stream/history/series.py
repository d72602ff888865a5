"""The bars of one instrument, built from its trades. Pure: the caller supplies the clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from crypto_stream.market.bars import INTERVALS, STORED, Bar, Fold, folded, start
from crypto_stream.market.events import Trade

_SHORTEST = "1s"
_SECOND = INTERVALS[_SHORTEST]
_LONGER = {name: length for name, length in INTERVALS.items() if name != _SHORTEST}
# A bar closes this long after its end, to allow for late trades.
CLOSES_AFTER_MS = 1_000
_NEVER = 2**63


class Closed(NamedTuple):
    """A bar that has just closed."""

    interval: str
    bar: Bar


class Series:
    """Build the bars of every interval.

    Trades form one-second bars, by the venue's time; longer bars are folded from those. A bar closes with the
    first trade of a later one, or 1 s after its end; the venue's clock is assumed to run on from its newest
    trade. A trade for a closed bar is ignored.
    """

    __slots__ = (
        "_at_ms",
        "_at_ns",
        "_closed_to",
        "_longer",
        "_newest",
        "_next_end",
        "_second",
        "previous",
    )

    def __init__(self) -> None:
        self.previous: dict[str, int] = {}  # interval → time of the newest closed bar
        self._second: Fold | None = None
        self._longer: dict[str, Fold] = {}
        self._closed_to = 0  # trades before this are late
        self._newest = 0  # time of the newest trade
        self._at_ms: int | None = None  # the venue's clock …
        self._at_ns = 0  # … when ours showed this
        self._next_end: int | None = None  # when the next bar closes without a trade; None: not determined

    def restore(self, stored: Mapping[str, Sequence[Bar]], now_ns: int) -> None:
        """Continue from stored bars of the newest day, hour and minute.

        `stored`: interval → closed bars, oldest first: 1h since the newest bar's day began, 1m since its
        hour, 1s since its minute. Until the first trade the venue's clock is assumed to run on from their
        end: it cannot be earlier, whatever our own clocks show.
        """
        bars: list[Bar] = []
        newest = 0
        for name in reversed(STORED):  # use shorter bars only after the end of the longer ones
            parts = [bar for bar in stored[name] if bar.time >= newest]
            bars += parts
            newest = parts[-1].time + INTERVALS[name] if parts else newest
        if not bars:
            return
        self._next_end = None
        self._closed_to = newest
        self._at_ms, self._at_ns = newest, now_ns
        if stored["1s"]:
            self.previous["1s"] = stored["1s"][-1].time
        for name, length in _LONGER.items():
            begin = start(newest - 1, length)
            if begin + length > newest:
                fold = self._longer[name] = Fold(begin)
                for bar in bars:
                    if bar.time >= begin:
                        fold.add(bar)
                begin = max((start(bar.time, length) for bar in bars if bar.time < begin), default=-1)
            if begin >= 0:
                self.previous[name] = begin

    @property
    def begun(self) -> bool:
        """Whether there was a trade in this run."""
        return self._newest > 0

    @property
    def floor(self) -> int:
        """Where the closed bars end: earlier trades are late."""
        return self._closed_to if self._second is None else self._second.time

    @property
    def newest_end(self) -> int:
        """When the newest one-second bar ends (ms), closed or not."""
        return self._closed_to if self._second is None else self._second.time + _SECOND

    def clock(self, now_ns: int) -> int | None:
        """Return the venue's time in ms, estimated from its trades; None before the first."""
        if self._at_ms is None:
            return None
        return self._at_ms + max(0, now_ns - self._at_ns) // 1_000_000

    def trade(self, trade: Trade, source: str, now_ns: int) -> list[Closed]:
        """Add a trade of the serving source; return the bars that it closed."""
        time = trade.time
        if time is None:
            return []
        if time < self.floor:
            return []
        closed: list[Closed] = []
        if self._second is None or time >= self._second.time + _SECOND:
            closed = self._close(time)
            self._second = Fold(start(time, _SECOND))
            self._next_end = None
        self._second.trade(trade.price, trade.size, source)
        if time >= self._newest:
            self._newest = self._at_ms = time
            self._at_ns = now_ns
        return closed

    def tick(self, now_ns: int) -> list[Closed]:
        """Close the bars that are due although no trade arrived; usually none are, which costs little."""
        now = self.clock(now_ns)
        if now is None or now - CLOSES_AFTER_MS < self._end():
            return []
        return self._close(now - CLOSES_AFTER_MS)

    def due_ns(self) -> int | None:
        """When `tick` will close a bar if no trade arrives (ns); None while it has none to close."""
        if self._at_ms is None or (end := self._end()) == _NEVER:
            return None
        return self._at_ns + (end + CLOSES_AFTER_MS - self._at_ms) * 1_000_000

    def live(self, interval: str) -> Bar | None:
        """Return the open bar of `interval`; None while it has no trade."""
        length, second = INTERVALS[interval], self._second
        fold = self._longer.get(interval)
        if second is None:
            return None if fold is None else fold.bar(closed=False)
        now = second.bar(closed=False)
        if fold is None or fold.time != start(second.time, length):
            return next(folded([now], length))
        return next(folded([fold.bar(closed=False), now], length))

    def boundary(self, interval: str) -> int:
        """Return where the closed bars of `interval` end."""
        fold = self._second if interval == _SHORTEST else self._longer.get(interval)
        if fold is not None:
            return fold.time
        return self._closed_to if self._second is None else start(self._second.time, INTERVALS[interval])

    def _end(self) -> int:
        """Return when the next open bar ends: longer ones end after the second that is part of them."""
        if self._next_end is None:
            ends = (fold.time + _LONGER[name] for name, fold in self._longer.items())
            second = self._second
            self._next_end = min(ends, default=_NEVER) if second is None else second.time + _SECOND
        return self._next_end

    def _close(self, time: int) -> list[Closed]:
        closed = self._closed_by(time)
        self._next_end = None
        for interval, bar in closed:
            self.previous[interval] = bar.time
        return closed

    def _closed_by(self, time: int) -> list[Closed]:
        """Close every bar that ends at or before `time`, shorter ones first."""
        closed: list[Closed] = []
        second = self._second
        if second is not None and second.time + _SECOND <= time:
            bar = second.bar(closed=True)
            closed.append(Closed(_SHORTEST, bar))
            self._second = None
            self._closed_to = second.time + _SECOND
            for name, length in _LONGER.items():
                begin = start(bar.time, length)
                fold = self._longer.get(name)
                if fold is not None and fold.time != begin:
                    closed.append(Closed(name, fold.bar(closed=True)))
                    fold = None
                if fold is None:
                    fold = self._longer[name] = Fold(begin)
                fold.add(bar)
        for name, length in _LONGER.items():
            fold = self._longer.get(name)
            if fold is not None and fold.time + length <= time and self._second is None:
                closed.append(Closed(name, self._longer.pop(name).bar(closed=True)))
                self._closed_to = max(self._closed_to, fold.time + length)
        return closed
