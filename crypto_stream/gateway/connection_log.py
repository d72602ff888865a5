"""Logs viewers that connect and leave: one line each, or a single line for all when there are many."""

from __future__ import annotations

import logging

from crypto_stream.log_throttle import LineBudget

log = logging.getLogger(__name__)

# Lines from one `flush` to the next; a line costs half as much as everything else when a viewer joins.
_MAX_LINES = 20


class ConnectionLog:
    """Logs each client that connects or leaves; beyond `_MAX_LINES` per `flush` they are only counted."""

    def __init__(self) -> None:
        self._budget = LineBudget(_MAX_LINES)

    def connected(self, client: str, address: str | None) -> None:
        """Log that a client has connected."""
        if self._budget.allows("connected"):
            log.info("client connected", extra={"client": client, "address": address})

    def left(self, client: str, reason: str) -> None:
        """Log that a client has left."""
        if self._budget.allows("left"):
            log.info("client left", extra={"client": client, "reason": reason})

    def flush(self) -> None:
        """Log how many got no line of their own; to be called every second."""
        if others := self._budget.omitted():
            log.info("more clients connected or left", extra=dict(others))
        self._budget.renew()
