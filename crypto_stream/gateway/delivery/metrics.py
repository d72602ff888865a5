"""Counters of delivery and order sessions, exported at /metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from crypto_stream.gateway.refusals import Refusals

# Upper bounds in seconds.
_FLUSH_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Histogram:
    """Counts of values per bucket."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper bounds of all buckets but the last."""
        self.bounds = bounds
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """List each bound with the cumulative count of values, as Prometheus expects."""
        seen = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            seen += count
            rows.append((bound, seen))
        return rows


@dataclass
class DeliveryMetrics:
    """Totals since the start of this gateway."""

    flushes: Counter[int] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    encoded: int = 0
    skipped: int = 0
    caught_up: int = 0
    disconnected_slow: int = 0
    refused: int = 0
    prebuilt: int = 0
    refused_requests: Counter[str] = field(default_factory=Counter)
    ended_connections: Counter[str] = field(default_factory=Counter)
    ended_sessions: Counter[str] = field(default_factory=Counter)
    accept_pauses: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    refused_events: Counter[str] = field(default_factory=Counter)
    refused_packets: Counter[str] = field(default_factory=Counter)
    history_refusals: int = 0
    flush_s: Histogram = field(default_factory=lambda: Histogram(_FLUSH_S))
    latency_s: dict[int, Histogram] = field(default_factory=dict)

    def latency(self, interval_ms: int, seconds: float) -> None:
        """Record the age of a flush's newest quote once all members were served."""
        self.latency_s.setdefault(interval_ms, Histogram(_LATENCY_S)).observe(max(0.0, seconds))


@dataclass
class OrderMetrics:
    """Counters of order sessions: totals since the start of this gateway.

    `sessions` and `subscriptions` are open now; at most `backlog` bytes are queued for slow clients now.
    """

    sessions: int = 0
    subscriptions: int = 0
    backlog: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    reports: int = 0
    updates: int = 0
    encoded: int = 0
    disconnected: Counter[str] = field(default_factory=Counter)
