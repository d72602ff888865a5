"""A whole program that trades the synthetic instruments, for tests of orders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from crypto_stream.client import Client, UnreachableError
from crypto_stream.errors import RefusedError
from tests.process.programs import Running, address, program
from tests.waiting import until


class Service:
    """The running program and its address."""

    def __init__(self, running: Running, url: str) -> None:
        self.running = running
        self.url = url

    def live(self) -> bool:
        """Tell whether EUR/RUB can be traded."""
        try:
            return not Client(self.url).course("eurrub").stale
        except (UnreachableError, RefusedError):
            return False


@asynccontextmanager
async def trading(folder: Path, *more: str) -> AsyncIterator[Service]:
    """Run the program on a free port until EUR/RUB is live; orders reach the market after about 20 ms."""
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    options = ["--port", "0", "--sources", "synthetic", "--order-latency", "20", *files, *more]
    with program(["-m", "crypto_stream", "run", *options], folder) as running:
        service = Service(running, await address(running))
        await until(service.live)
        yield service
