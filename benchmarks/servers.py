"""Start the measured server, ours or a peer's, on the first core, and measure what its processes use."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.on_core import CLIENTS, SERVER
from benchmarks.system import Process, answers, cpu_s, free_port, run_command, running, until

_PEERS = Path(__file__).parent / "peers"
_PYTHON = [sys.executable, "-m"]


class Peer(NamedTuple):
    """One delivery peer: command before the ports, file of its code, options after the ports."""

    command: list[str]
    code: str
    options: list[str]
    socketio: bool = True


DELIVERY_PEERS = {
    "bare send loop": Peer([*_PYTHON, "benchmarks.peers.send_loop"], "send_loop.py", [], socketio=False),
    "Flask-SocketIO, eventlet": Peer([*_PYTHON, "benchmarks.peers.stock"], "stock.py", ["eventlet"]),
    "Flask-SocketIO, gevent": Peer([*_PYTHON, "benchmarks.peers.stock"], "stock.py", ["gevent"]),
    "python-socketio on uvicorn": Peer([*_PYTHON, "benchmarks.peers.asgi"], "asgi.py", []),
    "Node socket.io": Peer(["node", str(_PEERS / "node" / "socketio.js")], "node/socketio.js", []),
}
OURS = {"Crypto Stream, eventlet": "eventlet", "Crypto Stream, gevent": "gevent"}


class Used(NamedTuple):
    """CPU seconds of a server since its start and its resident bytes, children included."""

    cpu_s: float
    rss: int


class Served:
    """A running server."""

    def __init__(self, process: Process, port: int, socketio: bool) -> None:
        """Keep its process and its port."""
        self.port = port
        self.socketio = socketio
        self.process = psutil.Process(process.pid)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def used(self) -> Used:
        """Return what it has used so far."""
        processes = [self.process, *self.process.children(recursive=True)]
        return Used(sum(map(cpu_s, processes)), sum(each.memory_info().rss for each in processes))


class Feeder:
    """The process that makes quotes."""

    def __init__(self, process: Process, port: int) -> None:
        """Control `process`, which serves lines at `port`."""
        self._process = process
        self.port = port

    def start(self, rate: float) -> None:
        """Start publishing at this many steps a second."""
        self._process.send_line(f"start {rate}")

    def stop(self) -> dict[str, Any]:
        """Stop publishing; return the steps since `start`, seq and the last values."""
        self._process.send_line("stop")
        answer: dict[str, Any] = json.loads(self._process.line())
        return answer


@contextmanager
def on_core(
    core: int | None, command: Sequence[str], *, quiet: bool = False, **environment: str
) -> Iterator[Process]:
    """Run a program on one of the two cores of a measurement, or on any.

    `quiet` discards its standard error.
    """
    place = "any" if core is None else str(core)
    with running(["benchmarks.on_core", place, *command], environment, logs=quiet) as process:
        yield process


@contextmanager
def feeder(folder: Path, symbols: Sequence[str]) -> Iterator[Feeder]:
    """Run the feeder beside the clients; a gateway with `folder / "run"` as its runtime folder finds it."""
    runtime = folder / "run"
    runtime.mkdir(mode=0o700, exist_ok=True)
    command = [*_PYTHON, "benchmarks.feeder", str(runtime / "bus"), ",".join(symbols)]
    with on_core(CLIENTS, command) as process:
        yield Feeder(process, int(process.line()))


@contextmanager
def bench_venue(symbol: str) -> Iterator[tuple[dict[str, str], Feeder]]:
    """Run the venue beside the clients; yield the settings that make us use it, and its driver."""
    with on_core(CLIENTS, [*_PYTHON, "benchmarks.bench_venue", symbol]) as process:
        venue, lines = json.loads(process.line())
        address = {"URL": f"ws://127.0.0.1:{venue}", "REST_URL": f"http://127.0.0.1:{venue}"}
        settings = {f"CRYPTO_STREAM_BINANCE_{name}": value for name, value in address.items()}
        yield settings, Feeder(process, lines)


@contextmanager
def served(name: str, folder: Path, feed: Feeder) -> Iterator[Served]:
    """Run one server by its name in `OURS` or `DELIVERY_PEERS`, once it accepts connections."""
    if server := OURS.get(name):
        with gateway(folder, server) as ours:
            yield ours
        return
    peer = DELIVERY_PEERS[name]
    port = free_port()
    command = [*peer.command, str(port), str(feed.port), *peer.options]
    with on_core(SERVER, command, NODE_ENV="production") as process:
        until(lambda: accepts(port), f"{name} to listen")
        yield Served(process, port, peer.socketio)


@contextmanager
def gateway(folder: Path, server: str, *options: str) -> Iterator[Served]:
    """Run our gateway alone, its engine being the feeder of the same folder, once it has its quotes."""
    port = free_port()
    places = [
        "--runtime-dir",
        folder / "run",
        "--data-dir",
        folder / "data",
        "--log-file",
        folder / "app.log",
    ]
    command = [*_PYTHON, "crypto_stream", "gateway", "--port", str(port), "--server", server]
    command += [*map(str, places), *options]
    with on_core(SERVER, command, quiet=True) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}"), f"a quote from the gateway on {server}")
        yield Served(process, port, True)


@contextmanager
def whole(
    folder: Path, server: str, venue: Mapping[str, str], *options: str, core: int | None = SERVER
) -> Iterator[Served]:
    """Run all of Crypto Stream on one pair of the venue; yield once it has a fresh quote."""
    port = free_port()
    command = run_command(folder, port, "--sources", "binance", "--pairs", "btcusdt", "--server", server)
    command += [
        "--quiet-after",
        "3600",
    ]  # the venue sends only the top of book; its silent channels are not a fault
    with on_core(core, [*_PYTHON, *command, *options], quiet=True, **venue) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}"), "a fresh quote on /courses")
        yield Served(process, port, True)


def accepts(port: int) -> bool:
    """Return whether the port accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def described(names: Sequence[str]) -> dict[str, dict[str, object]]:
    """Return code and options of the peers among `names`, for the result."""
    return {
        name: {
            "options": ["PORT", "FEEDER", *peer.options],
            "code": (_PEERS / peer.code).read_text("utf-8"),
        }
        for name in names
        if (peer := DELIVERY_PEERS.get(name))
    }


def has_node() -> bool:
    """Return whether Node and the modules of its peers are installed."""
    return shutil.which("node") is not None and (_PEERS / "node" / "node_modules").is_dir()
