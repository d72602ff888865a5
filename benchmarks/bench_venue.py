"""A venue for measurements: `python -m benchmarks.bench_venue SYMBOL`, a fake Binance driven by commands.

Each top of book carries the moment it was sent as its sizes (seconds of the monotonic clock). The same
moments go out as lines of quotes over TCP, for the bare send loop. Prints its two ports; `start HZ` begins,
`stop` ends and prints {"steps", "seq", "last": {symbol: [price, bid_size]}, "last_lines"}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from typing import Any

from benchmarks.feeder import Feed, obey, say, serve_lines
from tests.fakes import FakeBinance

_PRICE = Decimal(60000)


class Venue(FakeBinance):
    """A fake Binance that changes its data only in `step`."""

    def __init__(self, symbol: str) -> None:
        """Offer one pair."""
        super().__init__([symbol], rate=0, price=str(_PRICE))
        self._walk = self.walks[symbol]
        self._feed = Feed([symbol])
        self._traded = False
        self.writers = self._feed.writers

    def begin(self) -> None:
        """Reset the count of steps; the first time, make a trade, which gives the price."""
        self._feed.begin()
        listening = any(("aggTrade", self._walk.symbol) in client.streams for client in self.clients)
        if listening and not self._traded:
            self._traded = True
            self._walk.trade_at(_PRICE)
            self.publish(self._walk, "trade")

    def step(self) -> None:
        """Change the top of book and send it to the venue's clients and the TCP readers."""
        self._feed.step()
        self._walk.quote_at(_PRICE + Decimal(self._feed.steps % 1000) / 100, None)
        self.publish(self._walk, "top")

    def frames(self, walk: Any, what: str) -> list[tuple[str, str]]:
        """Make the frame, with the time of the step as its sizes."""
        if what != "top":
            return super().frames(walk, what)
        moment = self._feed.quotes[0].bid_size
        data = {"u": walk.update_id, "s": f"{walk.base}{walk.quote}", "b": f"{walk.bid:.8f}", "B": moment}
        data |= {"a": f"{walk.ask:.8f}", "A": moment}
        frame = {"stream": f"{walk.symbol}@bookTicker", "data": data}
        return [("bookTicker", json.dumps(frame, separators=(",", ":")))]

    def last(self) -> dict[str, Any]:
        """Return what every client must have seen at the end."""
        said = self._feed.last()
        price, moment = f"{_PRICE:.8f}", self._feed.quotes[0].bid_size
        return said | {"last": {self._walk.symbol: [price, moment]}, "last_lines": said["last"]}


async def main(symbol: str) -> None:
    """Serve the venue and the lines, and follow the commands on standard input."""
    async with Venue(symbol) as venue, await serve_lines(venue.writers) as lines:
        say([venue.port, lines.sockets[0].getsockname()[1]])
        await obey(venue, venue.step)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
