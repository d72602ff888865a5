"""Faults of ours while orders are worked on: each is logged, and somebody deals with what it leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from crypto_stream.orders.clock import Clock

log = logging.getLogger(__name__)


def guarded(broken: Callable[[], None], call: Callable[[], object]) -> bool:
    """Call, and return True; if it has a fault, log that, call `broken`, and return False."""
    try:
        call()
    except Exception:
        log.exception("a fault of this server while it worked on orders")
        broken()
        return False
    return True


class GuardedClock:
    """A clock whose calls may have faults: `broken` is called then."""

    def __init__(self, clock: Clock, broken: Callable[[], None]) -> None:
        """Go by `clock`."""
        self._broken = broken
        self._at = clock.at
        self._soon = clock.soon
        self.now_ms = clock.now_ms
        self.now_s = clock.now_s

    def at(self, due_s: float, call: Callable[[], object]) -> None:
        """Call when `now_s` is at least `due_s`."""
        self._at(due_s, partial(guarded, self._broken, call))

    def soon(self, call: Callable[[], object]) -> None:
        """Call in the next turn of the event loop."""
        self._soon(partial(guarded, self._broken, call))
