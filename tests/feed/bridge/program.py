"""A bridge as a test needs it: it says what the test tells it to, and keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from crypto_stream.feed.bridge.messages import PROTOCOL
from crypto_stream.feed.loading import load_sources
from crypto_stream.market.status import SourceStatus
from tests.feed.rig import Feed, fed, settings
from tests.process.programs import short_folder
from tests.waiting import until

SYMBOLS = ("btcusdt", "ethusdt")
TOKEN = "a secret of sixteen"
NAME = "bridge:acme"


class Program:
    """One connection to `address`, a path or host:port; `heard` are the messages from the other side."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[dict[str, Any]] = []
        self.ended = False

    async def __aenter__(self) -> Self:
        """Connect as soon as somebody listens."""
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    self._reader, self._writer = await self._open()
                    break
                await asyncio.sleep(0.01)
        self._hearing = asyncio.get_running_loop().create_task(self._hear())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self._hearing.cancel()
        self._writer.transport.abort()
        await asyncio.wait([self._hearing])

    def say(self, kind: str, **fields: Any) -> None:
        """Send one message."""
        self.say_bytes(json.dumps({"type": kind, **fields}).encode() + b"\n")

    def say_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    def hello(self, name: str = "acme", **fields: Any) -> None:
        """Introduce itself."""
        self.say("hello", **{"protocol": PROTOCOL, "name": name, "venue": "Acme", **fields})

    def instruments(self, symbols: Sequence[str] = SYMBOLS, **fields: Any) -> None:
        """List pairs against USDT, with ids such as BTC/USDT."""
        entries = [
            {"id": _id(symbol), "base": symbol[:-4].upper(), "quote": "USDT", "tick": "0.01", **fields}
            for symbol in symbols
        ]
        self.say("instruments", instruments=entries)

    async def subscribed(self, symbols: Sequence[str] = SYMBOLS) -> None:
        """Introduce itself, list its pairs, and acknowledge the subscription."""
        self.hello()
        self.instruments(symbols)
        await until(lambda: self.of("subscribe"))
        self.say("ack", request=self.of("subscribe")[0]["request"])

    def quote(self, symbol: str = "btcusdt", bid: str = "100.10", ask: str = "100.20", **more: Any) -> None:
        """Send a top of book."""
        self.say("quote", instrument=_id(symbol), bid=bid, bid_size="1.50", ask=ask, ask_size="2", **more)

    def trade(self, symbol: str = "btcusdt", price: str = "100.15", **more: Any) -> None:
        """Send a trade."""
        self.say("trade", instrument=_id(symbol), price=price, size="0.10", **more)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return what it heard of this type."""
        return [message for message in self.heard if message["type"] == kind]

    def errors(self) -> list[str]:
        """Return the codes of the errors it heard."""
        return [message["code"] for message in self.of("error")]

    def half_close(self) -> None:
        """Say that nothing more will come."""
        self._writer.write_eof()

    def stop_reading(self) -> None:
        """Read nothing more."""
        self._hearing.cancel()
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.address.startswith("/"):
            return await asyncio.open_unix_connection(self.address)
        host, _, port = self.address.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _hear(self) -> None:
        with contextlib.suppress(OSError):
            while line := await self._reader.readline():
                self.heard.append(json.loads(line))
        self.ended = True


@contextlib.asynccontextmanager
async def bridged(**given: Any) -> AsyncIterator[tuple[Feed, str]]:
    """Run the feed on `bridge:acme` alone; yield it and where the bridge connects."""
    options = given.pop("options", {})
    with short_folder() as folder:
        chosen = settings(
            **{
                "sources": "bridge:acme",
                "pairs": ",".join(SYMBOLS),
                "data_dir": folder,
                "stale_after": 60,
                **given,
            }
        ).model_copy(update={"handler_options": {"bridge": options}})
        async with fed(chosen, load_sources(chosen)) as feed:
            yield feed, options.get("acme_listen") or str(Path(folder) / "bridge-acme.sock")


def status(feed: Feed) -> SourceStatus:
    """Return what /sources says of the bridge."""
    return feed.composition.loop.sources[NAME].status(0, pin=None, serving=0)


def _id(symbol: str) -> str:
    return f"{symbol[:-4].upper()}/USDT"
