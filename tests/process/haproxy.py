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


@contextmanager
def haproxy(path: str, gateways: tuple[str, str], changes: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the HAProxy at `path` in front of two gateways, HOST:PORT each; give its address."""
    port = free_port()
    text = block(
        "scale.md",
        "haproxy",
        {
            "maxconn 250000": "maxconn 500",
            "bind :443 ssl crt /etc/haproxy/site.pem": f"bind 127.0.0.1:{port}",
            "10.0.0.11:8000": gateways[0],
            "10.0.0.12:8000": gateways[1],
            **(changes or {}),
        },
    )
    with short_folder() as name:
        folder = Path(name)
        (folder / "haproxy.cfg").write_text(text)
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [path, "-db", "-f", str(folder / "haproxy.cfg")],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            deadline_s = time.monotonic() + DEADLINE_S
            while not listens(port):
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10 * SCALE)
