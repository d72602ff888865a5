"""The engine of a measurement: `python -m benchmarks.feeder BUS SYMBOLS`, quotes at an exact rate.

Gateways get them over the real bus (a Unix socket at BUS), the peers as lines of JSON over TCP: the same
quotes, encoded as the gateway encodes them. All symbols change at each step. `bid_size` is the moment of the
step in seconds of the monotonic clock, so that a reader of a frame knows its age.

Prints its TCP port; then `start HZ` begins, `stop` ends and prints {"steps", "seq", "last": {symbol: [price,
bid_size]}}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from zlib import crc32

import msgspec

from crypto_stream.bus.backends import LOCAL, engine_port
from crypto_stream.bus.interface import EnginePort
from crypto_stream.bus.messages import Beat, GetSparks, Quotes, RequestBody, Snapshot, Sparks
from crypto_stream.bus.orders import Command
from crypto_stream.errors import RefusedError
from crypto_stream.market.instruments import Instrument, is_synthetic, split_symbol
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus

_SOURCE = "bench"
_CENTS = 6_412_345  # the lowest price


class Feed:
    """The quotes and their recipients."""

    def __init__(self, symbols: list[str]) -> None:
        """Start with one quote per symbol."""
        self.instruments = [
            Instrument(symbol, *split_symbol(symbol), is_synthetic(symbol)) for symbol in symbols
        ]
        self.seq = self.steps = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self.quotes = self._next()

    def step(self) -> Quotes:
        """Change every symbol; send the line to the peers and return the message for gateways."""
        self.steps += 1
        self.quotes = self._next()
        line = msgspec.json.encode(self.quotes) + b"\n"
        for writer in self.writers:
            writer.write(line)
        return Quotes(self.seq, self.quotes)

    def begin(self) -> None:
        """Count steps anew."""
        self.steps = 0

    def last(self) -> dict[str, Any]:
        """Return what every client must have seen at the end."""
        newest = {quote.symbol: [quote.price, quote.bid_size] for quote in self.quotes}
        return {"steps": self.steps, "seq": self.seq, "last": newest}

    def _next(self) -> list[Quote]:
        stamp, now_ms = time.monotonic_ns(), time.time_ns() // 1_000_000
        moment = f"{stamp // 10**9}.{stamp % 10**9:09d}"
        quotes = []
        for one in self.instruments:
            self.seq += 1
            quotes.append(_quote(one, self.seq, moment, now_ms))
        return quotes

    # The engine's interface to the bus.

    def snapshot(self) -> Snapshot:
        """Return the current state."""
        return Snapshot(
            epoch="benchmark",
            seq=self.seq,
            instruments=self.instruments,
            quotes=self.quotes,
            sources=[self.status()],
            pin=None,
            reasons={},
        )

    async def answer(self, gateway: str, request: RequestBody) -> Any:
        """Return an empty last hour for boards; refuse all other requests."""
        if isinstance(request, GetSparks):
            return Sparks("benchmark", self.seq, 60_000, {})
        raise RefusedError("benchmark", "this engine only publishes")

    def orders(self, gateway: str, commands: list[Command]) -> None:
        """Fail: no viewer of a measurement trades."""
        raise RuntimeError("this engine only publishes")

    def drained(self, gateway: str) -> None:
        """Do nothing: there is no backlog for gateways."""

    def left(self, gateway: str) -> None:
        """Do nothing: there is no state per gateway."""

    def status(self) -> SourceStatus:
        """Return the one source, live."""
        count = len(self.instruments)
        now = time.time_ns() // 1_000_000
        return SourceStatus(_SOURCE, "live", now, False, None, None, 0, 0, count, count)

    def beat(self) -> Beat:
        """Make the engine's heartbeat."""
        return Beat(time.time_ns() // 1_000_000, [self.status()], None, 0.0)


@cache
def _day(symbol: str) -> tuple[int, str, str]:
    """Return the price of 24 h ago, in cents and as text, and the change since, in percent."""
    opened = 6_300_000 + crc32(symbol.encode()) % 230_000
    return opened, f"{opened / 100:.2f}", f"{(_CENTS - opened) * 100 / opened:.2f}"


def _quote(one: Instrument, seq: int, moment: str, now_ms: int) -> Quote:
    cents = _CENTS + seq % 1000
    opened, open_24h, change_24h = _day(one.symbol)
    return Quote(
        symbol=one.symbol,
        base=one.base,
        quote=one.quote,
        source=_SOURCE,
        price=f"{cents / 100:.2f}",
        bid=f"{(cents - 1) / 100:.2f}",
        bid_size=moment,
        ask=f"{(cents + 1) / 100:.2f}",
        ask_size="0.80412",
        open_24h=open_24h,
        high_24h="64500.10",
        low_24h="62800.00",
        volume_24h="12345.67891",
        change_24h=change_24h,
        change_abs_24h=f"{(cents - opened) / 100:.2f}",
        time=now_ms,
        received=now_ms,
        published=now_ms,
        seq=seq,
        stale=False,
        synthetic=one.synthetic,
    )


async def main(path: Path, symbols: list[str], bus: str = LOCAL) -> None:
    """Serve the bus (local at `path`) and the lines, and follow the commands on standard input."""
    feed = Feed(symbols)
    async with engine_port(bus, path, feed) as port, await serve_lines(feed.writers) as lines:
        say(lines.sockets[0].getsockname()[1])
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(_beat(feed, port)), tasks.create_task(port.run())]
            await obey(feed, lambda: port.publish(feed.step()))
            for each in background:
                each.cancel()


async def serve_lines(writers: set[asyncio.StreamWriter]) -> asyncio.Server:
    """Listen on a free port; `writers` are those connected just now."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        await reader.read()
        writers.discard(writer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


class Steps(Protocol):
    """What is controlled from standard input."""

    def begin(self) -> None:
        """Count steps anew."""

    def last(self) -> dict[str, Any]:
        """Return what every client must have seen at the end."""


async def obey(driven: Steps, step: Callable[[], None]) -> None:
    """Step at the rate given on standard input, until it is closed."""
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        running: asyncio.Task[None] | None = None
        while line := await commands.readline():
            if running:
                running.cancel()
                running = None
            word, _, rate = line.decode().strip().partition(" ")
            if word == "start":
                driven.begin()
                running = tasks.create_task(_at_rate(step, float(rate)))
            else:
                say(driven.last())
        if running:
            running.cancel()


async def _at_rate(step: Callable[[], None], rate: float) -> None:
    due = time.monotonic()
    while True:
        due += 1 / rate
        await asyncio.sleep(due - time.monotonic())
        step()


async def _beat(feed: Feed, port: EnginePort) -> None:
    while True:
        port.publish(feed.beat())
        await asyncio.sleep(1)


def say(answer: object) -> None:
    """Write one line of JSON to standard output."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2].split(",")))
