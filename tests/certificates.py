"""Certificates of an authority that only this test knows, made by openssl."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.redis_server import RedisServer, running


class Certificates:
    """An authority of its own, and what it signed: `server.pem` for 127.0.0.1 and `client.pem`."""

    def __init__(self, folder: Path, openssl: str) -> None:
        self.folder = folder
        self._openssl = openssl
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._run(
            "req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests", "-days", "2"
        )
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        for name in ("server", "client"):
            self._run("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            signing = [
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "names",
            ]
            self._run("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)

    def path(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.folder / name)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._openssl, *arguments], cwd=self.folder, check=True, capture_output=True)


@contextmanager
def running_tls(
    program: str, certificates: Certificates, folder: Path, options: list[str], clients: str = "no"
) -> Iterator[RedisServer]:
    """Run a Redis server with TLS; `clients` says whether they need certificates."""
    files = ["--tls-cert-file", certificates.path("server.pem"), "--tls-key-file"]
    files += [certificates.path("server.key"), "--tls-ca-cert-file", certificates.path("ca.pem")]
    with running(program, folder, [*files, "--tls-auth-clients", clients, *options], tls=True) as server:
        yield server
