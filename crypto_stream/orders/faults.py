"""Successive internal errors: how long to pause after each, and when to stop retrying. Pure."""

from __future__ import annotations

import math

from crypto_stream.backoff import Backoff
from crypto_stream.storage.interface import UnusableError

# Pauses grow up to this, and are reset after as long without a fault.
_CALM_S = 60.0
MAX_FAULTS = 6


class Faults:
    """Count successive faults; `pause_s` is the pause after the newest."""

    def __init__(self, first_pause_s: float) -> None:
        self.pause_s = 0.0
        self._pauses = Backoff(first_pause_s, _CALM_S)
        self._newest_s = -math.inf
        self._count = 0

    def note(self, reason: str, now_s: float) -> OSError:
        """Count a fault and return its error: UnusableError once there were too many in succession."""
        if now_s - self._newest_s > _CALM_S:
            self._count = 0
            self._pauses.reset()
        self.pause_s = self._pauses.next_delay()
        self._count += 1
        self._newest_s = now_s
        if self._count < MAX_FAULTS:
            return OSError(reason)
        return UnusableError(
            f"{MAX_FAULTS} internal errors in succession, see the log; fix their cause and restart the engine"
        )
