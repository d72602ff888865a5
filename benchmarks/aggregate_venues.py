"""Many fake venues in one process: `python -m benchmarks.aggregate_venues NAME,NAME COUNT`.

Prints their ports as one line of JSON by name, then reads lines, and answers each with `ok`: `rate NUMBER`
sets the changes per second and symbol of all of them; `end` sends no more and refuses requests over HTTP.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

from benchmarks.feeder import say
from tests.fakes import FAKES


def pairs(count: int) -> list[str]:
    """Name as many pairs, the busy ones of the venues first."""
    return ["btcusdt", "ethusdt", *(f"c{number}usdt" for number in range(count))][:count]


async def main(names: list[str], count: int) -> None:
    """Serve, obey standard input until it ends."""
    async with AsyncExitStack() as stack:
        venues = [await stack.enter_async_context(FAKES[name](pairs(count), rate=0.0)) for name in names]
        say({venue.name: venue.port for venue in venues})
        commands = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            command, *rate = line.decode().split()
            for venue in venues:
                venue.rate = float(rate[0]) if rate else 0.0
                venue.forbids_http = command == "end"
            say("ok")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].split(","), int(sys.argv[2])))
