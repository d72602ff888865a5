"""The places where a venue can go wrong; each fault is a class that does one of them differently."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response

if TYPE_CHECKING:
    from tests.fakes.client import Client
    from tests.fakes.venue import FakeVenue


class Fault:
    """No fault: each method is one place where another class may go wrong."""

    name = "none"
    default = 0.0
    mute = False  # True: the venue sends no pings and cuts nobody for silence

    def __init__(self, venue: FakeVenue, argument: str = "", symbols: frozenset[str] = frozenset()) -> None:
        """Take the venue, the numbers behind the colon, and the symbols it is limited to (none: all)."""
        self.venue = venue
        self.numbers = [float(number) for number in argument.split(",") if number] or [self.default]
        self.symbols = symbols
        self.over = asyncio.Event()

    def touches(self, symbol: str) -> bool:
        """Say whether `symbol` suffers from this fault."""
        return not self.symbols or symbol in self.symbols

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End; what waits for it goes on."""
        self.over.set()

    async def upgrade(self, connection: ServerConnection) -> Response | None:
        """Answer a handshake instead of the venue, or let it happen."""
        return None

    async def opened(self, client: Client) -> None:
        """Do something to a connection that was just opened."""

    def rate(self, rate: float) -> float:
        """Change how much happens: steps per second and symbol."""
        return rate

    def data(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        """Send something else, or nothing, in place of a data frame."""
        if not self.touches(symbol):
            yield frame
        else:
            yield from self.spoil(client, channel, symbol, frame)

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        """Do what `data` says, for a symbol that this fault touches."""
        yield frame

    def acks(self, frame: str, symbols: set[str]) -> float | None:
        """Delay an acknowledgement by seconds, or keep it back (None)."""
        return 0.0

    def refuses_all(self, symbols: set[str]) -> str:
        """Refuse a whole request of these symbols: `echo`, `busy`, `nameless`; empty: look at each."""
        return ""

    def refuses(self, symbol: str) -> bool:
        """Say whether a subscription of `symbol` is answered with an error."""
        return False
