"""What order sessions count; shown at /metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class OrderCounters:
    """Totals since the start of this gateway; `sessions` are open now."""

    sessions: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    reports: int = 0
    updates: int = 0
    encoded: int = 0
    disconnected: Counter[str] = field(default_factory=Counter)
