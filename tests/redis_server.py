"""A real redis-server on a free port of the loopback, with its data in a folder of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.waiting import DEADLINE_S

_STEP_S = 0.01


class RedisServer:
    """A server that can be killed, stopped and started again on the same port."""

    def __init__(
        self,
        program: str,
        folder: Path,
        options: Sequence[str] = (),
        *,
        tls: bool = False,
        host: str = "127.0.0.1",
        under: Sequence[str] = (),
    ) -> None:
        """Prepare `program` in `folder`; `options` are those of its command line.

        It listens at `host`; `under` is a command that runs it.
        """
        self.host = host
        self.port = free_port()
        port, other = ("--tls-port", "--port") if tls else ("--port", "--tls-port")
        self._command = [
            *(*under, program, port, str(self.port), other, "0", "--bind", host, "--protected-mode", "no"),
            *("--save", "", "--appendonly", "no", "--dir", str(folder), "--daemonize", "no", *options),
        ]
        if not tls:
            at = self._command.index(other)
            self._command[at : at + 2] = []  # older servers know no --tls-port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + DEADLINE_S
        while True:
            assert self._process.poll() is None, f"it ended: {self._command}"
            try:
                socket.create_connection((self.host, self.port), 1.0).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"it does not listen: {self._command}"
                time.sleep(_STEP_S)

    def kill(self) -> None:
        """Kill it; everything that it had is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop it, as a machine that hangs: its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue."""
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def command(self, *words: str) -> None:
        """Send it one command of ours, and wait until it was executed."""
        text = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        with socket.create_connection((self.host, self.port), DEADLINE_S) as connection:
            connection.sendall(f"*{len(words)}\r\n{text}".encode())
            assert connection.recv(4096)

    def url(self, name: str = "test", user: str = "", scheme: str = "redis", query: str = "") -> str:
        """Return its URL for the setting `bus`; `user` ends with @."""
        return url(self.port, name, user, scheme, query)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def url(port: int, name: str = "test", user: str = "", scheme: str = "redis", query: str = "") -> str:
    """Return a URL for the setting `bus`."""
    return f"{scheme}://{user}127.0.0.1:{port}/{name}{query}"


@contextmanager
def running(
    program: str, folder: Path, options: Sequence[str] = (), *, tls: bool = False
) -> Iterator[RedisServer]:
    """Run a server; it is killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(program, folder, options, tls=tls)
    server.start()
    try:
        yield server
    finally:
        server.kill()
