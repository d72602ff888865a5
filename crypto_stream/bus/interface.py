"""The interface of the bus between the engine and its gateways; each implementation has files of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from crypto_stream.bus.messages import RequestBody, Snapshot, ToGateway, TopicUpdate
from crypto_stream.bus.orders import Command, OrderCommands, OrderMessages

MAX_MESSAGE = 64 * 1024 * 1024  # bytes; a longer message means that the peer is broken
SILENCE_S = 5.0  # after this long without the engine's heartbeat (one per second) prices are no longer live
WATCH_REFRESH_S = 10.0  # a gateway repeats what it watches this often
WATCH_EXPIRES_S = 30.0  # after this long without a repetition a gateway's watches end


class EnginePort(Protocol):
    """The engine's end, on asyncio."""

    def publish(self, message: ToGateway) -> None:
        """Queue `message` for all gateways; a gateway that is too far behind gets a new Snapshot instead."""

    def send_topic(self, gateways: Sequence[str], update: TopicUpdate) -> None:
        """Queue the update of a topic for the gateways that watch it; those that have left are ignored."""

    async def run(self) -> None:
        """Keep the bus reachable until cancelled; gateways need not find it before."""

    def send_orders(self, gateway: str, messages: OrderMessages) -> bool:
        """Queue order messages for one gateway, never skipped; if False, wait for `Backend.drained`."""


class Backend(Protocol):
    """What the engine's end needs from the engine."""

    def snapshot(self) -> Snapshot:
        """Return the complete current state."""

    async def answer(self, gateway: str, request: RequestBody) -> Any:
        """Answer one request of a gateway; a RefusedError is returned to the gateway."""

    def orders(self, gateway: str, commands: list[Command]) -> None:
        """Execute order commands of one gateway's sessions; results are sent by `EnginePort.send_orders`."""

    def drained(self, gateway: str) -> None:
        """Continue sending order messages to a gateway, which has read everything so far."""

    def left(self, gateway: str) -> None:
        """Forget the sessions of a disconnected gateway and what it watched."""


class BusFigures(NamedTuple):
    """A gateway's connection to the engine, for metrics.

    `relay` is what it is connected through, None while it is not; `joins` counts how often it was connected,
    `holes` how often it needed the complete state because something was missing. `lag_s` is the age of
    the messages that arrive. `relays` and `relays_up` are how many the engine is configured for and connected
    to, `term` is the life of the engine that it follows (greater is newer). None: unknown, or this bus has no
    such thing. `reason` tells an operator why it is not connected.
    """

    relay: str | None
    joins: int
    holes: int = 0
    lag_s: float | None = None
    relays: int | None = None
    relays_up: int | None = None
    term: int | None = None
    reason: str | None = None

    def trouble(self) -> str | None:
        """Say what is wrong although the engine is reached; None if nothing is."""
        if self.relays is None or self.relays_up is None or self.relays_up >= self.relays:
            return None
        return f"the engine is connected to {self.relays_up} of {self.relays} relays"


class GatewayPort(Protocol):
    """A gateway's end: blocking sockets and threads, which green servers replace by their own."""

    def run(self, receive: Callable[[Sequence[ToGateway]], None], reset: Callable[[], None]) -> None:
        """Connect, receive and reconnect until closed; `receive` gets all messages of one read at once.

        `reset` is called when requests may have been lost: a connection has ended, or cannot be opened.
        What was received before remains valid until SILENCE_S have passed.
        """

    def request(self, body: RequestBody, timeout_s: float = 5.0) -> bytes:
        """Send one request, return the answer as msgpack; raise BusError (no answer) or RefusedError."""

    def send(self, commands: OrderCommands) -> None:
        """Send order commands of sessions; raise BusError if the engine cannot be reached."""

    def figures(self) -> BusFigures:
        """Return the figures for metrics."""

    def close(self) -> None:
        """Make `run` return soon; pending requests fail."""
