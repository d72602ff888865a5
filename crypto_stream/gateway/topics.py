"""The topics that viewers can subscribe to, and the newest state of each watched key. Pure.

A new topic is one line in `TOPICS`, beside its file in the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Set
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from crypto_stream.bus.interface import WATCH_REFRESH_S
from crypto_stream.bus.messages import LiveBars, TopicUpdate
from crypto_stream.errors import BusError
from crypto_stream.gateway.verdict import UNREACHABLE
from crypto_stream.market import best, depth, index
from crypto_stream.market.bars import Bar, Gap
from crypto_stream.market.best import Best
from crypto_stream.market.depth import Depth
from crypto_stream.market.index import Index, symbol_of_series
from crypto_stream.market.status import Venues

# What viewers read of a key that the engine has no room for.
NO_ROOM = f"too much is watched at the moment; tried again every {WATCH_REFRESH_S:g} seconds"
# The longest interval between flushes is 5 s, in which five bars of 1 s close; one more is open.
_MAX_BARS = 8


class KeyState(Protocol):
    """The newest state of one key."""

    version: int

    def apply(self, payload: Any, version: int) -> None:
        """Apply one update; `version` is the mirror's new version."""

    def since(self, version: int) -> object | None:
        """Return what changed after `version`, as viewers get it; None if nothing did."""


class LatestPayload:
    """The last update, for topics whose updates are complete."""

    def __init__(self) -> None:
        self.version = 0
        self.payload: Any = None

    def apply(self, payload: Any, version: int) -> None:
        """Replace the last update."""
        self.payload, self.version = payload, version

    def since(self, version: int) -> object | None:
        """Return the last update if it is newer than `version`."""
        return self.payload if self.version > version else None


class MergedBars:
    """The newest bars of one series, merged from the engine's updates.

    There is never a hole among them: an update that does not follow on replaces them all.
    """

    def __init__(self) -> None:
        self.version = 0
        self._held: dict[int, tuple[Bar, int]] = {}  # by time, oldest first
        self._previous: int | None = None  # the bar before the oldest held
        self._newest: LiveBars | None = None

    def apply(self, payload: LiveBars, version: int) -> None:
        """Merge one update."""
        held = self._held
        if payload.bars and payload.previous not in held and payload.bars[0].time not in held:
            held.clear()
            self._previous = payload.previous
        if payload.bars and payload.previous is not None:
            # Bars in between were left open by an engine run that ended, and will never be closed.
            for time in [time for time in held if payload.previous < time < payload.bars[0].time]:
                del held[time]
        for bar in payload.bars:
            held[bar.time] = (bar, version)
        while len(held) > _MAX_BARS:
            self._previous = next(iter(held))
            del held[self._previous]
        self._newest, self.version = payload, version

    def since(self, version: int) -> LiveBars | None:
        """Return the bars that changed after `version`, and the time of the bar before them."""
        if self._newest is None or self.version <= version:
            return None
        previous = self._previous
        changed: list[Bar] = []
        for bar, bar_version in self._held.values():
            if bar_version > version:
                changed.append(bar)
            elif not changed:
                previous = bar.time
        return replace(self._newest, previous=previous, bars=changed)


class AsOf(NamedTuple):
    """The data set, the number of its newest change, and the time in ms."""

    epoch: str
    seq: int
    time: int


class ServedTopic(NamedTuple):
    """How one topic is served: the type of its `payload`, and the class that holds a key's `state`.

    `without_room` makes the payload of a key that the engine has no room to watch. `when_lost` turns a
    payload into the one shown while the engine is unreachable; if it is None, the payload stays as it was.
    The keys of a topic are symbols, or symbols and a variant if it has `variants` (candles have intervals),
    unless it is not `of_instruments`: then viewers name the keys. If a payload has levels, `shortened`
    returns it with the first ones only.
    """

    payload: Any
    without_room: Callable[[str, AsOf], Any]
    state: Callable[[], KeyState] = LatestPayload
    when_lost: Callable[[Any], Any] | None = None
    of_instruments: bool = True
    variants: bool = False
    shortened: Callable[[Any, int], Any] | None = None


def _lost_venues(venues: Venues) -> Venues:
    rows = [replace(row, stale=True, serving=False) for row in venues.sources]
    return Venues(venues.symbol, None, True, UNREACHABLE, None, None, None, None, rows)


def _no_venues(symbol: str, _: AsOf) -> Venues:
    return Venues(symbol, None, True, NO_ROOM, None, None, None, None, [])


def _no_bars(key: str, now: AsOf) -> LiveBars:
    series, _, interval = key.partition("/")
    return LiveBars(now.epoch, series, interval, now.seq, None, [], Gap(now.time, None, NO_ROOM))


# By name, which is both the engine's name of the topic and the event that viewers get.
TOPICS = {
    "venues": ServedTopic(Venues, _no_venues, when_lost=_lost_venues),
    "best": ServedTopic(
        Best,
        lambda symbol, _: best.lost(symbol, NO_ROOM),
        when_lost=lambda value: best.lost(value.symbol, UNREACHABLE),
    ),
    "index": ServedTopic(
        Index,
        lambda symbol, _: Index(symbol, None, None, True, NO_ROOM, [], []),
        when_lost=lambda value: index.lost(value, UNREACHABLE),
    ),
    "depth": ServedTopic(
        Depth,
        lambda symbol, _: depth.lost(symbol, NO_ROOM),
        when_lost=lambda value: depth.lost(value.symbol, UNREACHABLE),
        shortened=depth.shortened,
    ),
    "candles": ServedTopic(LiveBars, _no_bars, MergedBars, variants=True),
}
# Those whose keys are symbols: subscribed to by their name alone, and served by HTTP as /NAME/SYMBOL.
OF_SYMBOLS = {
    name: served for name, served in TOPICS.items() if served.of_instruments and not served.variants
}


def _symbol(key: str) -> str:
    """Return the symbol in a key: `btcusdt`, `btcusdt/1m` or `index:btcusdt/1m`."""
    name = key.partition("/")[0]
    return symbol_of_series(name) or name


class Topics:
    """The states of the watched keys, by topic and key."""

    def __init__(self) -> None:
        self._states: dict[tuple[str, str], KeyState] = {}
        self._engine_versions: dict[tuple[str, str], int] = {}
        self._without_room: set[tuple[str, str]] = set()

    def take(self, update: TopicUpdate, version: int) -> None:
        """Apply an update unless a newer one came before it; BusError if its payload cannot be read."""
        key = (update.topic, update.key)
        served = TOPICS.get(update.topic)
        if served is None or update.version < self._engine_versions.get(key, 0):
            return
        try:
            payload = msgspec.msgpack.decode(update.payload, type=served.payload)
        except msgspec.MsgspecError as error:
            raise BusError(f"unreadable update of {update.topic} from the engine: {error}") from None
        if key not in self._states:
            self._states[key] = served.state()
        self._states[key].apply(payload, version)
        self._engine_versions[key] = update.version
        self._without_room.discard(key)

    def no_room(self, keys: Iterable[tuple[str, str]], now: AsOf, version: int) -> None:
        """Show, until the next update of each key, that the engine has no room for it."""
        for topic, key in keys:
            if (topic, key) not in self._without_room:
                self._without_room.add((topic, key))
                state = self._states[topic, key] = TOPICS[topic].state()
                state.apply(TOPICS[topic].without_room(key, now), version)

    def since(self, topic: str, key: str, version: int) -> object | None:
        """Return what changed of a key after `version`; None if nothing did."""
        state = self._states.get((topic, key))
        return None if state is None else state.since(version)

    def engine_lost(self, version: int) -> None:
        """Replace live payloads by those shown while the engine is unreachable."""
        self._without_room.clear()
        for (topic, _), state in self._states.items():
            if (when_lost := TOPICS[topic].when_lost) and (payload := state.since(0)) is not None:
                state.apply(when_lost(payload), version)

    def keep(self, keys: Set[tuple[str, str]]) -> None:
        """Forget all keys but these: the others are watched no longer, so their states would go stale."""
        for key in self._states.keys() - keys:
            del self._states[key]
            self._engine_versions.pop(key, None)
            self._without_room.discard(key)

    def forget(self, symbols: Collection[str]) -> None:
        """Forget the keys of instruments that were removed: added again, they begin anew."""
        others = {topic for topic, served in TOPICS.items() if not served.of_instruments}
        keys = self._states.keys()
        self.keep({key for key in keys if key[0] in others or _symbol(key[1]) not in symbols})

    def clear(self) -> None:
        """Forget everything."""
        self.keep(set())
