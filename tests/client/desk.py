"""A small order gateway on a real socket that answers as a test tells it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from crypto_stream.client import OrderClient

CLIENT_ID = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"
ORDER_ID = "11111111-1111-4111-8111-111111111111"
# Told of each request: its type, its message, the connection, and how many connections there were before.
Behaviour = Callable[[int, dict[str, Any], "Desk", int], Awaitable[None]]


class Desk:
    """One gateway; `asked` are the requests of all connections, `paths` what they connected to."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self.paths: list[str] = []
        self.owners: list[str | None] = []
        self.connections: list[ServerConnection] = []
        self.url = ""

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self.owners.append(connection.request.headers.get("X-Client-Id"))
        self.connections.append(connection)
        number = len(self.connections) - 1
        async for text in connection:
            envelope = json.loads(text)
            self.asked.append((envelope["messageType"], envelope["message"]))
            await self._behave(envelope["messageType"], envelope["message"], self, number)

    async def say(self, kind: int, **message: Any) -> None:
        """Send a message on the newest connection."""
        await self.connections[-1].send(json.dumps({"messageType": kind, "message": message}))

    async def report(self, seq: int, request_id: int | None = None, **changed: Any) -> None:
        """Send an ExecutionReport."""
        await self.say(
            3, **{**_REPORT, "seq": seq, "exec_id": f"e{seq}", "request_id": request_id, **changed}
        )

    def cut(self) -> None:
        """End the newest connection as a dying process does."""
        self.connections[-1].transport.abort()


@asynccontextmanager
async def desk(behave: Behaviour) -> AsyncIterator[Desk]:
    """Serve on a free port."""
    made = Desk(behave)
    async with serve(made.serve, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield made


@asynccontextmanager
async def ordering(behave: Behaviour, timeout_s: float = 10.0) -> AsyncIterator[tuple[Desk, OrderClient]]:
    """Serve, and connect a client to it."""
    async with (
        desk(behave) as made,
        OrderClient(made.url, client_id=CLIENT_ID, timeout_s=timeout_s) as orders,
    ):
        yield made, orders


def listed(**changed: Any) -> dict[str, Any]:
    """Make an order as OrdersList has it."""
    return {**_ORDER, **changed}


_ORDER = {
    "creation_time": 1, "change_time": 2, "status": 1, "side": 1, "price": "87", "amount": "10",
    "instrument": "eurrub", "order_id": ORDER_ID, "type": "limit", "time_in_force": "gtc",
    "client_order_id": None, "cum_amount": "0", "leaves_amount": "10", "avg_price": None,
}  # fmt: skip
_REPORT = {
    "order_id": ORDER_ID, "order_status": 1, "client_order_id": None, "exec_type": "new",
    "instrument": "eurrub", "side": 1, "type": "limit", "time_in_force": "gtc", "amount": "10", "price": "87",
    "last_amount": None, "last_price": None, "cum_amount": "0", "leaves_amount": "10", "avg_price": None,
    "source": None, "reason": None, "time": 1,
}  # fmt: skip
