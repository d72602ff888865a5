"""The wall clock, read in one place."""

from __future__ import annotations

import time


def wall_ms() -> int:
    """Return ms since the epoch; somebody may set this clock, so it measures no duration."""
    return time.time_ns() // 1_000_000
