"""A client of `/ws`, and helpers to play the engine's part: the commands received and the answers."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from crypto_stream.bus.orders import Attach, Command, Detach, Place, Received, Reported
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.orders import ExecType, Order, Report, Status
from tests.gateway.engine import INSTRUMENTS, Engine, now_ms
from tests.waiting import DEADLINE_S, until

ORDER_ID = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"
OWNER = "0b8f7c1e-3d51-4c37-9a59-6f7f0c6a1b11"
EXCHANGED = [
    *INSTRUMENTS,
    Instrument("eurusd", "EUR", "USD", synthetic=True),
    Instrument("eurrub", "EUR", "RUB", synthetic=True),
    Instrument("usdrub", "USD", "RUB", synthetic=True),
]
PLACE = '{"messageType": 3, "message": {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "87"}}'
_Kind = TypeVar("_Kind", bound=Command)


class Trader:
    """One connection that writes text and reads JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.session = 0

    async def attached(self, engine: Engine) -> None:
        """Wait until the engine knows this session, the only one since its commands were cleared."""
        self.session = (await attached(engine))[1].session

    def asked(self, engine: Engine) -> list[type[Command]]:
        """List the types of this session's commands, except attach and detach."""
        of_ours = [command for _, command in engine.commands if command.session == self.session]
        return [type(command) for command in of_ours if not isinstance(command, Attach | Detach)]

    async def send(self, text: str | bytes) -> None:
        """Send a message unchanged."""
        await self.connection.send(text)

    async def tell(self, number: int, **message: Any) -> None:
        """Send a message of this type."""
        await self.send(json.dumps({"messageType": number, "message": message}))

    async def raw(self) -> str:
        """Read one message as text."""
        async with asyncio.timeout(DEADLINE_S):
            return str(await self.connection.recv())

    async def got(self) -> dict[str, Any]:
        """Read one message."""
        read: dict[str, Any] = json.loads(await self.raw())
        return read

    async def answer(self, text: str | bytes) -> dict[str, Any]:
        """Send a message, read the next one."""
        await self.send(text)
        return await self.got()

    async def until(self, number: int) -> dict[str, Any]:
        """Read until a message of this type; return its content."""
        while True:
            got = await self.got()
            if got["messageType"] == number:
                message: dict[str, Any] = got["message"]
                return message

    async def one_of_each(self, *numbers: int) -> list[dict[str, Any]]:
        """Read until there was a message of each of these types; return the content of the latest."""
        found: dict[int, dict[str, Any]] = {}
        while not found.keys() >= set(numbers):
            got = await self.got()
            found[got["messageType"]] = got["message"]
        return [found[number] for number in numbers]


@asynccontextmanager
async def trading(url: str, query: str = "", path: str = "/ws") -> AsyncIterator[Trader]:
    """Connect."""
    address = url.replace("http", "ws", 1) + path + (f"?{query}" if query else "")
    async with connect(address, open_timeout=DEADLINE_S, max_size=None) as connection:
        yield Trader(connection)


def asked(engine: Engine, kind: type[_Kind]) -> list[tuple[str, _Kind]]:
    """List the commands of one kind so far, each with its gateway."""
    return [(gateway, command) for gateway, command in engine.commands if isinstance(command, kind)]


async def next_asked(engine: Engine, kind: type[_Kind], number: int = 1) -> tuple[str, _Kind]:
    """Wait for a number of commands of one kind; return the last with its gateway."""
    await until(lambda: len(asked(engine, kind)) >= number)
    return asked(engine, kind)[number - 1]


async def attached(engine: Engine, number: int = 1) -> tuple[str, Attach]:
    """Wait until this many sessions have attached; return the last."""
    return await next_asked(engine, Attach, number)


def order(place: Place, **changed: Any) -> Order:
    """Make the order that a command asks for."""
    made = {
        "order_id": ORDER_ID,
        "owner": OWNER,
        "rank": 1,
        "ticket": place.ticket,
        "created_ms": now_ms(),
        "due_ms": now_ms(),
        "status": Status.ACTIVE,
        "changed_ms": now_ms(),
    }
    return Order(**{**made, **changed})


def report(of: Order, seq: int, exec_type: ExecType = ExecType.NEW, **more: Any) -> Report:
    """Make a report on an order."""
    return Report(seq, f"exec-{seq}", exec_type, now_ms(), of, **more)


class Exchange:
    """Answer commands like an engine in which every order is active immediately."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._seqs = itertools.count(1)
        self._done = 0

    def serve(self) -> None:
        """Answer the orders that were placed since the last time."""
        new, self._done = self.engine.commands[self._done :], len(self.engine.commands)
        for gateway, command in new:
            if isinstance(command, Place):
                told = report(order(command), next(self._seqs))
                self.engine.send_orders(gateway, Reported(command.session, command.ref, told))

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            self.serve()
            await asyncio.sleep(0.001)

    def received(self) -> int:
        """Return the highest seq that was acknowledged."""
        return max((command.seq for _, command in asked(self.engine, Received)), default=0)


@asynccontextmanager
async def answering(engine: Engine) -> AsyncIterator[Exchange]:
    """Accept every order immediately."""
    exchange = Exchange(engine)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(exchange.run())
        yield exchange
        serving.cancel()
