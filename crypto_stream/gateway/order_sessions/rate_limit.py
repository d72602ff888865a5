"""A client's rate limit. Pure: callers pass the time (monotonic seconds)."""

from __future__ import annotations

# So many refusals within this time are abuse, not haste.
MAX_REFUSALS = 1_000
REFUSALS_WITHIN_S = 10.0


class RateLimit:
    """A token bucket: `rate` messages a second, and bursts of one second's worth."""

    __slots__ = ("_at_s", "_rate", "_refused", "_since_s", "_tokens")

    def __init__(self, rate: int, now_s: float) -> None:
        self._rate = rate
        self._tokens = float(rate)
        self._at_s = self._since_s = now_s
        self._refused = 0

    def allows(self, now_s: float, cost: int = 1) -> bool:
        """Return whether one more message is allowed now; it counts as `cost` messages."""
        tokens = self._tokens + (now_s - self._at_s) * self._rate
        self._at_s = now_s
        if tokens >= min(cost, self._rate):
            self._tokens = min(tokens, float(self._rate)) - cost
            return True
        self._tokens = tokens
        if now_s - self._since_s > REFUSALS_WITHIN_S:
            self._since_s, self._refused = now_s, 0
        self._refused += 1
        return False

    def pause_s(self) -> float:
        """Return for how many seconds to stop reading from a client after a refusal.

        It is half the time until the next token: a flood costs little, yet a client that keeps flooding
        collects refusals until it is `abusive`.
        """
        return 0.5 / self._rate

    def abusive(self) -> bool:
        """Return whether the client was refused so often that it should be disconnected."""
        return self._refused >= MAX_REFUSALS
