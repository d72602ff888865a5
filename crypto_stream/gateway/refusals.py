"""Connections that are refused: counted by their reason, and told in the log once a minute for each."""

from __future__ import annotations

import logging
from collections import Counter

from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)


class Refusals:
    """Count and log; shown at /metrics."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()
        self._throttle = LogThrottle()

    def note(self, reason: str, detail: str, address: object) -> None:
        """Note one refusal; `reason` is one of a few codes, `detail` a sentence that says what to change."""
        self.by_reason[reason] += 1
        if self._throttle.due(reason):  # by the reason alone: a client can vary all the rest
            extra = {"reason": reason, "address": address, "detail": detail}
            log.warning("a connection is refused", extra={**extra, "so_far": self.by_reason[reason]})
