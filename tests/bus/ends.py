"""Both ends of a bus under test, which record what they are told, and the buses to choose from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from crypto_stream.bus.interface import Backend, EnginePort, GatewayPort
from crypto_stream.bus.local_engine import LocalEnginePort
from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.bus.messages import GetTopic, Pin, Quotes, RequestBody, Snapshot, ToGateway, Watch, Watched
from crypto_stream.bus.orders import Command
from crypto_stream.bus.redis.engine import RedisEnginePort
from crypto_stream.bus.redis.gateway import RedisGatewayPort
from crypto_stream.bus.redis.relays import parse_relays
from crypto_stream.errors import RefusedError
from tests.waiting import DEADLINE_S


class Engine:
    """A backend whose snapshot carries a counter and which answers every request in a known way."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.gone: list[str] = []
        self.drained_gateways: list[str] = []
        self.commands: list[tuple[str, Command]] = []
        self.watching: dict[str, dict[str, list[str]]] = {}
        self.given_up = 0

    def snapshot(self) -> Snapshot:
        self.snapshots += 1
        return Snapshot("e1", self.snapshots, [], [], [], None, {})

    async def answer(self, gateway: str, ask: RequestBody) -> Any:
        if isinstance(ask, GetTopic):
            if ask.key == "broken":
                raise ZeroDivisionError(ask.key)
            return {"symbol": ask.key}
        if isinstance(ask, Pin):
            raise RefusedError("unknown_source", f"no source {ask.source}")
        if isinstance(ask, Watch):
            self.watching[gateway] = ask.keys
            return Watched([], [])
        try:
            await asyncio.sleep(DEADLINE_S)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return None

    def orders(self, gateway: str, commands: list[Command]) -> None:
        self.commands += [(gateway, command) for command in commands]

    def drained(self, gateway: str) -> None:
        self.drained_gateways.append(gateway)

    def left(self, gateway: str) -> None:
        self.gone.append(gateway)


class Gateway:
    """A gateway end that runs in a thread and keeps what it received; `pause` is called before each.

    `losses` counts the resets since the first message: earlier ones mean that there was no engine yet.
    """

    def __init__(self, port: GatewayPort, pause: Callable[[], None] = lambda: None) -> None:
        self.received: list[ToGateway] = []
        self.resets = self.losses = 0
        self.port = port
        self._pause = pause
        self._thread = threading.Thread(target=port.run, args=(self._take, self._on_reset))
        self._thread.start()

    def _take(self, messages: Sequence[ToGateway]) -> None:
        for message in messages:
            self._pause()
            self.received.append(message)

    def _on_reset(self) -> None:
        self.resets += 1
        self.losses += bool(self.received)

    def all(self, kind: type[ToGateway]) -> list[Any]:
        """List what was received of one kind."""
        return [message for message in list(self.received) if isinstance(message, kind)]

    def seqs(self) -> list[int]:
        """List the numbers of the quotes that were received."""
        return [message.seq for message in self.all(Quotes)]

    def close(self) -> None:
        """Stop, which must not take long."""
        self.port.close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


class Bus(Protocol):
    """One implementation, ready to be used."""

    def engine(self, backend: Backend, **options: int) -> AbstractAsyncContextManager[EnginePort]:
        """Return an engine's end."""

    def gateway(self) -> GatewayPort:
        """Return a gateway's end."""


class LocalBus:
    """The bus of one machine, at a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def engine(self, backend: Backend, **options: int) -> AbstractAsyncContextManager[EnginePort]:
        return LocalEnginePort(self._path, backend, **options)

    def gateway(self) -> GatewayPort:
        return LocalGatewayPort(self._path)


class RedisBus:
    """The bus over relays: the engine's and the gateways' may differ, where something stands between them."""

    def __init__(self, urls: str, gateways_urls: str | None = None) -> None:
        self._engine = parse_relays(urls)
        self._gateway = parse_relays(gateways_urls or urls)

    def engine(self, backend: Backend, **options: int) -> AbstractAsyncContextManager[EnginePort]:
        return RedisEnginePort(self._engine, backend, **options)

    def gateway(self) -> GatewayPort:
        return RedisGatewayPort(self._gateway, first=0)


@asynccontextmanager
async def serving(bus: Bus, engine: Backend, **options: int) -> AsyncIterator[EnginePort]:
    """Run an engine's end."""
    async with bus.engine(engine, **options) as port, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(port.run())
        try:
            yield port
        finally:
            running.cancel()


@asynccontextmanager
async def joined(bus: Bus) -> AsyncIterator[Gateway]:
    """Run a gateway's end; it need not have joined yet."""
    gateway = Gateway(bus.gateway())
    try:
        yield gateway
    finally:
        await asyncio.to_thread(gateway.close)
