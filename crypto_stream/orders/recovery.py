"""Handling of internal errors while processing orders."""

from __future__ import annotations

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class FaultRecovery:
    """Calls functions; if one raises, logs the exception and calls `on_fault`."""

    def __init__(self, on_fault: Callable[[], None]) -> None:
        self._on_fault = on_fault

    def __call__(self, call: Callable[..., object], *values: object) -> bool:
        """Call the function with `values`; return whether it succeeded."""
        try:
            call(*values)
        except Exception:
            log.exception("internal error while processing orders")
            self._on_fault()
            return False
        return True
