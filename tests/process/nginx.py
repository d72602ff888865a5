"""A real nginx in front of a gateway: on a loopback port, in a folder of its own, as nobody special."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.ports import free_port, listens
from tests.process.programs import short_folder
from tests.waiting import DEADLINE_S, SCALE

_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {outside}
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""

# What stands outside of the server for WebSockets to pass.
UPGRADING = "map $http_upgrade $connection_upgrade { default upgrade; '' ''; }"


def located(at: str, target: str) -> str:
    """Write the location that serves all of `target` under the path `at`, as docs/operations.md shows it."""
    return f"""location {at} {{
        proxy_pass {target};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        proxy_buffering off;
    }}"""


class Proxy(NamedTuple):
    """A running nginx: its address, http://127.0.0.1:PORT, and its folder."""

    url: str
    folder: Path

    def access_log(self) -> str:
        """Return all that it has noted of requests."""
        return (self.folder / "access.log").read_text()


@contextmanager
def nginx(path: str, locations: str, outside: str = "") -> Iterator[Proxy]:
    """Run the nginx at `path` with these locations in one server, and what stands `outside` of it."""
    with short_folder() as name:
        folder = Path(name)
        port = free_port()
        text = _CONFIGURATION.format(folder=folder, port=port, locations=locations, outside=outside)
        (folder / "nginx.conf").write_text(text)
        command = [path, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            deadline_s = time.monotonic() + DEADLINE_S
            while not listens(port):
                assert process.poll() is None, (folder / "output").read_text()
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            yield Proxy(f"http://127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            process.wait(10 * SCALE)
