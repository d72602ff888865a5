"""The frames that are the same for every viewer, `hello` and `status`: encoded once for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import crypto_stream
from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import INTERVALS_MS
from crypto_stream.wall_clock import wall_ms

# Seconds for which a `status` frame is reused unless a state changes; its time and ages are at most this old.
_STATUS_S = 0.02


class SharedFrames:
    """Makes the frames of `hello` and `status` from the mirror, and caches them while nothing changes."""

    def __init__(self, mirror: Mirror, clock: Callable[[], float] = time.monotonic) -> None:
        self._mirror = mirror
        self._clock = clock
        self._hello_of: tuple[Any, ...] = ()
        self._status_of: tuple[Any, ...] = ()
        self._status_until_s = 0.0

    def hello(self) -> Frame:
        """Return what this gateway serves."""
        mirror = self._mirror
        current = (mirror.epoch, mirror.catalogue, list(mirror.states()))
        if current != self._hello_of:
            epoch, catalogue, sources = self._hello_of = current
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
        """Return the state of the sources."""
        mirror, now_s = self._mirror, self._clock()
        current = (mirror.verdict(), mirror.states())
        if current != self._status_of or now_s >= self._status_until_s:
            self._status_of, self._status_until_s = current, now_s + _STATUS_S
            sources = {one.name: {"state": one.state, "age_ms": one.age_ms} for one in mirror.sources(now_s)}
            self._status = event("status", {"time": wall_ms(), "verdict": current[0], "sources": sources})
        return self._status
