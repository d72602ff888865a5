"""When `status` is sent to all viewers. Pure: callers pass the time (monotonic seconds)."""

from __future__ import annotations

from crypto_stream.gateway.mirror import Mirror

_REGULAR_S = 5.0
# Of thousands of instruments some are becoming stale or live all the time; each `status` costs 100 ms for
# 20,000 viewers. A price that becomes stale does not wait for it: that is in the quotes.
_APART_S = 1.0


class StatusSchedule:
    """Regularly, and as soon as the verdict or the state of a source changes, but at most once a second."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._sent: object = None
        self._sent_s = float("-inf")

    def due(self, now_s: float) -> bool:
        """Return whether to send `status` now; it then counts as sent."""
        current = (self._mirror.verdict(), self._mirror.states())
        if now_s < self._sent_s + (_REGULAR_S if current == self._sent else _APART_S):
            return False
        self._sent, self._sent_s = current, now_s
        return True
