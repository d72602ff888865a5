"""Crypto Stream under hostile clients: the memory they cost it, and the delay they cost the others.

    python -m benchmarks.hostile --seconds 60

Each kind of `benchmarks/attackers.py` goes on for these seconds, in a process of its own, against a system
that was just started. The others are 100 viewers of a pair that changes 40 times a second, and a client that
asks for one quote about 100 times a second. Another system on this machine that nobody attacks has as many
viewers of the same venue, and gets a request by turns with the attacked one: "elsewhere" is what the attack
costs by taking processor time, "beside" what it costs besides. Memory is the most of what a process holds at
the end and two seconds later, less what it held before.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import click
import httpx

from benchmarks.attackers import KINDS
from benchmarks.delivery import SYMBOL, wish
from benchmarks.report import RESULTS, machine, save
from benchmarks.rounds import chosen
from benchmarks.servers import bench_venue, whole
from benchmarks.system import System, running
from benchmarks.viewing import Viewing, viewing

# Memory that a gateway may retain, and the seconds it has to free the rest.
MOST_KEPT = 20 * 1024 * 1024
_FORGETS_S = 2.0
_PAUSE_S = 0.004
_WARM_S = 3.0
_VIEWERS = 100
_RATE = 40.0
# Shows what the measurement itself is worth: both systems alike.
_NO_ATTACK = "no attack"


class Cost(NamedTuple):
    """Of one kind: MB that stayed in either process, and the p99 of the delay of the others in ms.

    Requests: until their response. Quotes: from the venue to a viewer. `elsewhere`: of a system on the same
    machine that is not attacked, meanwhile; `beside`: of the attacked one.
    """

    server: str
    kind: str
    gateway_mb: float
    engine_mb: float
    requests_elsewhere_ms: float
    requests_beside_ms: float
    quotes_elsewhere_ms: float
    quotes_beside_ms: float

    def __str__(self) -> str:
        """Format as one line."""
        requests = f"{self.requests_elsewhere_ms:6.2f} elsewhere, {self.requests_beside_ms:6.2f} beside"
        quotes = f"{self.quotes_elsewhere_ms:6.2f} elsewhere, {self.quotes_beside_ms:6.2f} beside"
        return (
            f"{self.server:9} {self.kind:33} kept {self.gateway_mb:5.1f} MB, engine {self.engine_mb:5.1f} MB"
            f"   p99 ms of requests {requests}; of quotes {quotes}"
        )


def measure(server: str, kind: str, seconds: float) -> Cost:
    """Run one kind of attack against a new system."""
    with _viewed(server) as [attacked, other], httpx.Client(timeout=60) as client:
        systems, crowds = [attacked.system, other.system], [attacked.viewers, other.viewers]
        _waits(client, systems, min(seconds, _WARM_S))
        before = _memory(attacked.system)
        for viewers in crowds:
            viewers.ask("mark")
        attack = ["benchmarks.attackers", attacked.system.url, kind]
        with running(attack) if kind in KINDS else nullcontext():
            [beside, elsewhere] = _waits(client, systems, seconds)
            [quotes_beside_ms, quotes_elsewhere_ms] = map(_quotes_ms, crowds)
            during = _memory(attacked.system)
        time.sleep(_FORGETS_S)
        after = _memory(attacked.system)
    kept = {half: (max(during[half], after[half]) - before[half]) / 1e6 for half in ("gateway", "engine")}
    return Cost(
        server=server,
        kind=kind,
        gateway_mb=kept["gateway"],
        engine_mb=kept["engine"],
        requests_elsewhere_ms=_p99_ms(elsewhere),
        requests_beside_ms=_p99_ms(beside),
        quotes_elsewhere_ms=quotes_elsewhere_ms,
        quotes_beside_ms=quotes_beside_ms,
    )


class _Viewed(NamedTuple):
    system: System
    viewers: Viewing


@contextmanager
def _viewed(server: str) -> Iterator[list[_Viewed]]:
    """Run two systems on one venue, each with its viewers."""
    options = ["--sources", "binance,synthetic"]
    with bench_venue(SYMBOL) as (venue, feed), ExitStack() as stack:
        feed.start(_RATE)
        viewed = []
        for _ in range(2):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
            served = stack.enter_context(whole(folder, server, venue, *options, core=None))
            viewers = stack.enter_context(viewing(served, _VIEWERS, wish([SYMBOL]), core=None))
            viewed.append(_Viewed(System(served.process, served.url, folder / "app.log"), viewers))
        yield viewed


def _memory(system: System) -> dict[str, int]:
    return {name: usage.rss for name, usage in system.usage().items()}


def _waits(client: httpx.Client, systems: list[System], seconds: float) -> list[list[float]]:
    """Send requests to these systems by turns; return the seconds that each response took, per system."""
    took: list[list[float]] = [[] for _ in systems]
    turns = list(zip(systems, took, strict=True))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for system, waits in turns:
            began = time.monotonic()
            client.get(f"{system.url}/courses/{SYMBOL}").raise_for_status()
            waits.append(time.monotonic() - began)
            time.sleep(_PAUSE_S)
        turns.reverse()  # neither is always the second
    return took


def _p99_ms(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1] * 1000


def _quotes_ms(viewers: Viewing) -> float:
    """Return the 99th percentile of the age of the quotes that arrived; RuntimeError if a viewer was lost."""
    seen = viewers.report({})
    if "connection lost" in seen["first_errors"]:
        raise RuntimeError(f"viewers were lost: {seen['first_errors']}")
    age_ms: float = seen["age_ms"]["p99"]
    return age_ms


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, show_default=True, help="Of each kind.")
@click.option("--servers", default="eventlet,gevent", show_default=True)
@click.option("--only", default="", help="Kinds whose names have one of these words, separated by commas.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS / "hostile.json", show_default=True
)
def main(seconds: float, servers: str, only: str, output: Path) -> None:
    """Measure the given kinds; status 1 if a gateway retained too much memory."""
    kinds, costs = chosen([_NO_ATTACK, *KINDS], only), []
    for server in servers.split(","):
        for kind in kinds:
            costs.append(measure(server, kind, seconds))
            print(costs[-1], flush=True)
    save(output, {"machine": machine(), "seconds": seconds, "costs": [cost._asdict() for cost in costs]})
    if fat := [f"{cost.server}, {cost.kind}" for cost in costs if cost.gateway_mb * 1e6 > MOST_KEPT]:
        sys.exit(f"the gateway retained more than {MOST_KEPT / 1e6:.0f} MB: {'; '.join(fat)}")


if __name__ == "__main__":
    main()
