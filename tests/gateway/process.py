"""A real gateway in a process of its own, and viewers of it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import httpx
import socketio

from tests.waiting import DEADLINE_S, until

ROOT = Path(__file__).parents[2]
# The admin token of the tests' gateways, and the header with it.
TOKEN = "open sesame"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}


class Gateway:
    """A running gateway: its address, its process and an HTTP client for it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, http: httpx.AsyncClient) -> None:
        self.process = process
        self.url = url
        self.http = http

    async def ready(self) -> None:
        """Wait until it is connected to the engine."""
        await self.answers("/readyz", 200)

    async def answers(self, path: str, status: int) -> httpx.Response:
        """Repeat a request until the response has this status; return it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await self.http.get(path)
                if answer.status_code == status:
                    return answer
                await asyncio.sleep(0.02)

    async def green_threads(self) -> int:
        """Count its green threads."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        return int(await asyncio.wait_for(self.process.stdout.readline(), DEADLINE_S))

    def descriptors(self) -> int:
        """Count its open descriptors; 0 if the system does not show them."""
        shown = Path(f"/proc/{self.process.pid}/fd")
        return len(list(shown.iterdir())) if shown.exists() else 0

    def memory(self) -> int:
        """Return its resident memory in bytes; 0 if the system does not show it."""
        shown = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+) kB", shown.read_text()) if shown.exists() else None
        return int(found[1]) * 1024 if found else 0

    async def metric(self, name: str) -> float:
        """Read one metric without labels."""
        text = (await self.http.get("/metrics")).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


@asynccontextmanager
async def running(
    bus: Path, *, files: int | None = None, stderr: IO[bytes] | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """Start a gateway on a free port, which may open so many `files`; stop it afterwards."""
    arguments = json.dumps({"bus": str(bus), "files": files, "admin_token": TOKEN, **settings})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.gateway.serve", arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), DEADLINE_S))
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as http:
            yield Gateway(process, url, http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Viewer:
    """A python-socketio client that records all events in order."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.client = socketio.AsyncClient(reconnection=False, http_session=session)
        self.got: list[tuple[str, Any]] = []
        self.gone = asyncio.Event()
        self.client.on("*", self._keep)
        self.client.on("disconnect", self._left)

    async def _keep(self, event: str, payload: Any) -> None:
        self.got.append((event, payload))

    async def _left(self, *_reason: Any) -> None:
        self.gone.set()

    async def ask(self, event: str, *payload: Any) -> Any:
        """Send an event and return its acknowledgement."""
        return await self.client.call(event, payload, timeout=DEADLINE_S)

    async def subscribe(self, **options: Any) -> Any:
        """Subscribe and return the acknowledgement."""
        return await self.ask("subscribe", options)

    def all(self, event: str) -> list[Any]:
        """List the payloads of one event."""
        return [payload for name, payload in self.got if name == event]

    def names(self) -> list[str]:
        """List the events in the order of arrival, without `status`."""
        return [name for name, _ in self.got if name != "status"]

    async def until(self, event: str, number: int = 1) -> list[Any]:
        """Wait for `number` payloads of one event; return them all."""
        await until(lambda: len(self.all(event)) >= number)
        return self.all(event)

    def price(self, symbol: str = "btcusdt") -> Any:
        """Return the last price that this viewer received."""
        for event, payload in reversed(self.got):
            if event in {"snapshot", "quotes"}:
                for one in payload:
                    if one["symbol"] == symbol and "price" in one:
                        return one["price"]
        return None


@asynccontextmanager
async def viewing(
    url: str, transport: str = "websocket", headers: dict[str, str] | None = None
) -> AsyncIterator[Viewer]:
    """Connect a viewer; `any` polls first and upgrades, as a default `io()` does."""
    transports = None if transport == "any" else [transport]
    async with aiohttp.ClientSession() as session:  # a refused client would leave its own session open
        viewer = Viewer(session)
        await viewer.client.connect(url, transports=transports, headers=headers or {})
        try:
            yield viewer
        finally:
            await viewer.client.disconnect()
