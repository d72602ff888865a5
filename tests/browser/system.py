"""The whole system as subprocesses: two fake venues, and `python -m crypto_stream run` on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.waiting import SCALE

ROOT = Path(__file__).parents[2]
SERVES = re.compile(r"serves (http://[^ ]+)")


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait until `condition` holds; fail naming `what` after the deadline."""
    deadline = time.monotonic() + seconds * SCALE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Process:
    """One subprocess; its last 200 lines are kept to be shown on failure."""

    def __init__(self, arguments: Sequence[str], folder: Path, environ: dict[str, str]) -> None:
        """Start `python -m ARGUMENTS` in `folder`."""
        self.lines: deque[str] = deque(maxlen=200)
        self._popen = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def line(self, pattern: str, seconds: float = 20.0) -> str:
        """Wait for a line with `pattern`; return its first group."""
        found: list[str] = []

        def look() -> bool:
            if self._popen.poll() is not None:
                raise AssertionError(f"ended with {self._popen.returncode}: {list(self.lines)}")
            found.extend(match[1] for line in list(self.lines) if (match := re.search(pattern, line)))
            return bool(found)

        until(look, f"a line like {pattern!r}", seconds)
        return found[0]

    def stop(self) -> None:
        """Terminate it, or kill it if that takes too long."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(10 * SCALE)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait(10 * SCALE)
        self._reader.join(5)
        if self._popen.stdout:
            self._popen.stdout.close()


class System:
    """Fake venues, by default Binance and OKX, and Crypto Stream on them; `with` starts and ends all."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        venues: Sequence[str] = ("binance", "okx"),
        near: Sequence[str] = (),
    ) -> None:
        """Keep data and log in `folder`; `options` are added to the command.

        `near` are the distances of the venues' prices from each other, in bps; without it the venues have
        distances of their own, which are so large that every best price is crossed.
        """
        self._folder = folder
        self._venues = venues
        self._options = options
        self._near = near
        self.ports: dict[str, str] = {}
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        environ = {}
        for venue, near in zip_longest(self._venues, self._near):
            start = () if near is None else (f"--near={near}",)
            fake = Process(["tests.fakes", venue, "--rate", "20", *start], self._folder, {})
            self._processes.append(fake)
            port = self.ports[venue] = fake.line(r"^(\d+)$")
            environ[f"CRYPTO_STREAM_{venue.upper()}_URL"] = f"ws://127.0.0.1:{port}"
            environ[f"CRYPTO_STREAM_{venue.upper()}_REST_URL"] = f"http://127.0.0.1:{port}"
        command = ["crypto_stream", "run", "--port", "0", "--seed", "7", *self._options]
        self._run = Process(command, self._folder, environ)
        self._processes.append(self._run)
        self.url = self._run.line(SERVES.pattern, 30).rstrip("/")

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()

    def fault(self, venue: str, name: str, symbol: str = "") -> None:
        """Set a fake venue's fault; "none" ends it."""
        self.control(venue, fault=name, symbol=symbol)

    def control(self, venue: str, **query: str) -> Any:
        """Ask a fake venue's control page for something; return what it has sent and seen."""
        address = f"http://127.0.0.1:{self.ports[venue]}/_fake?{urlencode(query)}"
        with urlopen(address, timeout=5) as answer:
            assert answer.status == 200
            return json.load(answer)

    def pin(self, source: str) -> None:
        """Pin a source, or unpin with `auto`."""
        self._post("/sources/active", {"source": source})

    def change(self, *, add: list[str] | None = None, remove: list[str] | None = None) -> None:
        """Add and remove instruments."""
        self._post("/instruments", {"add": add or [], "remove": remove or []})

    def _post(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = Request(f"{self.url}{path}", json.dumps(body).encode(), headers)
        with urlopen(request, timeout=20 * SCALE) as answer:
            assert answer.status < 300

    @property
    def token(self) -> str:
        """The admin token in the data directory."""
        return (self._folder / "data" / "admin-token").read_text().strip()

    def children(self, half: str) -> list[int]:
        """List the current process ids of the `engine` or `gateway`."""
        found = subprocess.run(
            ["pgrep", "-P", str(self._run.pid), "-f", f"crypto_stream {half}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return [int(pid) for pid in found.stdout.split()]

    def child(self, half: str) -> int:
        """Return the process id of the `engine` or `gateway`."""
        pids = self.children(half)
        assert len(pids) == 1, (half, pids, list(self._run.lines)[-20:])
        return pids[0]

    def kill(self, half: str) -> int:
        """Kill a half, like a crash; return its former process id."""
        pid = self.child(half)
        os.kill(pid, signal.SIGKILL)
        return pid

    def restart_engine(self) -> None:
        """Kill the engine, like a crash; return when the gateway follows the new one."""
        before = self._newest_start()
        self.kill("engine")
        until(lambda: self._newest_start() != before, "a new engine")

    def _newest_start(self) -> Any:
        with urlopen(f"{self.url}/sources", timeout=5 * SCALE) as answer:
            return json.load(answer)["starts"][-1]

    def freeze(self, half: str) -> int:
        """Freeze a half, like a hang; return its process id."""
        pid = self.child(half)
        os.kill(pid, signal.SIGSTOP)
        return pid

    def thaw(self, pid: int) -> None:
        """Resume a frozen process, unless the supervisor has replaced it."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
