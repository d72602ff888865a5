"""Faults of ours that follow each other: how long to pause after one, and when to give up. Pure."""

from __future__ import annotations

import math

from crypto_stream.backoff import Backoff
from crypto_stream.storage.interface import UnusableError

# Pauses grow up to this, and begin anew when there was no fault for so long.
_CALM_S = 60.0
MOST_FAULTS = 6


class Faults:
    """Count those that followed each other; `pause_s` is the pause after the newest."""

    def __init__(self, least_s: float) -> None:
        self.pause_s = 0.0
        self._pauses = Backoff(least_s, _CALM_S)
        self._newest_s = -math.inf
        self._count = 0

    def note(self, reason: str, now_s: float) -> OSError:
        """Count a fault; return what is wrong now: UnusableError where they would go on for ever."""
        if now_s - self._newest_s > _CALM_S:
            self._count = 0
            self._pauses.reset()
        self.pause_s = self._pauses.next_delay()
        self._count += 1
        self._newest_s = now_s
        if self._count < MOST_FAULTS:
            return OSError(reason)
        return UnusableError(
            f"{MOST_FAULTS} faults of this server followed each other, see its log; "
            "restart the engine when their cause is gone"
        )
