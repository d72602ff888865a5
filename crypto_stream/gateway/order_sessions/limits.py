"""What an order session needs of its gateway, and what it may do; `sessions` is that gateway's side."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from crypto_stream.bus.orders import Command
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.order_sessions.market_data import MarketData
from crypto_stream.market.instruments import Instrument


class Limits(NamedTuple):
    """What one session may do: messages a second, subscriptions, seconds without reading.

    `sessions` are those of one owner at this gateway; the engine counts them at all gateways.
    """

    rate: int
    subscriptions: int
    patience_s: float
    sessions: int = 20


class Client(NamedTuple):
    """Who connected: the owner of its orders, who cannot come back when `anonymous`, and from where."""

    owner: str
    anonymous: bool
    extended: bool
    address: str = ""


class SessionHost(Protocol):
    """The gateway as its sessions see it; `up` says whether the engine can be asked."""

    limits: Limits
    counters: OrderMetrics
    market: MarketData
    up: bool

    def clock(self) -> float:
        """Read the time: monotonic seconds."""

    def find(self, text: str) -> Instrument | None:
        """Find the instrument that a text spells; RefusedError while none can be known."""

    def name(self, symbol: str) -> str:
        """Return the usual name of an instrument."""

    def ask(self, command: Command) -> None:
        """Send a command to the engine, after all that were sent before."""

    def owes(self, number: int, size: int) -> None:
        """Note how many bytes wait for a session at most; may cut those for which most waits."""

    def become(self, before: str, owner: str) -> None:
        """Count a session for another owner than before; RefusedError when that has too many."""

    def ended(self, number: int, reason: str) -> None:
        """Forget a session."""
