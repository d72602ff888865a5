"""Rate-limited logging: neither clients nor a lasting problem can flood the log."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

# At most this many kinds are tracked; beyond that all are forgotten, and each may be logged once more.
_MAX_KINDS = 1000


class LogThrottle:
    """Allow one log line per kind every `every_s` seconds; `clock` returns seconds."""

    def __init__(self, every_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._next: dict[str, float] = {}

    def due(self, kind: str) -> bool:
        """Return whether a line of this `kind` is to be logged now."""
        now = self._clock()
        if now < self._next.get(kind, now):
            return False
        if len(self._next) >= _MAX_KINDS:
            self._next.clear()
        self._next[kind] = now + self._every_s
        return True


class LineBudget:
    """Allow a number of log lines until `renew`; the others are counted by kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines = 0
        self._omitted: Counter[str] = Counter()

    def allows(self, kind: str) -> bool:
        """Return whether a line of this `kind` is to be logged now."""
        if self._lines < self._most:
            self._lines += 1
            return True
        self._omitted[kind] += 1
        return False

    def omitted(self) -> Counter[str]:
        """Return, once, how many lines of each kind were not logged."""
        omitted, self._omitted = self._omitted, Counter()
        return omitted

    def renew(self) -> None:
        """Allow as many lines again."""
        self._lines = 0


class TroubleLog:
    """Log once that something does not work, and once that it works again.

    `reason` is the current problem; None while there is none.
    """

    def __init__(
        self,
        log: logging.Logger,
        fails: str,
        works: str | None = None,
        *,
        level: int = logging.WARNING,
        each_reason: bool = False,
    ) -> None:
        """Log the texts `fails`, at `level`, and `works`, if it is worth a line.

        With `each_reason` it is logged again whenever the reason is another one.
        """
        self.reason: str | None = None
        self._log = log
        self._fails = fails
        self._works = works
        self._level = level
        self._each_reason = each_reason

    def fails(self, reason: str) -> None:
        """Report a failure."""
        if self.reason is None or (self._each_reason and reason != self.reason):
            self._log.log(self._level, self._fails, extra={"reason": reason})
        self.reason = reason

    def works(self, **details: object) -> None:
        """Report success; log `details` if it failed before."""
        if self.reason is not None and self._works is not None:
            self._log.info(self._works, extra=details)
        self.reason = None
