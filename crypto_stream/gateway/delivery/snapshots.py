"""Snapshots, encoded once for all who wish for the same symbols."""

from __future__ import annotations

from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.subscriptions import Symbols
from crypto_stream.gateway.mirror import Mirror

# Snapshots kept, each of other symbols; a viewer of all hundred instruments needs 100 kB for its own.
_MOST = 32


class Snapshots:
    """Keep the newest snapshot of each of the sets of symbols that were asked for last."""

    def __init__(self, mirror: Mirror, counters: DeliveryMetrics) -> None:
        """Show the quotes of `mirror`."""
        self._mirror = mirror
        self._counters = counters
        self._kept: dict[Symbols, tuple[int, Frame]] = {}  # with the mirror's version, oldest first

    def of(self, symbols: Symbols) -> Frame:
        """Return the frame with all that is known of these symbols now."""
        version, frame = self._kept.pop(symbols, (None, None))
        if frame is None or version != self._mirror.version:
            frame = event("snapshot", [one for one in self._mirror.listed() if symbols.has(one.symbol)])
            self._counters.encoded += 1
        self._kept[symbols] = self._mirror.version, frame
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]
        return frame
