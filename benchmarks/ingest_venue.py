"""A venue that only sends: `python -m benchmarks.ingest_venue`, a fake Binance of three pairs on command.

Tops of book at an exact rate to whoever listens, encoded here so that sending them costs next to nothing.
Prints its port; `start RATE BATCH` sends RATE frames a second, BATCH of them in one write; `stop` ends that;
`count` prints how many were sent to anybody.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal

from websockets.protocol import State

from benchmarks.feeder import say
from tests.fakes import FakeBinance

PAIRS = ("btcusdt", "ethusdt", "xrpusdt")
_MOST_UNREAD = 4 * 1024 * 1024


class Venue(FakeBinance):
    """A fake Binance whose data is made by `write` alone."""

    def __init__(self) -> None:
        """Know the three pairs."""
        super().__init__(PAIRS, rate=0, price="60000")
        self.sent = 0
        self._number = 0

    def trade(self) -> None:
        """Send one trade of each pair to whom it may concern: then there is a price."""
        for walk in self.walks.values():
            walk.trade_at(Decimal(60000))
            self.publish(walk, "trade")

    def write(self, batch: int) -> None:
        """Send a batch of frames in one write to each client; one that lags far behind is cut."""
        wrapped, bare = bytearray(), bytearray()
        for _ in range(batch):
            self._number += 1
            number = self._number
            name = PAIRS[number % len(PAIRS)]
            cents = 6_000_000 + number % 1000
            data = (
                f'{{"u":{number},"s":"{name.upper()}","b":"{cents - 1}.35190000",'
                f'"B":"{number % 97}.21000000","a":"{cents}.36520000","A":"{number % 89}.66000000"}}'
            )
            bare += _frame(data.encode())
            wrapped += _frame(f'{{"stream":"{name}@bookTicker","data":{data}}}'.encode())
        for client in list(self.clients):
            wants = any(channel == "bookTicker" for channel, _ in client.streams)
            if wants and client.connection.state is State.OPEN:
                self.sent += batch
                transport = client.connection.transport
                transport.write(bytes(wrapped if client.wrapped else bare))
                if transport.get_write_buffer_size() > _MOST_UNREAD:
                    client.abort()


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    return (bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")) + payload


class Pacer(threading.Thread):
    """Asks the loop for one write after the other: its own timers are whole milliseconds."""

    def __init__(self, venue: Venue, loop: asyncio.AbstractEventLoop, rate: float, batch: int) -> None:
        """Send `rate` frames a second, `batch` in one write."""
        super().__init__(daemon=True)
        self.over = False
        self._ask: Callable[[], object] = lambda: loop.call_soon_threadsafe(venue.write, batch)
        self._pause_s = batch / rate

    def run(self) -> None:
        """Keep the pace until it is over."""
        due = time.monotonic()
        while not self.over:
            self._ask()
            due += self._pause_s
            time.sleep(max(0.0, due - time.monotonic()))


async def main() -> None:
    """Serve, obey standard input until it ends."""
    async with Venue() as venue:
        say(venue.port)
        loop = asyncio.get_running_loop()
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        pacer: Pacer | None = None
        while line := await commands.readline():
            word, *given = line.decode().split()
            if word == "count":
                say(venue.sent)
                continue
            if pacer:
                pacer.over = True
            if word == "start":
                venue.trade()
                pacer = Pacer(venue, loop, float(given[0]), int(given[1]))
                pacer.start()


if __name__ == "__main__":
    asyncio.run(main())
