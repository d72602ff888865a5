"""The timeline of switches between sources and starts of the engine; it survives restarts."""

from __future__ import annotations

import logging
from collections import deque

import msgspec

from crypto_stream.market.status import Start, Switch, Timeline

log = logging.getLogger(__name__)

MAX_SWITCHES = 100
MAX_SYMBOLS = 10_000  # of all switches together
MAX_STARTS = 50


class TimelineKeeper:
    """Records switches and starts; the oldest are dropped beyond the limits above."""

    def __init__(self, stored: str | None, run: str, now_ms: int) -> None:
        """Continue the `stored` timeline of earlier runs, and add the start of this run."""
        previous = _read(stored)
        self._since = min(previous.since, now_ms) if previous else now_ms
        self._switches = deque(previous.switches if previous else (), maxlen=MAX_SWITCHES)
        self._starts = deque(previous.starts if previous else (), maxlen=MAX_STARTS)
        self._starts.append(Start(now_ms, run))

    def note(self, switch: Switch) -> None:
        """Add the newest switch."""
        self._switches.append(switch)
        while len(self._switches) > 1 and sum(len(one.symbols) for one in self._switches) > MAX_SYMBOLS:
            self._switches.popleft()

    def timeline(self) -> Timeline:
        """Return the timeline, oldest first."""
        return Timeline(self._since, list(self._switches), list(self._starts))

    def text(self) -> str:
        """Return the timeline as text, to be stored and passed to the next run's constructor."""
        return msgspec.json.encode(self.timeline()).decode()


def _read(stored: str | None) -> Timeline | None:
    if stored is None:
        return None
    try:
        return msgspec.json.decode(stored, type=Timeline)
    except msgspec.DecodeError as error:
        log.warning("stored timeline unreadable, starting a new one", extra={"reason": str(error)})
        return None
