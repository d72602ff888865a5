"""Log lines for viewers that connect and leave: one each while they are few, one in all for a crowd."""

from __future__ import annotations

import logging

from crypto_stream.log_throttle import LineBudget

log = logging.getLogger(__name__)

# Lines from one `flush` to the next; a line costs half as much as all else about joining.
_MAX_LINES = 20


class ConnectionLog:
    """Log each client that connects or leaves; beyond a few until the next `flush` they are counted."""

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
        """Log how many had no line of their own; to be called every second."""
        if others := self._budget.omitted():
            log.info("more clients connected or left", extra=dict(others))
        self._budget.renew()
