"""The places where a venue can misbehave; each fault is a class that overrides one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

if TYPE_CHECKING:
    from tests.fakes.client import Client
    from tests.fakes.venue import FakeVenue
    from tests.fakes.walk import Walk


class Fault:
    """No fault: each method is one place that another class may override."""

    name = "none"
    default = 0.0
    mute = False  # True: the venue sends no pings and cuts nobody for silence
    unnoticed = False  # True: frames are lost on their way, the venue believes that all have arrived

    def __init__(self, venue: FakeVenue, argument: str = "", symbols: frozenset[str] = frozenset()) -> None:
        """Take the venue, the numbers after the colon, and the symbols it is limited to (none: all)."""
        self.venue = venue
        self.numbers = [float(number) for number in argument.split(",") if number] or [self.default]
        self.symbols = symbols
        self.over = asyncio.Event()

    def touches(self, symbol: str) -> bool:
        """Return whether `symbol` is affected by this fault."""
        return not self.symbols or symbol in self.symbols

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End; what it delayed continues."""
        self.over.set()

    async def upgrade(self, connection: ServerConnection) -> Response | None:
        """Answer a handshake instead of the venue, or let it proceed."""
        return None

    async def opened(self, client: Client) -> None:
        """Handle a newly opened connection."""

    def rate(self, rate: float) -> float:
        """Change the pace: steps per second and symbol."""
        return rate

    def data(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        """Replace a data frame, or send nothing."""
        if not self.touches(symbol):
            yield frame
        else:
            yield from self.spoil(client, channel, symbol, frame)

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        """Return what `data` returns, for an affected symbol."""
        yield frame

    def told(self, walk: Walk) -> Walk:
        """Return the market that is told; a copy if it is not the real one."""
        return walk

    def acks(self, frame: str, symbols: set[str]) -> float | None:
        """Delay an acknowledgement by seconds, or suppress it (None)."""
        return 0.0

    def refuses_all(self, symbols: set[str]) -> str:
        """Refuse a whole request of these symbols: `echo`, `busy`, `nameless`; empty: decide for each."""
        return ""

    def refuses(self, symbol: str) -> bool:
        """Return whether a subscription of `symbol` is refused."""
        return False
