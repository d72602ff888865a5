"""How fast one client may ask. Pure: the time is handed in (monotonic seconds)."""

from __future__ import annotations

# Refusals within this time that are abuse, not haste.
MOST_REFUSED = 1_000
WITHIN_S = 10.0


class RateLimit:
    """Allow `rate` messages a second, and a second's worth at once after a pause (a token bucket)."""

    __slots__ = ("_at_s", "_left", "_rate", "_refused", "_since_s")

    def __init__(self, rate: int, now_s: float) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at_s = self._since_s = now_s
        self._refused = 0

    def allows(self, now_s: float, cost: int = 1) -> bool:
        """Say whether one more message is allowed now, and count it as `cost` messages."""
        left = self._left + (now_s - self._at_s) * self._rate
        self._at_s = now_s
        if left >= min(cost, self._rate):
            self._left = min(left, float(self._rate)) - cost
            return True
        self._left = left
        if now_s - self._since_s > WITHIN_S:
            self._since_s, self._refused = now_s, 0
        self._refused += 1
        return False

    def rest_s(self) -> float:
        """Return for how many seconds who was refused a message is not read: half of what it has to wait.

        So a flood costs little, and who does not stop is still found out.
        """
        return 0.5 / self._rate

    def abused(self) -> bool:
        """Say whether so much was refused that the client cannot mean well."""
        return self._refused >= MOST_REFUSED
