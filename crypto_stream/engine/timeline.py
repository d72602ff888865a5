"""The timeline that people read: which source served when, and when the engine was started. Over restarts."""

from __future__ import annotations

import logging
from collections import deque

import msgspec

from crypto_stream.market.status import Start, Switch, Timeline

log = logging.getLogger(__name__)

# Older ones are forgotten; so are those whose lists of symbols are long in sum.
MOST_SWITCHES = 100
MOST_SYMBOLS = 10_000
MOST_STARTS = 50


class TimelineKeeper:
    """Note switches and starts, bounded; pure but for a warning about a kept text that cannot be read."""

    def __init__(self, kept: str | None, run: str, now_ms: int) -> None:
        """Go on with what a former run kept, and note this run's start."""
        former = _read(kept)
        self._since = min(former.since, now_ms) if former else now_ms
        self._switches = deque(former.switches if former else (), maxlen=MOST_SWITCHES)
        self._starts = deque(former.starts if former else (), maxlen=MOST_STARTS)
        self._starts.append(Start(now_ms, run))

    def note(self, switch: Switch) -> None:
        """Add the newest switch."""
        self._switches.append(switch)
        while len(self._switches) > 1 and sum(len(one.symbols) for one in self._switches) > MOST_SYMBOLS:
            self._switches.popleft()

    def timeline(self) -> Timeline:
        """Give everything noted, oldest first."""
        return Timeline(self._since, list(self._switches), list(self._starts))

    def text(self) -> str:
        """Give everything noted in the form that the constructor takes."""
        return msgspec.json.encode(self.timeline()).decode()


def _read(kept: str | None) -> Timeline | None:
    if kept is None:
        return None
    try:
        return msgspec.json.decode(kept, type=Timeline)
    except msgspec.DecodeError as error:
        log.warning("stored timeline unreadable, starting a new one", extra={"reason": str(error)})
        return None
