"""What delivery counts; shown at /metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Counters:
    """Totals since the start of this gateway."""

    flushes: Counter[int] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    encoded: int = 0
    skipped: int = 0
    caught_up: int = 0
    disconnected_slow: int = 0
    refused: int = 0
