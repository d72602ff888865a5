"""Snapshots, encoded once for all viewers that subscribe to the same symbols."""

from __future__ import annotations

from collections.abc import Callable

from crypto_stream.gateway.delivery.frames import Frame, event
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import Symbols

# Cached snapshots, each of a different set of symbols: of all hundred instruments one takes 100 kB.
_MAX_CACHED = 32
# A snapshot is sent again, followed by what has changed since, while it is at most this old and at most one
# in so many of its quotes has changed: one of fewer quotes is encoded again as soon as one of them changes.
_MAX_AGE_S = 1.0
_ONE_IN = 10


class Snapshots:
    """Cache of the snapshots for the most recently requested sets of symbols.

    One of 2,000 quotes takes 20 ms to encode and compress, and some quote changes all the time: encoded anew
    for each of thousands of viewers that reconnect, snapshots would keep the gateway busy for minutes.
    """

    def __init__(self, mirror: Mirror, counters: DeliveryMetrics, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._mirror = mirror
        self._counters = counters
        self._clock = clock
        self._cached: dict[Symbols, _Snapshot] = {}  # oldest first

    def of(self, symbols: Symbols) -> list[tuple[str, Frame]]:
        """Return events that together show the current quotes of these symbols, as pairs of name and frame.

        They are `snapshot` and, if any quote has changed since it was encoded, `quotes` with the whole newest
        ones of those that did.
        """
        snapshot = self._cached.pop(symbols, None)
        if snapshot is None or not self._update(snapshot, symbols):
            snapshot = _Snapshot(self._mirror, symbols, self._clock() + _MAX_AGE_S)
            self._counters.encoded += 1
        self._cached[symbols] = snapshot
        if len(self._cached) > _MAX_CACHED:
            del self._cached[next(iter(self._cached))]
        return snapshot.events

    def _update(self, snapshot: _Snapshot, symbols: Symbols) -> bool:
        """Make the snapshot's events show the current quotes; False if a new one must be encoded."""
        mirror = self._mirror
        if snapshot.catalogue is not mirror.catalogue or self._clock() > snapshot.reusable_until_s:
            return False
        if snapshot.current_at == mirror.version:
            return True
        changed = mirror.changed(symbols, snapshot.version)
        if len(changed) * _ONE_IN > snapshot.size:
            return False
        snapshot.current_at = mirror.version
        snapshot.events = snapshot.events[:1]
        if changed:
            snapshot.events.append(("quotes", event("quotes", [mirror.quotes[symbol] for symbol in changed])))
            self._counters.encoded += 1
        return True


class _Snapshot:
    """An encoded snapshot of `size` quotes at the mirror's `version`; `events` are current at `current_at`.

    Every change of the instruments, and of the epoch, comes with another `catalogue`.
    """

    __slots__ = ("catalogue", "current_at", "events", "reusable_until_s", "size", "version")

    def __init__(self, mirror: Mirror, symbols: Symbols, reusable_until_s: float) -> None:
        self.catalogue = mirror.catalogue
        self.version = self.current_at = mirror.version
        self.reusable_until_s = reusable_until_s
        quotes = mirror.listed(symbols)
        self.size = len(quotes)
        self.events = [("snapshot", event("snapshot", quotes))]
