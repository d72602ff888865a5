"""Faults of ours while orders are worked on: each is logged, and somebody deals with what it leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Guard:
    """Call what may have a fault; where it has, log that and call `broken`."""

    def __init__(self, broken: Callable[[], None]) -> None:
        self._broken = broken

    def __call__(self, call: Callable[..., object], *values: object) -> bool:
        """Call it with these values, and say whether it had no fault."""
        try:
            call(*values)
        except Exception:
            log.exception("a fault of this server while it worked on orders")
            self._broken()
            return False
        return True
