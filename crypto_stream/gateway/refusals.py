"""Refused connections: counted by reason, and logged once a minute for each reason."""

from __future__ import annotations

import logging
from collections import Counter

from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)


class Refusals:
    """Counts of refused connections, for /metrics."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self._throttle = LogThrottle()

    def note(self, reason: str, detail: str, address: object) -> None:
        """Count one refusal; `reason` is one of a few codes, `detail` a sentence that says what to change."""
        self.by_reason[reason] += 1
        if self._throttle.due(reason):  # by the reason alone: a client could vary everything else
            extra = {"reason": reason, "address": address, "detail": detail}
            log.warning("connection refused", extra={**extra, "so_far": self.by_reason[reason]})
