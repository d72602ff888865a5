"""The bus as both halves see it; each way of carrying it is a file beside this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from crypto_stream.bus.messages import Ask, Snapshot, ToGateway
from crypto_stream.bus.orders import Command, OrderCommands, OrderNews

MAX_MESSAGE = 64 * 1024 * 1024  # bytes; a longer one is a broken peer
SILENCE_S = 5.0  # the engine beats each second; this long without a word and its prices are live no more
WATCH_AGAIN_S = 10.0  # a gateway says again what it watches
WATCH_FORGOTTEN_S = 30.0  # what was not said again for so long is watched no more


class EnginePort(Protocol):
    """The engine's end, on asyncio."""

    def publish(self, message: ToGateway) -> None:
        """Hand `message` to every gateway without waiting; one that is behind gets a new Snapshot later."""

    def send(self, gateway: str, message: ToGateway) -> None:
        """Hand `message` to one gateway without waiting; nothing happens when it has left."""

    async def keep(self) -> None:
        """Look after what the bus needs outside of this process, for ever."""

    def tell(self, gateway: str, news: OrderNews) -> bool:
        """Hand order news to one gateway, never skipped; False: give no more before `Backend.drained`."""


class Backend(Protocol):
    """What the engine's end asks of the engine."""

    def snapshot(self) -> Snapshot:
        """Return the whole present state."""

    async def answer(self, gateway: str, ask: Ask) -> Any:
        """Answer one request of a gateway; RefusedError carries code and reason back."""

    def orders(self, gateway: str, commands: list[Command]) -> None:
        """Take what the sessions of one gateway ask about orders; what is to be told follows by `tell`."""

    def drained(self, gateway: str) -> None:
        """Go on to tell a gateway, which has read what it was told."""

    def left(self, gateway: str) -> None:
        """Forget what this gateway had asked to watch, and its sessions."""


class GatewayPort(Protocol):
    """A gateway's end: blocking calls on plain sockets and threads, which green servers make green."""

    def run(self, receive: Callable[[Sequence[ToGateway]], None], reset: Callable[[], None]) -> None:
        """Connect, deliver, reconnect for ever; `receive` gets all that one read brought, at once.

        `reset` is called when what was asked may be lost: a connection has ended, or none can be had. What
        was received stays true until nothing came for SILENCE_S.
        """

    def ask(self, ask: Ask, timeout_s: float = 5.0) -> bytes:
        """Send one request, return its answer as msgpack; raise BusError (no answer) or RefusedError."""

    def send(self, commands: OrderCommands) -> None:
        """Send what sessions ask about orders; raise BusError when the engine cannot be reached."""

    def close(self) -> None:
        """End `run` soon; every waiting `ask` fails."""
