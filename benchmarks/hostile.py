"""Crypto Stream under hostile clients: the memory they cost it, and the delay they cost an honest client.

    python -m benchmarks.hostile --seconds 60

Each kind of `benchmarks/attackers.py` goes on for these seconds, in a process of its own, against a system
that was just started. An honest client asks it for one quote about 100 times a second, before the attack
("alone") and beside it. By turns with each of these requests it asks another system on this machine, that
nobody attacks ("elsewhere": what the attack costs by taking processor time). Memory is the most of what a
process holds at the end and two seconds later, less what it held before.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
import httpx

from benchmarks.attackers import KINDS
from benchmarks.report import RESULTS, machine, save
from benchmarks.rounds import chosen
from benchmarks.system import System, crypto_stream, running

# Memory that a gateway may retain, and the seconds it has to free the rest.
MOST_KEPT = 20 * 1024 * 1024
_FORGETS_S = 2.0
_PAUSE_S = 0.004
_WARM_S = 3.0
_ALONE_S = 5.0


class Cost(NamedTuple):
    """Of one kind: MB that stayed in either process; 99 % of the honest answers came within these ms.

    `elsewhere_ms`: of a system on the same machine that is not attacked, meanwhile.
    """

    server: str
    kind: str
    gateway_mb: float
    engine_mb: float
    alone_ms: float
    elsewhere_ms: float
    beside_ms: float

    def __str__(self) -> str:
        """Format as one line."""
        return (
            f"{self.server:9} {self.kind:26} kept {self.gateway_mb:6.1f} MB, engine {self.engine_mb:6.1f} MB"
            f"   p99 {self.alone_ms:6.1f} ms alone, {self.elsewhere_ms:6.1f} elsewhere,"
            f" {self.beside_ms:6.1f} beside"
        )


def measure(server: str, kind: str, seconds: float) -> Cost:
    """Run one kind of attack against a new system."""
    options = ["--sources", "synthetic", "--pairs", "", "--server", server]
    with (
        tempfile.TemporaryDirectory(prefix="hostile-") as folder,
        tempfile.TemporaryDirectory(prefix="hostile-") as another,
        crypto_stream(Path(folder), *options) as system,
        crypto_stream(Path(another), *options) as other,
        httpx.Client(timeout=60) as honest,
    ):
        _waits(honest, [system, other], _WARM_S)
        [alone, _] = _waits(honest, [system, other], min(seconds, _ALONE_S))
        before = _memory(system)
        with running(["benchmarks.attackers", system.url, kind]):
            [beside, elsewhere] = _waits(honest, [system, other], seconds)
            during = _memory(system)
        time.sleep(_FORGETS_S)
        after = _memory(system)
    kept = {half: (max(during[half], after[half]) - before[half]) / 1e6 for half in ("gateway", "engine")}
    return Cost(
        server=server,
        kind=kind,
        gateway_mb=kept["gateway"],
        engine_mb=kept["engine"],
        alone_ms=_p99_ms(alone),
        elsewhere_ms=_p99_ms(elsewhere),
        beside_ms=_p99_ms(beside),
    )


def _memory(system: System) -> dict[str, int]:
    return {name: usage.rss for name, usage in system.usage().items()}


def _waits(honest: httpx.Client, systems: list[System], seconds: float) -> list[list[float]]:
    """Send requests to these systems by turns; return the seconds that each response took, per system."""
    took: list[list[float]] = [[] for _ in systems]
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for system, waits in zip(systems, took, strict=True):
            began = time.monotonic()
            honest.get(f"{system.url}/courses/ticker_00").raise_for_status()
            waits.append(time.monotonic() - began)
            time.sleep(_PAUSE_S)
    return took


def _p99_ms(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1] * 1000


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, show_default=True, help="Of each kind.")
@click.option("--servers", default="eventlet,gevent", show_default=True)
@click.option("--only", default="", help="Kinds whose names have one of these words, separated by commas.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS / "hostile.json", show_default=True
)
def main(seconds: float, servers: str, only: str, output: Path) -> None:
    """Measure the given kinds; status 1 if a gateway retained too much memory."""
    kinds, costs = chosen(KINDS, only), []
    for server in servers.split(","):
        for kind in kinds:
            costs.append(measure(server, kind, seconds))
            print(costs[-1], flush=True)
    save(output, {"machine": machine(), "seconds": seconds, "costs": [cost._asdict() for cost in costs]})
    if fat := [f"{cost.server}, {cost.kind}" for cost in costs if cost.gateway_mb * 1e6 > MOST_KEPT]:
        sys.exit(f"the gateway retained more than {MOST_KEPT / 1e6:.0f} MB: {'; '.join(fat)}")


if __name__ == "__main__":
    main()
