"""The live bars that gateways watch: what changed since they were last told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from crypto_stream.bus.messages import LiveBars
from crypto_stream.errors import RefusedError
from crypto_stream.history.history import History
from crypto_stream.history.series import Closed
from crypto_stream.market.bars import INTERVALS, Bar

_EVERY_S = 0.25
# Series that one gateway may watch: each costs a message four times a second at the most.
MOST_WATCHED = 2_000

Key = tuple[str, str]


class Candles:
    """Tell each gateway of the series (symbol, interval) it watches.

    Every message holds the bars closed since the one before and the open one, so who gets all of them knows
    all; what a gateway misses shows in `previous`.
    """

    def __init__(
        self, history: History, seq: Callable[[], int], send: Callable[[int, LiveBars], None]
    ) -> None:
        """Watch `history`; `seq` is the state's number, `send` hands a message to one gateway."""
        self._history = history
        self._seq = seq
        self._send = send
        self._watched: dict[int, set[Key]] = {}
        self._closed: dict[Key, list[Bar]] = {}
        self._told: dict[Key, LiveBars] = {}
        history.closed = self._on_closed

    def watch(self, gateway: int, series: Iterable[Key]) -> None:
        """Replace what `gateway` watches; it is told at once of what is new for it."""
        wanted = set(series)
        if len(wanted) > MOST_WATCHED:
            raise RefusedError("too_many_series", f"a gateway watches at most {MOST_WATCHED} series")
        for symbol, interval in wanted:
            if symbol not in self._history.series or interval not in INTERVALS:
                raise RefusedError("unknown_series", f"there are no bars of {symbol!r} by {interval!r}")
        self._watched[gateway], before = wanted, self._watched.get(gateway, set())
        for key in wanted - before:
            if key in self._told:
                self._tell(key)  # what closed since the others were told
            news = self._now(key, [])
            self._told.setdefault(key, news)
            self._send(gateway, news)
        self._forget_unwatched()

    def left(self, gateway: int) -> None:
        """Forget what this gateway watched."""
        self._watched.pop(gateway, None)
        self._forget_unwatched()

    async def run(self) -> None:
        """Tell of changes, for ever."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.tell()

    def tell(self) -> None:
        """Tell everybody of what changed since the last time."""
        for key in set().union(*self._watched.values()):
            self._tell(key)

    def _tell(self, key: Key) -> None:
        news = self._now(key, self._closed.pop(key, []))
        told = self._told[key]
        if (told.bars, told.gap) == (news.bars, news.gap):
            return
        self._told[key] = news
        for gateway, series in self._watched.items():
            if key in series:
                self._send(gateway, news)

    def _now(self, key: Key, closed: list[Bar]) -> LiveBars:
        symbol, interval = key
        series = self._history.series[symbol]
        live = series.live(interval)
        bars = [*closed, *([] if live is None else [live])]
        previous = series.previous.get(interval) if not closed else self._before(key, closed[0].time)
        return LiveBars(symbol, interval, self._seq(), previous, bars, self._history.gaps.open.get(symbol))

    def _before(self, key: Key, time: int) -> int | None:
        """Tell which bar those who were told last have before the one at `time`."""
        told = self._told[key]
        earlier = [bar.time for bar in told.bars if bar.time < time]
        return earlier[-1] if earlier else told.previous

    def _on_closed(self, symbol: str, closed: Closed) -> None:
        key = (symbol, closed.interval)
        if any(key in series for series in self._watched.values()):
            self._closed.setdefault(key, []).append(closed.bar)

    def _forget_unwatched(self) -> None:
        watched = set().union(*self._watched.values())
        for kept in (self._closed, self._told):
            for key in kept.keys() - watched:
                del kept[key]
