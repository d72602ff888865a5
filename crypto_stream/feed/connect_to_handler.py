"""The failover loop, which serves every instrument from its best live source."""

from __future__ import annotations

import asyncio
import time

from crypto_stream.feed.failover_loop import FailoverLoop, Listener


async def connect_to_handler(loop: FailoverLoop, listener: Listener) -> None:
    """Connect to the first handler, fail over if it is lost or silent, fail back; run until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for source in loop.sources.values():
            tasks.create_task(source.run())
        while True:
            loop.run_once(time.monotonic_ns(), listener)
            await loop.wait()
