"""A whole program that trades the synthetic instruments, for tests of orders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from crypto_stream.client import Client, UnreachableError
from crypto_stream.errors import RefusedError
from tests.process.programs import Running, program
from tests.waiting import SCALE, until


class Service:
    """The running program and its address."""

    def __init__(self, running: Running) -> None:
        """Read the address from what it printed."""
        self.running = running
        self.url = running.output.split(" serves ")[1].split(" ")[0]

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
        await until(lambda: " serves http://" in running.output, 30 * SCALE)
        service = Service(running)
        await until(service.live)
        yield service
