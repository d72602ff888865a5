"""python-socketio's ASGI server on uvicorn, with uvloop and httptools.

python -m benchmarks.peers.asgi PORT FEEDER
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import socketio
import uvicorn

PORT, FEEDER = int(sys.argv[1]), int(sys.argv[2])

server = socketio.AsyncServer(async_mode="asgi")
tasks: list[Any] = []  # a task without a reference may be garbage-collected while it runs


async def follow() -> None:
    """Emit each line of the feeder to all clients."""
    reader, _ = await asyncio.open_connection("127.0.0.1", FEEDER, limit=1 << 20)
    while line := await reader.readline():
        await server.emit("quotes", json.loads(line))


async def start() -> None:
    """Start with the server."""
    tasks.append(server.start_background_task(follow))


app = socketio.ASGIApp(server, on_startup=start)
uvicorn.run(app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", log_level="warning")
