"""Clocks for tests: each is set by hand."""

from __future__ import annotations

import time

from crypto_stream.market.clock import Boot, EngineClock

MS = 1_000_000


class SetClocks:
    """The clocks of a machine that stand still unless they are moved."""

    def __init__(self, wall_ms: int | None = None) -> None:
        """Show the real time, or `wall_ms`."""
        self.wall = time.time_ns() // MS if wall_ms is None else wall_ms
        self.monotonic = self.running = 50_000 * MS
        self.boot_name: str | None = "first"

    def pass_by(self, ms: int) -> None:
        """Let time pass on all of them."""
        self.wall += ms
        self.monotonic += ms * MS
        self.running += ms * MS

    def sleep(self, ms: int) -> None:
        """Let the machine sleep."""
        self.wall += ms
        self.running += ms * MS

    def reboot(self, name: str, ms: int = 20_000) -> None:
        """Switch the machine off and on."""
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
        """Return what the clock that counts sleep shows."""
        return self.running

    def boot(self) -> Boot | None:
        """Name the run of the machine."""
        return None if self.boot_name is None else Boot(self.boot_name, self.running // MS)


def engine_clock() -> EngineClock:
    """Make an engine's clock whose machine stands still at the present."""
    return EngineClock(SetClocks())
