"""Faults of connections: refused, cut, closed, frozen, announced to end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

from tests.fakes.fault import Fault

if TYPE_CHECKING:
    from tests.fakes.client import Client

_REASONS = {1008: "Too many requests", 1011: "internal error", 1012: "service restart", 4004: "no data"}
_WAITS_S = {418: 5, 429: 5}  # Retry-After where none is given


class Refuse(Fault):
    """The port is closed, and open connections are cut."""

    async def start(self) -> None:
        self.venue.cut_all()
        await self.venue.unlisten()

    async def stop(self) -> None:
        await super().stop()
        await self.venue.listen()


class Drop(Fault):
    """Every connection ends with a TCP RST; new ones are fine."""

    async def start(self) -> None:
        self.venue.cut_all(reset=True)


class HalfOpen(Fault):
    """Nothing is read or written any more, and nothing is closed; new connections get no answer."""

    mute = True

    async def start(self) -> None:
        for client in self.venue.clients:
            client.connection.transport.pause_reading()

    async def stop(self) -> None:
        await super().stop()
        for client in self.venue.clients:
            client.connection.transport.resume_reading()

    async def upgrade(self, connection: ServerConnection) -> Response | None:
        await self.over.wait()
        return None

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        yield from ()


class Close(Fault):
    """Every connection is closed with the given code (1006: cut); new ones are fine."""

    default = 1011

    async def start(self) -> None:
        code = int(self.numbers[0])
        for client in list(self.venue.clients):
            self.venue.soon(client.close(code, _REASONS.get(code, "")))


class Http(Fault):
    """Every handshake is answered with a status (`429,35`: with that Retry-After); open ones are cut."""

    default = 503

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.status = HTTPStatus(int(self.numbers[0]))
        self.wait_s = int(self.numbers[1]) if len(self.numbers) > 1 else _WAITS_S.get(self.status, 0)

    async def start(self) -> None:
        self.venue.cut_all()

    async def upgrade(self, connection: ServerConnection) -> Response | None:
        response = connection.respond(self.status, "refused\n")
        if self.wait_s:
            response.headers["Retry-After"] = str(self.wait_s)
        return response


class SlowHandshake(Fault):
    """Each handshake takes the given seconds; open connections are cut."""

    default = 30

    async def start(self) -> None:
        self.venue.cut_all()

    async def upgrade(self, connection: ServerConnection) -> Response | None:
        try:
            await asyncio.wait_for(self.over.wait(), self.numbers[0])
        except TimeoutError:
            return None
        return None


class Moving(Fault):
    """A shutdown is announced to open connections, which are closed after the given seconds."""

    default = 5

    async def start(self) -> None:
        announced = list(self.venue.clients)
        for client in announced:
            client.send(self.venue.announcement())
        self.venue.soon(self._close(announced))

    async def _close(self, announced: list[Client]) -> None:
        await asyncio.sleep(self.numbers[0])
        for client in announced:
            self.venue.soon(client.close(1001, "going away"))


class AcceptAndClose(Fault):
    """Every connection is accepted and closed at once, with the given code."""

    default = 1000

    async def start(self) -> None:
        for client in list(self.venue.clients):
            self.venue.soon(client.close(int(self.numbers[0])))

    async def opened(self, client: Client) -> None:
        await client.close(int(self.numbers[0]))
