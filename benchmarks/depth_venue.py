"""A venue with books: `python -m benchmarks.depth_venue PAIRS RATE`, a fake Binance of so many pairs.

Each change goes out as a top of book and as the first 20 levels, both with the moment it was sent as the size
of the best bid (seconds of the monotonic clock). Prints its port, and the pairs; runs until it is stopped.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from decimal import Decimal

from tests.fakes import FakeBinance
from tests.fakes.walk import Walk


class Venue(FakeBinance):
    """Writes the moment as the size of the best bid."""

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Make it the size of the top of book; the best level of the book has the same."""
        if what == "top":
            stamp = time.monotonic_ns()
            walk.size = Decimal(f"{stamp // 10**9}.{stamp % 10**9 // 10:08d}")
        return super().frames(walk, what)


async def main(count: int, rate: float) -> None:
    """Serve until cancelled."""
    pairs = [f"c{number:02d}usdt" for number in range(count)]
    async with Venue(pairs, rate=rate, price="60000") as venue:
        sys.stdout.write(json.dumps([venue.port, pairs]) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
