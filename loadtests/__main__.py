"""Put load on a gateway: `python -m loadtests` (`make loadtest`); the exit code says if all thresholds hold.

Without --host it starts a gateway of its own with fake Binance and OKX. Only loopback is loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import click

from benchmarks.system import ROOT, crypto_stream, fake_venue
from loadtests.charts import shoot

_RESULTS = Path(__file__).parent / "results"
_SPARE_S = 60


@click.command(help=__doc__)
@click.option("--host", help="Address of a running gateway, http://127.0.0.1:8000. [one is started]")
@click.option("--seconds", default=60, show_default=True)
@click.option("--readers", default=100, show_default=True)
@click.option("--pace", default=20.0, show_default=True, help="Requests a second of one reader, at most.")
@click.option("--viewers", default=20, show_default=True)
@click.option("--processes", default=1, show_default=True, help="Processes of Locust.")
@click.option("--server", default="eventlet", show_default=True, help="Green server of a gateway of its own.")
@click.option("--least-rps", default=1500.0, show_default=True)
@click.option("--most-p95-ms", default=50.0, show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=_RESULTS, show_default=True)
@click.option("--screenshots", type=click.Path(path_type=Path), help="Folder for the charts as PNG.")
def main(
    host: str | None,
    seconds: int,
    readers: int,
    viewers: int,
    processes: int,
    server: str,
    results: Path,
    screenshots: Path | None,
    **limits: float,
) -> None:
    """Run Locust, write its reports, exit with its exit code."""
    results.mkdir(parents=True, exist_ok=True)
    report = results / "report.html"
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--reset-stats"),
        *("--locustfile", str(Path(__file__).parent / "locustfile.py")),
        *("--users", str(readers + viewers), "--spawn-rate", str(readers + viewers)),
        *("--run-time", f"{seconds}s", "--stop-timeout", "5"),
        *("--csv", str(results / "report"), "--html", str(report)),
    ]
    if processes > 1:
        command += ["--processes", str(processes)]
    given = {f"LOADTEST_{_NAMES[name]}": str(value) for name, value in limits.items()}
    environment = {**os.environ, **given, "LOADTEST_VIEWERS": str(viewers)}
    with _target(host, server) as url:
        done = subprocess.run(
            [*command, "--host", url], cwd=ROOT, env=environment, timeout=seconds + _SPARE_S, check=False
        )
    print(f"written: {report}")
    if screenshots:
        shoot(report, screenshots)
    sys.exit(done.returncode)


_NAMES = {"pace": "PACE", "least_rps": "RPS", "most_p95_ms": "P95_MS"}


@contextmanager
def _target(host: str | None, server: str) -> Iterator[str]:
    if host:
        if not _is_loopback(urlsplit(host).hostname or ""):
            raise click.BadParameter("only loopback is loaded", param_hint="--host")
        yield host
        return
    with (
        tempfile.TemporaryDirectory(prefix="loadtest-") as place,
        fake_venue("binance", rate=5) as binance,
        fake_venue("okx", rate=5) as okx,
        crypto_stream(
            Path(place),
            # Two sources are enough for an index here; both are connected anyway.
            *("--sources", "binance,okx", "--server", server, "--index-min", "2"),
            environment={**binance.settings, **okx.settings},
        ) as system,
    ):
        yield system.url


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


if __name__ == "__main__":
    main()
