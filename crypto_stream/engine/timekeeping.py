"""The machine's clocks, and the task that checks and logs them while the engine runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from crypto_stream.feed.sources import Generator, Source
from crypto_stream.market.clock import Boot, EngineClock
from crypto_stream.wall_clock import wall_ms

log = logging.getLogger(__name__)

_CHECK_S = 0.25


class MachineClocks:
    """The clocks of this machine."""

    def wall_ms(self) -> int:
        """Return the wall clock's ms since the epoch."""
        return wall_ms()

    def monotonic_ns(self) -> int:
        """Return a monotonic time, for durations."""
        return time.monotonic_ns()

    def running_ns(self) -> int:
        """Return CLOCK_BOOTTIME if the system has it, else the monotonic time."""
        clock = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic_ns() if clock is None else time.clock_gettime_ns(clock)

    def boot(self) -> Boot | None:
        """Return Linux's boot id and uptime; None on other systems."""
        try:
            name = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
            up_s = float(Path("/proc/uptime").read_text("ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return None
        return Boot(name, round(up_s * 1000))


def live_venues(sources: Iterable[Source]) -> list[str]:
    """Return the sources with a clock of their own: neither recordings nor generators."""
    return [source.name for source in sources if source.is_real_time and not isinstance(source, Generator)]


async def check_clocks(clock: EngineClock) -> None:
    """Check the clocks until cancelled, and log what changes."""
    while True:
        clock.check()
        while clock.notes:
            note = clock.notes.popleft()
            log.log(
                logging.WARNING if note.warning else logging.INFO,
                note.text,
                extra={"ahead_s": round(note.ahead_ms / 1000, 1)},
            )
        await asyncio.sleep(_CHECK_S)
