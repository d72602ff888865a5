"""A real engine in a process of its own, and a gateway's end of its bus."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.bus.messages import Beat, Quotes, RequestBody, Snapshot, Switched, ToGateway
from crypto_stream.market.quotes import Quote
from crypto_stream.settings import load, serialize
from tests.waiting import DEADLINE_S, until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
from crypto_stream.engine.run import main
from crypto_stream.errors import UsageError
from crypto_stream.settings import deserialize
told = json.loads(sys.argv[1])
try:
    sys.exit(main(deserialize(told["settings"]), Path(told["bus"]), lambda: print("beat", flush=True)))
except UsageError as error:
    sys.exit(f"usage: {error}")
"""


class Engine:
    """A running engine and what a gateway was told by it."""

    def __init__(self, process: asyncio.subprocess.Process, bus: Path) -> None:
        self.process = process
        self.received: list[ToGateway] = []
        self.port = LocalGatewayPort(bus)
        self._thread = threading.Thread(target=self.port.run, args=(self.received.extend, _ignore))
        self._thread.start()

    async def request(self, body: RequestBody) -> bytes:
        """Send a request as a gateway does."""
        return await asyncio.to_thread(self.port.request, body, DEADLINE_S)

    async def stop(self) -> int:
        """End it with SIGTERM, return its status."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)

    async def close(self) -> None:
        """Hang up."""
        self.port.close()
        await asyncio.to_thread(self._thread.join, DEADLINE_S)

    def all(self, kind: type[Any]) -> list[Any]:
        """Return the messages of one kind."""
        return [message for message in self.received if isinstance(message, kind)]

    @property
    def snapshot(self) -> Snapshot:
        """Return the first message."""
        first = self.received[0]
        assert isinstance(first, Snapshot)
        return first

    @property
    def quotes(self) -> list[Quote]:
        """Return all quotes that were published since the snapshot, in order."""
        return [quote for message in self.all(Quotes) for quote in message.quotes]

    @property
    def switches(self) -> list[tuple[str | None, str | None]]:
        """Return who was replaced by whom."""
        return [(message.switch.from_, message.switch.to) for message in self.all(Switched)]

    @property
    def beats(self) -> list[Beat]:
        """Return all beats."""
        return self.all(Beat)

    def serving(self, source: str, symbol: str = "btcusdt") -> bool:
        """Tell whether the newest quote is a live one of `source`."""
        known = [*self.snapshot.quotes, *self.quotes] if self.received else []
        newest = [quote for quote in known if quote.symbol == symbol][-1:]
        return bool(newest) and newest[0].source == source and not newest[0].stale


def _ignore() -> None:
    """Let losses pass."""


def start(folder: Path, options: dict[str, dict[str, str]], **given: Any) -> list[str]:
    """Return the command of an engine whose files are in `folder`."""
    chosen = load({"data_dir": str(folder / "data"), **given}).model_copy(update={"handler_options": options})
    told = {"settings": serialize(chosen), "bus": str(folder / "bus")}
    return [sys.executable, "-c", PROGRAM, json.dumps(told)]


@asynccontextmanager
async def running(folder: Path, options: dict[str, dict[str, str]], **given: Any) -> AsyncIterator[Engine]:
    """Start an engine and connect to it; both are ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        *start(folder, options, **given),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    engine = Engine(process, folder / "bus")
    try:
        await until(lambda: engine.received)
        yield engine
    finally:
        await engine.close()
        if process.returncode is None:
            process.kill()
        await process.communicate()
