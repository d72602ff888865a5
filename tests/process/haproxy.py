"""A real HAProxy in front of gateways, as docs/scale.md shows it: on a loopback port, as nobody special."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.docs.blocks import block
from tests.ports import free_port, listens
from tests.process.programs import short_folder
from tests.waiting import DEADLINE_S, SCALE


class HAProxy:
    """One that can be killed, and started again on the same port."""

    def __init__(
        self, path: str, folder: Path, gateways: tuple[str, str], changes: Mapping[str, str] | None = None
    ) -> None:
        """Prepare the HAProxy at `path`, with its files in `folder`, in front of two gateways, HOST:PORT.

        `changes` are further ones of the documented configuration.
        """
        self._port = free_port()
        self._output = folder / "output"
        self._command = [path, "-db", "-f", str(folder / "haproxy.cfg")]
        self._process: subprocess.Popen[bytes] | None = None
        text = block(
            "scale.md",
            "haproxy",
            {
                "maxconn 250000": "maxconn 500",
                "bind :443 ssl crt /etc/haproxy/site.pem": f"bind 127.0.0.1:{self._port}",
                "10.0.0.11:8000": gateways[0],
                "10.0.0.12:8000": gateways[1],
                **(changes or {}),
            },
        )
        (folder / "haproxy.cfg").write_text(text)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline_s = time.monotonic() + DEADLINE_S
        while not listens(self._port):
            assert self._process.poll() is None, self._output.read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it, with all of its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10 * SCALE)
            self._process = None


@contextmanager
def haproxy(path: str, gateways: tuple[str, str], changes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the HAProxy at `path` in front of two gateways, HOST:PORT each; give its address."""
    with short_folder() as name:
        proxy = HAProxy(path, Path(name), gateways, changes)
        try:
            proxy.start()
            yield proxy.url
        finally:
            proxy.kill()
