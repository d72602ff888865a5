"""What an order session needs from its gateway (`SessionHost`, see `sessions`), and its limits."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from crypto_stream.bus.orders import Command
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.order_sessions.market_data import MarketData
from crypto_stream.market.instruments import Instrument


class SessionLimits(NamedTuple):
    """Limits of one session: messages a second, subscriptions, seconds without reading.

    `sessions` is the limit per owner at this gateway; the engine limits the total at all gateways.
    """

    rate: int
    subscriptions: int
    slow_client_timeout_s: float
    sessions: int = 20


class Client(NamedTuple):
    """The client of a session: the owner of its orders and its address.

    An `anonymous` owner gave no client_id, so it cannot come back. `extended` is the extended mode.
    """

    owner: str
    anonymous: bool
    extended: bool
    address: str = ""


class SessionHost(Protocol):
    """The gateway as its sessions see it; `up` says whether the engine is connected."""

    limits: SessionLimits
    counters: OrderMetrics
    market: MarketData
    up: bool

    def clock(self) -> float:
        """Return monotonic seconds."""

    def find(self, text: str) -> Instrument | None:
        """Find an instrument in any spelling; RefusedError before the instruments are known."""

    def name(self, symbol: str) -> str:
        """Return the display name of an instrument."""

    def send_command(self, command: Command) -> None:
        """Send a command to the engine, in order."""

    def note_backlog(self, number: int, size: int) -> None:
        """Note an upper bound of the bytes queued for a session; may cut those with the largest backlog."""

    def change_owner(self, before: str, owner: str) -> None:
        """Move a session to another owner; RefusedError if that one has too many."""

    def ended(self, number: int, reason: str) -> None:
        """Forget a session that has ended."""
