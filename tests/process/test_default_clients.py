"""Clients with no option set hold moving quotes whatever happens to the program or on the way to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import socketio

from tests.ports import free_port
from tests.process.programs import ROOT, address, program
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(240 * SCALE)
CLIENTS = pytest.mark.parametrize("client", ["npm 4", "npm 3", "python"])
FOLDERS = {"npm 4": ROOT, "npm 3": ROOT / "tests" / "clients"}
# A default client waits up to five seconds before it tries again, more after each failure.
COMES_BACK_S = 40 * SCALE


class Client:
    """What one client told: `said` are its lines."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def moves(self) -> None:
        """Wait for live quotes that come from now on."""
        before = len(self.said)
        await until(lambda: self.said[before:].count("quotes live") >= 2, COMES_BACK_S)


@asynccontextmanager
async def npm(folder: Path, node: str, url: str, times: int) -> AsyncIterator[Client]:
    """Run npm's client in a process of its own."""
    client = Client()
    script = [node, str(ROOT / "tests" / "process" / "default_viewer.mjs"), str(folder), url, str(times)]
    process = await asyncio.create_subprocess_exec(*script, cwd=ROOT, stdout=asyncio.subprocess.PIPE)

    async def listen() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            client.said.append(line.decode().rstrip())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(listen())
        try:
            yield client
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def python(url: str, times: int) -> AsyncIterator[Client]:
    """Run python-socketio's client here."""
    client, viewer = Client(), socketio.AsyncClient()

    async def connected() -> None:
        client.said.append("connect")
        for at in range(times):
            wish = {"symbols": [f"ticker_{at % 100:02}"], "interval_ms": 250}
            await viewer.emit("subscribe", wish, callback=answered)

    async def answered(answer: dict[str, object]) -> None:
        client.said.append("ack" if answer["ok"] else f"refused {answer['code']}")

    async def quotes(payload: list[dict[str, object]]) -> None:
        live = any(not one["stale"] for one in payload)
        client.said.append(f"quotes {'live' if live else 'stale'}")

    viewer.on("connect", connected)
    viewer.on("quotes", quotes)
    await viewer.connect(url, retry=True)
    try:
        yield client
    finally:
        await viewer.shutdown()


@asynccontextmanager
async def viewing(
    client: str, url: str, require_program: Callable[[str], str], times: int = 1
) -> AsyncIterator[Client]:
    """Run a client of this kind until it has seen quotes move."""
    if client != "python" and not (FOLDERS[client] / "node_modules" / "socket.io-client").is_dir():
        pytest.skip("its package is not installed: make test does that where there is npm")
    made = (
        python(url, times)
        if client == "python"
        else npm(FOLDERS[client], require_program("node"), url, times)
    )
    async with made as viewer:
        await viewer.moves()
        yield viewer


def run(folder: Path, server: str, port: int) -> list[str]:
    """Return the arguments of a whole program on synthetic prices."""
    own = ["--port", str(port), "--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    return ["-m", "crypto_stream", "run", "--sources", "synthetic", "--server", server, *own]


@CLIENTS
@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_a_default_client_comes_back_after_every_end(
    tmp_path: Path, server: str, client: str, require_program: Callable[[str], str]
) -> None:
    """Killed gateway, killed engine, killed program, planned stop: started again, quotes move again."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = run(tmp_path, server, port)
    with program(arguments, tmp_path) as first:
        await address(first)
        async with viewing(client, url, require_program) as viewer:
            for name in ("gateway-1" if first.pids("gateway-1") else "gateway", "engine"):
                os.kill(first.pids(name)[-1], signal.SIGKILL)
                await until(lambda name=name: len(first.pids(name)) == 2)  # type: ignore[misc]
                await viewer.moves()
            first.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(first.wait)
            with program(arguments, tmp_path) as second:
                await viewer.moves()
                second.process.kill()
                await asyncio.to_thread(second.wait)
                with program(arguments, tmp_path):
                    await viewer.moves()

    assert not [line for line in viewer.said if line.startswith("refused")]
    assert "disconnect io server disconnect" not in viewer.said


@CLIENTS
async def test_a_default_client_waits_for_room(
    tmp_path: Path, client: str, require_program: Callable[[str], str]
) -> None:
    """Refused by a full gateway it tries again by itself, and quotes move when somebody has left."""
    with program([*run(tmp_path, "eventlet", 0), "--max-viewers", "1"], tmp_path) as running:
        url = await address(running)
        async with asyncio.TaskGroup() as tasks, viewing("python", url, require_program):
            waiting = tasks.create_task(seen(client, url, require_program))
            await until(lambda: "too_many_viewers" in running.output or waiting.done(), COMES_BACK_S)
            refused = not waiting.done()
        said = waiting.result()

    assert refused
    assert said.count("connect") == 1


async def seen(client: str, url: str, require_program: Callable[[str], str]) -> list[str]:
    """Return what a client said until it saw quotes move."""
    async with viewing(client, url, require_program) as viewer:
        return viewer.said


@CLIENTS
@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_sixty_subscriptions_at_once_and_a_proxy_that_swallows_the_upgrade(
    tmp_path: Path, server: str, client: str, require_program: Callable[[str], str]
) -> None:
    """All are acknowledged while the client polls; where the WebSocket never opens it goes on polling."""
    with program(run(tmp_path, server, 0), tmp_path) as running:
        url = await address(running)
        async with swallowing(int(url.rsplit(":", 1)[1])) as proxy:
            for way in (url, proxy):
                async with viewing(client, way, require_program, 60) as viewer:
                    await until(lambda said=viewer.said: said.count("ack") == 60)  # type: ignore[misc]
                    await viewer.moves()


@asynccontextmanager
async def swallowing(port: int) -> AsyncIterator[str]:
    """Run a proxy that never answers who asks for a WebSocket; give its address."""

    opened: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.add(writer)
        try:
            await hand_on(reader, writer)
        finally:
            writer.close()
            opened.discard(writer)

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                await reader.read()  # until it gives up
                return
            back, forth = await asyncio.open_connection("127.0.0.1", port)
            forth.write(head)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pump(reader, forth))
                tasks.create_task(pump(back, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in list(opened):
            writer.close()
        await until(lambda: not opened)
