"""Who comes and goes, in the log: a line for each while they are few, of a crowd a line for all."""

from __future__ import annotations

import logging
from collections import Counter

log = logging.getLogger(__name__)

# Lines from one `tell` to the next; a line costs as much as half of joining.
_MOST = 20


class Comings:
    """Log each client that comes or leaves; more than a few until the next `tell` are counted instead."""

    def __init__(self) -> None:
        self._lines = 0
        self._others: Counter[str] = Counter()

    def came(self, client: str, address: str | None) -> None:
        """Note that a client connected."""
        if self._may("connected"):
            log.info("client connected", extra={"client": client, "address": address})

    def left(self, client: str, reason: str) -> None:
        """Note that a client left."""
        if self._may("left"):
            log.info("client left", extra={"client": client, "reason": reason})

    def tell(self) -> None:
        """Tell how many had no line of their own; to be called each second."""
        if self._others:
            log.info("more clients came or left", extra=dict(self._others))
            self._others.clear()
        self._lines = 0

    def _may(self, what: str) -> bool:
        if self._lines < _MOST:
            self._lines += 1
            return True
        self._others[what] += 1
        return False
