"""The loop that keeps every instrument served by the best live source, for ever."""

from __future__ import annotations

import asyncio
import time

from crypto_stream.feed.failover_loop import FailoverLoop, Listener


async def connect_to_handler(board: FailoverLoop, listener: Listener) -> None:
    """Connect to the first handler, fail over when it is lost or silent, fail back; never return."""
    async with asyncio.TaskGroup() as tasks:
        for line in board.lines.values():
            tasks.create_task(line.run())
        while True:
            board.look(time.monotonic_ns(), listener)
            await board.wait()
