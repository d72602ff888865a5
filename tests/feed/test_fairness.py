"""A flooding venue does not starve other tasks."""

from __future__ import annotations

import asyncio

from websockets.asyncio.server import ServerConnection, serve

from crypto_stream.feed.connection import open_connection
from crypto_stream.feed.handler import Limits, Opening
from tests.waiting import until

_FRAMES = 5_000


async def test_other_tasks_run_while_a_thousand_frames_are_queued() -> None:
    """One read may return thousands of small frames; after every fifty other tasks run."""

    async def flood(connection: ServerConnection) -> None:
        await connection.send("first")
        for _ in range(_FRAMES):
            connection.transport.write(b"\x81\x01x")  # a text frame of one byte
        await connection.wait_closed()

    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with serve(flood, "127.0.0.1", 0, compression=None) as server, asyncio.TaskGroup() as tasks:
        port = next(iter(server.sockets)).getsockname()[1]
        opened = open_connection(
            f"ws://127.0.0.1:{port}", Opening("/"), Limits(), connect_s=5.0, sent=lambda request: None
        )
        async with opened as connection:
            running = tasks.create_task(others())
            read: list[bytes] = []
            reading = tasks.create_task(connection.read(read.extend))
            await until(lambda: len(read) == _FRAMES + 1)
            reading.cancel()
            running.cancel()

    assert turns >= _FRAMES // 50
