"""Clocks for tests, set by hand."""

from __future__ import annotations

import time

from crypto_stream.market.clock import Boot, EngineClock

MS = 1_000_000


class SetClocks:
    """The clocks of a machine, which stand still unless they are moved."""

    def __init__(self, wall_ms: int | None = None) -> None:
        """Start at the real time, or at `wall_ms`."""
        self.wall = time.time_ns() // MS if wall_ms is None else wall_ms
        self.monotonic = self.running = 50_000 * MS
        self.boot_name: str | None = "first"

    def pass_by(self, ms: int) -> None:
        """Advance all of them."""
        self.wall += ms
        self.monotonic += ms * MS
        self.running += ms * MS

    def sleep(self, ms: int) -> None:
        """Let the machine sleep."""
        self.wall += ms
        self.running += ms * MS

    def reboot(self, name: str, ms: int = 20_000) -> None:
        """Restart the machine."""
        self.wall += ms
        self.monotonic = self.running = 10_000 * MS
        self.boot_name = name

    def wall_ms(self) -> int:
        """Return what the wall clock shows."""
        return self.wall

    def monotonic_ns(self) -> int:
        """Return what the monotonic clock shows."""
        return self.monotonic

    def running_ns(self) -> int:
        """Return what the clock that includes sleep shows."""
        return self.running

    def boot(self) -> Boot | None:
        """Return the machine's boot."""
        return None if self.boot_name is None else Boot(self.boot_name, self.running // MS)


def engine_clock() -> EngineClock:
    """Create an engine's clock on clocks that stand still."""
    return EngineClock(SetClocks())
