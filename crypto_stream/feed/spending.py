"""How much of a limit is spent: so many of something in a sliding window of time. Pure."""

from __future__ import annotations

from collections import deque

from crypto_stream.feed.handler import Budget


class Spending:
    """Counts what a budget limits; all times are monotonic seconds of the caller."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._times: deque[float] = deque(maxlen=budget.most)

    def delay(self, now_s: float) -> float:
        """Return the seconds until one more is within the budget; 0 if it is now."""
        if len(self._times) < self._budget.most:
            return 0.0
        return max(0.0, self._times[0] + self._budget.seconds - now_s)

    def spend(self, now_s: float) -> None:
        """Count one."""
        self._times.append(now_s)
