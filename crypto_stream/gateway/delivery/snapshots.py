"""Snapshots, encoded once for all viewers that subscribe to the same symbols."""

from __future__ import annotations

from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import Symbols

# Cached snapshots, each of a different set of symbols: of all hundred instruments one takes 100 kB.
_MAX_CACHED = 32


class Snapshots:
    """Cache of the snapshots for the most recently requested sets of symbols."""

    def __init__(self, mirror: Mirror, counters: DeliveryMetrics) -> None:
        self._mirror = mirror
        self._counters = counters
        self._cached: dict[Symbols, tuple[int, Frame]] = {}  # with the mirror's version, oldest first

    def of(self, symbols: Symbols) -> Frame:
        """Return a frame with the current quotes of these symbols."""
        version, frame = self._cached.pop(symbols, (None, None))
        if frame is None or version != self._mirror.version:
            quotes, positions = self._mirror.quotes, self._mirror.catalogue.positions
            known = [quotes[symbol] for symbol in symbols.among(positions) if symbol in quotes]
            frame = event("snapshot", known)
            self._counters.encoded += 1
        self._cached[symbols] = self._mirror.version, frame
        if len(self._cached) > _MAX_CACHED:
            del self._cached[next(iter(self._cached))]
        return frame
