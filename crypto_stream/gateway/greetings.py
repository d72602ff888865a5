"""What every viewer is told first, `hello` and `status`: encoded once for all who come meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import crypto_stream
from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.delivery.subscriptions import INTERVALS_MS
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.wall_clock import wall_ms

# Seconds for which a status is told unless a state changes: its ages and its time are as old, at most.
_SHARED_S = 0.02


class Greetings:
    """Make the frames of `hello` and `status` from the mirror; `hello` stays while nothing of it changes."""

    def __init__(self, mirror: Mirror, clock: Callable[[], float] = time.monotonic) -> None:
        self._mirror = mirror
        self._clock = clock
        self._said: tuple[Any, ...] = ()
        self._states: tuple[Any, ...] = ()
        self._until_s = 0.0

    def hello(self) -> Frame:
        """Say what is served here."""
        mirror = self._mirror
        known = (mirror.epoch, mirror.catalogue, list(mirror.states()))
        if known != self._said:
            epoch, catalogue, sources = self._said = known
            self._hello = event(
                "hello",
                {
                    "version": crypto_stream.__version__,
                    "epoch": epoch,
                    "symbols": [one.symbol for one in catalogue],
                    "sources": sources,
                    "intervals_ms": INTERVALS_MS,
                },
            )
        return self._hello

    def status(self) -> Frame:
        """Say how the sources are."""
        mirror, now_s = self._mirror, self._clock()
        known = (mirror.verdict(), mirror.states())
        if known != self._states or now_s >= self._until_s:
            self._states, self._until_s = known, now_s + _SHARED_S
            sources = {one.name: {"state": one.state, "age_ms": one.age_ms} for one in mirror.sources(now_s)}
            self._status = event("status", {"time": wall_ms(), "verdict": known[0], "sources": sources})
        return self._status
