"""The newest bars of one watched series. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from crypto_stream.bus.messages import LiveBars
from crypto_stream.market.bars import Bar

# The slowest viewers are served each 5 s: so many bars of a second close meanwhile, one is open.
_HELD = 8


class WatchedBars:
    """Join what the engine sends of one series, and tell what of it is new.

    What is held has no hole: a message that does not follow on it takes its place.
    """

    def __init__(self) -> None:
        """Hold nothing."""
        self.version = 0
        self._held: dict[int, tuple[Bar, int]] = {}  # by time, oldest first
        self._previous: int | None = None  # the bar before the oldest held
        self._newest: LiveBars | None = None

    def join(self, message: LiveBars, version: int) -> None:
        """Take one message; `version` is the state's number from now on."""
        held = self._held
        if message.bars and message.previous not in held and message.bars[0].time not in held:
            held.clear()
            self._previous = message.previous
        for bar in message.bars:
            held[bar.time] = (bar, version)
        while len(held) > _HELD:
            self._previous = next(iter(held))
            del held[self._previous]
        self._newest, self.version = message, version

    def since(self, version: int) -> LiveBars | None:
        """Give the bars that changed after `version` and the one before them; None when nothing did."""
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
