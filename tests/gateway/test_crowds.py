"""Thousands of viewers connect or leave at once: the others go on getting quotes."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.engine import Engine
from tests.gateway.process import ROOT, Viewer, running, viewing
from tests.waiting import SCALE, until

pytestmark = [pytest.mark.asyncio(loop_scope="function"), pytest.mark.timeout(120 * SCALE)]
SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
MANY = 3_000


class Steps:
    """The process with the burst of viewers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def output(self) -> str:
        """Read its next line."""
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 60 * SCALE)).decode().strip()

    async def next(self) -> str:
        """Let it take the next step; read its next line."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await self.output()


@asynccontextmanager
async def burst(url: str, number: int) -> AsyncIterator[Steps]:
    """Start a process that connects many viewers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.gateway.burst", url, str(number)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Steps(process)
    finally:
        process.kill()
        await process.wait()


async def prices(engine: Engine, viewer: Viewer, seen: list[str]) -> None:
    """Change a price again and again, each time once the viewer has seen the previous one."""
    while True:
        price = f"{len(seen) + 1}.5"
        engine.change(price=price)
        await until(lambda price=price: viewer.price() == price)  # type: ignore[misc]
        seen.append(price)


@SERVERS
async def test_thousands_that_connect_and_leave_at_once_delay_no_other(bus: Path, server: str) -> None:
    """All their handshakes, then all their resets, wait when the gateway resumes: quotes go on in between."""
    seen: list[str] = []
    async with Engine(bus) as engine, running(bus, server=server, max_per_address=2 * MANY) as gateway:
        await gateway.ready()
        async with (
            viewing(gateway.url) as viewer,
            burst(gateway.url, MANY) as steps,
            asyncio.TaskGroup() as tasks,
        ):
            await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
            connected = await steps.output()
            changing = tasks.create_task(prices(engine, viewer, seen))
            gateway.process.send_signal(signal.SIGSTOP)
            sent = await steps.next()
            before = len(seen)
            gateway.process.send_signal(signal.SIGCONT)
            joined = await steps.next()
            while_joining = len(seen) - before
            gateway.process.send_signal(signal.SIGSTOP)
            gone = await steps.next()
            before = len(seen)
            gateway.process.send_signal(signal.SIGCONT)
            while True:
                if await gateway.metric("crypto_stream_viewers") == 1:
                    break
            while_leaving = len(seen) - before
            changing.cancel()

    assert [connected, sent, joined, gone] == ["connected", "sent", f"joined {MANY}", "gone"]
    assert while_joining >= 20  # hundreds; if the burst were handled in one go, two or three
    assert while_leaving >= 2
