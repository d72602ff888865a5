"""Begin and end gaps as sources start and stop serving, by the sources' own time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from crypto_stream.history.gaps import CLOCK_SET, NOT_CONFIGURED, SUSPENDED, Gaps
from crypto_stream.market.clock import EngineClock
from crypto_stream.storage.interface import SetAside

_FRESH_MS = 2_000  # the first trade from a venue may be hours old
# A source without a clock of its own whose times differ from ours by more than this is a recording.
_CLOCKS_DIFFER_MS = 600_000
# How long to wait for a serving source's time before a gap is ended by our clock.
_TIME_KNOWN_WITHIN_NS = 5_000_000_000
# Until the first source can be live, the reason for missing prices is that the engine was stopped.
_START_NS = 2_000_000_000


class _Ending(NamedTuple):
    """A source that serves again, since when (ns), and the times of its first trades."""

    source: str
    since_ns: int
    first: list[int]


class Outages:
    """Begin and end the gaps of all instruments; `set_asides` collects data from a clock that was ahead."""

    def __init__(self, clock: EngineClock) -> None:
        self.gaps = Gaps()
        self.set_asides: list[SetAside] = []
        self._clock = clock
        self._serving: dict[str, str | None] = {}
        self._ending: dict[str, _Ending] = {}
        self._ends_with_trade: set[str] = set()  # symbols whose open gap ends with their next trade
        self._began: tuple[int, int] | None = None  # ms and ns of the start, while that is new

    def begin(self, now_ms: int, now_ns: int) -> None:
        """Record the start of this run."""
        self._began = (now_ms, now_ns)

    def switched(
        self, symbol: str, source: str | None, reason: str, early: Iterable[int], now_ns: int
    ) -> None:
        """Record the new serving source; `early` are the times of its trades received just before."""
        before, self._serving[symbol] = self._serving.get(symbol), source
        self._ends_with_trade.discard(symbol)
        self._ending.pop(symbol, None)
        if source is None:
            self.gaps.begin(symbol, self._time_at(before), reason)
            return
        self._ending[symbol] = _Ending(source, now_ns, list(early))
        if self._clock.knows_time_of(source):
            self._end(symbol, now_ns)

    def traded(self, symbol: str, time: int) -> None:
        """Record a trade of the serving source."""
        if symbol in self._ends_with_trade:
            self._ends_with_trade.discard(symbol)
            self._end_at(symbol, self._serving.get(symbol), time)
        elif (ending := self._ending.get(symbol)) and not ending.first:
            ending.first.append(time)

    def no_trades(self, symbol: str, for_ms: int, closed_ms: int, reason: str) -> None:
        """Begin a gap that ends with the next trade: the serving source has sent none for `for_ms`.

        It begins at the end of the last closed bar (`closed_ms`) at the earliest.
        """
        if symbol not in self.gaps.open:
            since_ms = self._time_at(self._serving.get(symbol)) - for_ms
            self.gaps.begin(symbol, max(since_ms, closed_ms), reason)
        self._ending.pop(symbol, None)
        self._ends_with_trade.add(symbol)

    def removed(self, symbol: str, since_ms: int) -> None:
        """Begin a gap that lasts until the instrument is added again; it had bars until `since_ms`."""
        self._serving.pop(symbol, None)
        self._ending.pop(symbol, None)
        self._ends_with_trade.discard(symbol)
        open_then = [gap] if (gap := self.gaps.open.pop(symbol, None)) else []
        if since_ms or open_then:
            self.gaps.resume(symbol, open_then, since_ms or self._clock.now_ms(), NOT_CONFIGURED)

    def clock_jumped(self, symbol: str, from_ms: int, to_ms: int) -> None:
        """Record that our clock, which synthetic sources use, was set ahead."""
        self.gaps.begin(symbol, from_ms, CLOCK_SET)
        self.gaps.end(symbol, to_ms)

    def suspended(self, ms: int, newest_end: Callable[[str], int]) -> None:
        """Begin a gap for each served instrument, except of recordings, which paused too.

        `newest_end` returns when an instrument's newest bar ends: the gap begins there at the earliest.
        """
        for symbol, source in self._serving.items():
            if source is not None and symbol not in self.gaps.open and not self._is_recording(source):
                since_ms = self._time_at(source) - ms
                self.gaps.begin(symbol, max(since_ms, newest_end(symbol)), SUSPENDED)
                self._ends_with_trade.add(symbol)

    def tick(self, now_ns: int) -> None:
        """End the gaps of instruments that are served again, once their source's time is known.

        Some time after the start, remaining gaps are no longer attributed to the stop.
        """
        for symbol, ending in list(self._ending.items()):
            if self._clock.knows_time_of(ending.source) or now_ns - ending.since_ns > _TIME_KNOWN_WITHIN_NS:
                self._end(symbol, now_ns)
        if self._began is not None and now_ns - self._began[1] > _START_NS:
            self.gaps.started(self._began[0])
            self._began = None

    def discard_after(self, symbol: str, at_ms: int, *, bars: bool) -> None:
        """Discard gaps from `at_ms` on; with `bars`, set bars aside: a clock was ahead."""
        self.gaps.discard_after(symbol, at_ms)
        self.set_asides.append(SetAside(symbol, at_ms, bars))

    def _end(self, symbol: str, now_ns: int) -> None:
        ending = self._ending.pop(symbol)
        began_ms = self._time_at(ending.source) - (now_ns - ending.since_ns) // 1_000_000
        at_ms = min((time for time in ending.first if time > began_ms - _FRESH_MS), default=began_ms)
        self._end_at(symbol, ending.source, min(at_ms, began_ms))

    def _end_at(self, symbol: str, source: str | None, at_ms: int) -> None:
        """End a gap by the time of its source; if it began later, our clock was ahead."""
        ended = self.gaps.end(symbol, at_ms)
        if ended is not None and ended > at_ms and source in self._clock.timekeepers:
            self.discard_after(symbol, at_ms, bars=False)

    def _time_at(self, source: str | None) -> int:
        """Return the time for a gap: the source's own, as for its bars, if that is known."""
        venue_ms = None if source is None else self._clock.venue_ms(source)
        return self._clock.now_ms() if venue_ms is None else venue_ms

    def _is_recording(self, source: str) -> bool:
        now_ms = self._clock.now_ms()
        far = abs((self._clock.venue_ms(source) or now_ms) - now_ms) > _CLOCKS_DIFFER_MS
        return far and source not in self._clock.timekeepers
