"""The system under measurement as real processes: fake venues, `crypto_stream run`, and what each uses."""

from __future__ import annotations

import http.client
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import psutil

ROOT = Path(__file__).parents[1]
_HALVES = ("engine", "gateway")
_REFUSING_S = 10.0


class Process:
    """A program that answers with lines on standard output; always ended, with its children."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, *, logs: bool = False
    ) -> None:
        """Start `python -m ARGUMENTS`; this shell's settings are not passed on.

        With `logs` the program writes a log file, and its standard error is discarded.
        """
        plain = {key: value for key, value in os.environ.items() if not key.startswith("CRYPTO_STREAM_")}
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**plain, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if logs else None,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def send_line(self, line: str) -> None:
        """Write one line to its standard input."""
        assert self._popen.stdin
        self._popen.stdin.write(line + "\n")
        self._popen.stdin.flush()

    def line(self, seconds: float = 30.0) -> str:
        """Return its next line; raise RuntimeError on a timeout."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise RuntimeError(f"no line from {self._popen.args!r} within {seconds} s") from None
        if not line:
            raise RuntimeError(f"{self._popen.args!r} has ended")
        return line

    def stop(self) -> None:
        """Terminate it, or kill it if that takes too long."""
        self._popen.terminate()
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(10)
        self._reader.join(5)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe:
                pipe.close()

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("")


@contextmanager
def running(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, *, logs: bool = False
) -> Iterator[Process]:
    """Run `python -m ARGUMENTS` for the length of the block."""
    process = Process(arguments, environment, logs=logs)
    try:
        yield process
    finally:
        process.stop()


class FakeVenue:
    """A fake venue in a separate process, controlled over HTTP."""

    def __init__(self, name: str, process: Process) -> None:
        """Wait until it reports its port."""
        self.name = name
        self.port = int(process.line())

    @property
    def settings(self) -> dict[str, str]:
        """The environment that makes Crypto Stream use it."""
        prefix = f"CRYPTO_STREAM_{self.name.upper()}"
        return {
            f"{prefix}_URL": f"ws://127.0.0.1:{self.port}",
            f"{prefix}_REST_URL": f"http://127.0.0.1:{self.port}",
        }

    def control(self, **query: str) -> float:
        """Send a control request (`fault`, `symbol`, `calm`); return the monotonic time just before.

        Waits while the venue refuses connections.
        """
        deadline = time.monotonic() + _REFUSING_S
        while True:
            moment = time.monotonic()
            try:
                get(f"http://127.0.0.1:{self.port}/_fake?{urlencode(query)}")
            except ConnectionRefusedError:
                if moment > deadline:
                    raise
                time.sleep(0.1)
            else:
                return moment


@contextmanager
def fake_venue(name: str, *, rate: float, symbols: str = "btcusdt,ethusdt,xrpusdt") -> Iterator[FakeVenue]:
    """Run a fake venue; `rate` is top-of-book changes per second and symbol."""
    with running(["tests.fakes", name, "--rate", str(rate), "--symbols", symbols]) as process:
        yield FakeVenue(name, process)


class Usage(NamedTuple):
    """What one process used: CPU seconds since its start, and resident bytes."""

    cpu_s: float
    rss: int


class System:
    """A running Crypto Stream."""

    def __init__(self, process: Process | psutil.Process, url: str, log: Path) -> None:
        """Find its processes, of which `process` is the supervisor: that, engine, gateway."""
        self.url = url
        self._log = log
        supervisor = psutil.Process(process.pid)
        self._processes = {"supervisor": supervisor}
        for child in supervisor.children():
            self._processes.update({half: child for half in _HALVES if half in child.cmdline()})

    def usage(self) -> dict[str, Usage]:
        """Return what each process has used so far."""
        used = {}
        for name, process in self._processes.items():
            used[name] = Usage(cpu_s(process), process.memory_info().rss)
        return used

    def pid(self, half: str) -> int:
        """Return the process id of the engine, the gateway or the supervisor."""
        return int(self._processes[half].pid)

    def frames(self, source: str) -> int:
        """Return how many frames the engine has read from `source`."""
        for each in get_json(f"{self.url}/sources")["sources"]:
            if each["name"] == source:
                return sum(each["frames"].values())
        raise RuntimeError(f"no source {source!r} at {self.url}")

    def log_since(self, position: int) -> list[str]:
        """Return the lines of the log from a byte position on."""
        return self._log.read_bytes()[position:].decode().splitlines()

    @property
    def log_end(self) -> int:
        """The byte position at the end of the log."""
        return self._log.stat().st_size


@contextmanager
def crypto_stream(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Run Crypto Stream on a free port, its data and log in `folder`, yield once it has a fresh quote."""
    port = free_port()
    with running(run_command(folder, port, *options), environment, logs=True) as process:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url), "a fresh quote on /courses")
        yield System(process, url, folder / "app.log")


def run_command(folder: Path, port: int, *options: str) -> list[str]:
    """Return the arguments of `python -m` that run all of Crypto Stream."""
    place = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    return ["crypto_stream", "run", "--port", str(port), *place, *options]


def free_port() -> int:
    """Return an unused port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds that a process has used so far, in user mode and in the kernel."""
    times = process.cpu_times()
    return float(times.user + times.system)


def answers(url: str) -> bool:
    """Return whether /courses responds with 200, which means that there is a fresh quote."""
    try:
        return _ask(f"{url}/courses")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def get(url: str) -> bytes:
    """Return the body at `url`; raise RuntimeError for any status but 200."""
    status, body = _ask(url)
    if status != 200:
        raise RuntimeError(f"HTTP {status} from {url}: {body[:300]!r}")
    return body


def get_json(url: str) -> Any:
    """Return the JSON value at `url`."""
    return json.loads(get(url))


def until(condition: Callable[[], object], what: str, seconds: float = 30.0, step_s: float = 0.02) -> None:
    """Wait until `condition()` holds; raise RuntimeError naming `what` on a timeout."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(step_s)


def _ask(url: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
