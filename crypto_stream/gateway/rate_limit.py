"""A client's rate limit. Pure: callers pass the time (monotonic seconds)."""

from __future__ import annotations

# So many refused messages within this time are abuse, not haste.
MAX_REFUSALS = 1_000
REFUSALS_WITHIN_S = 10.0
# Every further kilobyte counts as another message.
_BYTES_PER_MESSAGE = 1024


def cost_of(size: int) -> int:
    """Return how many messages one of `size` bytes counts as."""
    return 1 + size // _BYTES_PER_MESSAGE


class RateLimit:
    """A token bucket: `rate` messages a second, and bursts of one second's worth unless `burst` says more."""

    __slots__ = ("_at_s", "_burst", "_rate", "_refused", "_refused_cost", "_since_s", "_tokens")

    def __init__(self, rate: int, now_s: float, burst: int = 0) -> None:
        self._rate = rate
        self._burst = burst or rate
        self._tokens = float(self._burst)
        self._at_s = self._since_s = now_s
        self._refused, self._refused_cost = 0, 1

    def allows(self, now_s: float, cost: int = 1) -> bool:
        """Return whether one more message is allowed now; it counts as `cost` messages."""
        tokens = self._tokens + (now_s - self._at_s) * self._rate
        self._at_s = now_s
        if tokens >= min(cost, self._burst):
            self._tokens = min(tokens, float(self._burst)) - cost
            return True
        self._tokens = tokens
        if now_s - self._since_s > REFUSALS_WITHIN_S:
            self._since_s, self._refused = now_s, 0
        self._refused_cost = min(cost, self._burst)
        self._refused += self._refused_cost
        return False

    def pause_s(self) -> float:
        """Return for how many seconds to stop reading from a client after the latest refusal.

        It is half the time until there are tokens again: a flood costs little, yet a client that keeps
        flooding collects refusals until it is `abusive`.
        """
        return 0.5 * self._refused_cost / self._rate

    def abusive(self) -> bool:
        """Return whether the client was refused so often that it should be disconnected."""
        return self._refused >= MAX_REFUSALS
