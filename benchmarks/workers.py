"""Frames per second at saturation with one gateway and with two: `python -m benchmarks.workers` (4 minutes).

A fake Binance changes one pair faster and faster; 1,000 clients want every change. The result is how many
frames a second really arrive. Nothing is pinned: engine, venue and clients share the cores with the gateways,
and what each used is in the table. On two cores two gateways cannot have one each.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import click
import psutil

from benchmarks.delivery import SYMBOL, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, Served, bench_venue, whole
from benchmarks.system import cpu_s
from benchmarks.viewing import Viewing, viewing

_RATES = (100.0, 200.0, 400.0)
_DRAIN_S = 60.0
_HEADINGS = (
    *(
        "gateways",
        "frames/s",
        "x one",
        "offered/s",
        "gateways' CPU %",
        "µs/frame of them",
        "frames/s per core",
    ),
    *("engine %", "clients %", "idle %", "runs"),
)


@click.command(help=__doc__)
@options("workers", runs=3)
@click.option("--clients", default=1000, show_default=True)
@click.option("--seconds", default=6.0, show_default=True, help="Of each rate.")
@click.option("--server", default="eventlet", show_default=True)
@click.option("--counts", default="1,2", show_default=True, help="Numbers of gateways to compare.")
def main(
    runs: int, quick: bool, only: str, output: Path, clients: int, seconds: float, server: str, counts: str
) -> None:
    """Measure one and two in turn, print the table, write the results."""
    rates: tuple[float, ...] = _RATES
    if quick:
        runs, clients, seconds, rates = 1, 20, 0.5, _RATES[:1]
    names = chosen([f"{count} on {server}" for count in counts.split(",")], only)
    rows = interleaved(names, runs, partial(_measure, clients=clients, seconds=seconds, rates=rates))
    middle = medians(names, rows)
    setting = {"clients": clients, "rates_hz": rates, "seconds": seconds, "interval_ms": 0}
    first = middle.get(names[0], {}).get("frames_per_s")
    lines = [_line(name, middle.get(name), first) for name in names]
    finish(output, _HEADINGS, lines, {"setting": setting, "medians": middle, "runs": rows})


def _measure(name: str, clients: int, seconds: float, rates: tuple[float, ...]) -> Row:
    count, _, server = name.partition(" on ")
    with tempfile.TemporaryDirectory(prefix="workers-") as place, bench_venue(SYMBOL) as (venue, feed):
        feed.start(2)  # quotes to begin with: the source must be live
        gateways = OURS[next(one for one, name in OURS.items() if name == server)]
        with (
            whole(Path(place), gateways, venue, "--workers", count, core=None) as ours,
            viewing(ours, clients, wish([SYMBOL]), core=None) as viewers,
        ):
            best: Row = {}
            for rate in rates:
                viewers.ask("mark")
                feed.start(rate)
                row = _at_rate(ours, viewers, seconds) | {"offered_per_s": rate * clients}
                if (seen := viewers.settle(feed.stop()["last"], _DRAIN_S))["errors"]:
                    raise RuntimeError(f"{seen['errors']} client errors: {seen['first_errors']}")
                feed.start(2)
                best = max(best, row, key=lambda one: one.get("frames_per_s", 0.0))
            return best


def _at_rate(ours: Served, viewers: Viewing, seconds: float) -> Row:
    halves, theirs = _halves(ours), viewers.cpu_s
    idle, began = psutil.cpu_times().idle, time.perf_counter()
    time.sleep(seconds)
    frames = viewers.report({})["frames"]
    elapsed = time.perf_counter() - began
    used = {half: after - halves.get(half, 0.0) for half, after in _halves(ours).items()}
    gateways = used["gateway"]
    return {
        "frames_per_s": frames / elapsed,
        "gateways_percent": gateways / elapsed * 100,
        "us_per_frame": gateways / frames * 1e6 if frames else None,
        "frames_per_core_s": frames / gateways if gateways else None,
        "engine_percent": used["engine"] / elapsed * 100,
        "clients_percent": (viewers.cpu_s - theirs) / elapsed * 100,
        "idle_percent": (psutil.cpu_times().idle - idle) / elapsed * 100,
    }


def _halves(ours: Served) -> dict[str, float]:
    """Return CPU seconds of engine and gateways, these together."""
    found = {"engine": 0.0, "gateway": 0.0}
    for child in ours.process.children(recursive=True):
        words = child.cmdline()
        for half in found:
            if half in words:
                found[half] += cpu_s(child)
    return found


def _line(name: str, row: Row | None, first: float | None) -> list[object]:
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    keys = ("offered_per_s", "gateways_percent", "us_per_frame", "frames_per_core_s")
    rest = ("engine_percent", "clients_percent", "idle_percent", "runs")
    rate = row["frames_per_s"]
    return [name, rate, ratio(rate, first), *(row[key] for key in (*keys, *rest))]


if __name__ == "__main__":
    main()
