"""The loop that keeps every instrument served by the best live source, for ever."""

from __future__ import annotations

import asyncio
import time

from crypto_stream.feed.failover_loop import FailoverLoop, Listener


async def connect_to_handler(loop: FailoverLoop, listener: Listener) -> None:
    """Connect to the first handler, fail over when it is lost or silent, fail back; never return."""
    async with asyncio.TaskGroup() as tasks:
        for source in loop.sources.values():
            tasks.create_task(source.run())
        while True:
            loop.look(time.monotonic_ns(), listener)
            await loop.wait()
