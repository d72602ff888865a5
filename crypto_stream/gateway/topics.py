"""The topics that viewers can be served, and how the updates of each are held. Pure.

A new topic is one line in `TOPICS`, beside its file in the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from crypto_stream.bus.messages import LiveBars, TopicUpdate
from crypto_stream.errors import BusError
from crypto_stream.gateway.verdict import UNREACHABLE
from crypto_stream.market.bars import Bar
from crypto_stream.market.status import Venues

# The slowest viewers are served each 5 s: so many bars of a second close meanwhile, one is open.
_BARS_HELD = 8


class Held(Protocol):
    """The newest of one key."""

    version: int

    def join(self, payload: Any, version: int) -> None:
        """Take one update; `version` is the mirror's number from now on."""

    def since(self, version: int) -> object | None:
        """Give what changed after `version`, in the form that viewers get; None when nothing did."""


class Newest:
    """Hold the last update, which is whole."""

    def __init__(self) -> None:
        self.version = 0
        self.payload: Any = None

    def join(self, payload: Any, version: int) -> None:
        """Put it in the place of the last one."""
        self.payload, self.version = payload, version

    def since(self, version: int) -> object | None:
        """Give the last update."""
        return self.payload if self.version > version else None


class JoinedBars:
    """Join what the engine sends of one series, and tell what of it is new.

    What is held has no hole: an update that does not follow on it takes its place.
    """

    def __init__(self) -> None:
        self.version = 0
        self._held: dict[int, tuple[Bar, int]] = {}  # by time, oldest first
        self._previous: int | None = None  # the bar before the oldest held
        self._newest: LiveBars | None = None

    def join(self, payload: LiveBars, version: int) -> None:
        """Take one update."""
        held = self._held
        if payload.bars and payload.previous not in held and payload.bars[0].time not in held:
            held.clear()
            self._previous = payload.previous
        if payload.bars and payload.previous is not None:
            # What stood between was an open bar of a run that ended: it was never to be closed.
            for time in [time for time in held if payload.previous < time < payload.bars[0].time]:
                del held[time]
        for bar in payload.bars:
            held[bar.time] = (bar, version)
        while len(held) > _BARS_HELD:
            self._previous = next(iter(held))
            del held[self._previous]
        self._newest, self.version = payload, version

    def since(self, version: int) -> LiveBars | None:
        """Give the bars that changed after `version` and the one before them."""
        if self._newest is None or self.version <= version:
            return None
        previous = self._previous
        changed: list[Bar] = []
        for bar, of in self._held.values():
            if of > version:
                changed.append(bar)
            elif not changed:
                previous = bar.time
        return replace(self._newest, previous=previous, bars=changed)


class Served(NamedTuple):
    """How one topic is served: the `form` of its payload, and who holds it.

    `lost` makes of a payload what is shown while the engine is unreachable; None: it stays as it was. One
    that is not `of_instruments` has keys of its own, which viewers name.
    """

    form: Any = Any
    hold: Callable[[], Held] = Newest
    lost: Callable[[Any], Any] | None = None
    of_instruments: bool = True


def _lost_venues(venues: Venues) -> Venues:
    rows = [replace(row, stale=True, serving=False) for row in venues.sources]
    return Venues(venues.symbol, None, True, UNREACHABLE, None, None, None, None, rows)


# By the name that is the topic's in the engine, and of the event that viewers get.
TOPICS = {
    "venues": Served(Venues, lost=_lost_venues),
    "candles": Served(LiveBars, JoinedBars),
}


class Topics:
    """What this gateway holds of the keys it watches, by topic and key."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], Held] = {}
        self._taken: dict[tuple[str, str], int] = {}

    def take(self, update: TopicUpdate, version: int) -> None:
        """Take an update, unless a newer one of the key came before it; BusError for another form."""
        key = (update.topic, update.key)
        served = TOPICS.get(update.topic)
        if served is None or update.version < self._taken.get(key, 0):
            return
        try:
            payload = msgspec.msgpack.decode(update.payload, type=served.form)
        except msgspec.MsgspecError as error:
            raise BusError(f"unreadable update of {update.topic} from the engine: {error}") from None
        if key not in self._held:
            self._held[key] = served.hold()
        self._held[key].join(payload, version)
        self._taken[key] = update.version

    def since(self, topic: str, key: str, version: int) -> object | None:
        """Give what of a key changed after `version`."""
        held = self._held.get((topic, key))
        return None if held is None else held.since(version)

    def lose(self, version: int) -> None:
        """Show what can be live no more now that the engine is unreachable."""
        for (topic, _), held in self._held.items():
            if (lost := TOPICS[topic].lost) and (payload := held.since(0)) is not None:
                held.join(lost(payload), version)

    def keep(self, keys: set[tuple[str, str]]) -> None:
        """Forget all but these, which nobody watches any more: they would grow old."""
        for key in self._held.keys() - keys:
            del self._held[key], self._taken[key]

    def clear(self) -> None:
        """Forget everything."""
        self.keep(set())
