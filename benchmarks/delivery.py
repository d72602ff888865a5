"""CPU per delivered frame, side by side: `python -m benchmarks.delivery` (10 minutes; --quick to check).

One quote changes 20 times a second and goes to 1,000 clients. Server on the first core, clients and feeder
on the second. Our gateway is the real one; its engine is the feeder, over the real bus. Peers get the same
quotes as lines and send the same bytes. A run with any client error is void.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import DELIVERY_PEERS, OURS, Served, described, feeder, has_node, served
from benchmarks.viewing import Viewing, viewing

SYMBOL = "btcusdt"
_RATE = 20.0
_WARM_S = 2.0
_DRAIN_S = 1.0
_HEADINGS = (
    *("server", "CPU µs/frame", "x send loop", "x Node", "x stock", "p50 ms", "p99 ms", "p99.9 ms"),
    *("frames", "missing", "server %", "clients %", "runs"),
)


@click.command(help=__doc__)
@options("delivery")
@click.option("--clients", default=1000, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of each run.")
def main(runs: int, quick: bool, only: str, output: Path, clients: int, seconds: float) -> None:
    """Measure every server in turn, print the table, write the results."""
    if quick:
        runs, clients, seconds = 1, 20, 1.0
    names = chosen(available(), only)
    rows = interleaved(names, runs, lambda name: measure(name, clients, _RATE, seconds))
    middle = medians(names, rows)
    result = {
        "setting": {
            "clients": clients,
            "rate_hz": _RATE,
            "seconds": seconds,
            "symbols": [SYMBOL],
            "interval_ms": 0,
        },
        "engine": "benchmarks.feeder over the real bus, no venue",
        "medians": middle,
        "runs": rows,
        "peers": described(names),
    }
    finish(output, _HEADINGS, [_line(name, middle) for name in names], result)


def available() -> list[str]:
    """Return what can be measured here; the Node peers only if Node and their modules are installed."""
    return [name for name in (*DELIVERY_PEERS, *OURS) if has_node() or not name.startswith("Node")]


def measure(name: str, clients: int, rate: float, seconds: float) -> Row:
    """Deliver one quote at `rate` to all clients for some seconds; raise RuntimeError on a client error."""
    with (
        tempfile.TemporaryDirectory(prefix="delivery-") as folder,
        feeder(Path(folder), [SYMBOL]) as feed,
        served(name, Path(folder), feed) as server,
        viewing(server, clients, wish([SYMBOL]) if name in OURS else None) as viewers,
    ):
        feed.start(rate)
        time.sleep(min(_WARM_S, seconds))
        feed.stop()
        time.sleep(min(_DRAIN_S, seconds))
        before, theirs, began = server.used(), viewers.cpu_s, time.perf_counter()
        viewers.ask("mark")
        feed.start(rate)
        time.sleep(seconds)
        row = figures(viewers, server, feed.stop(), before.cpu_s, theirs, began)
        if before.rss:
            row["rss_mb"] = server.used().rss / 1e6
        return row


def wish(symbols: list[str] | str) -> Mapping[str, object]:
    """Return our viewers' subscription: every change."""
    return {"symbols": symbols, "interval_ms": 0}


def figures(
    viewers: Viewing,
    server: Served,
    end: Mapping[str, Any],
    before_s: float,
    theirs_s: float,
    began_s: float,
) -> Row:
    """Calculate the figures of one run once everything is delivered; raise RuntimeError on a client error."""
    seen = viewers.settle(end["last"])
    cpu_s, clients_s = server.used().cpu_s - before_s, viewers.cpu_s - theirs_s
    elapsed_s = time.perf_counter() - began_s
    if seen["errors"]:
        raise RuntimeError(f"{seen['errors']} client errors: {seen['first_errors']}")
    if not seen["frames"]:
        raise RuntimeError("no frame arrived")
    ages = seen["age_ms"]
    return {
        "us_per_frame": cpu_s / seen["frames"] * 1e6,
        "p50_ms": ages["p50"],
        "p99_ms": ages["p99"],
        "p999_ms": ages["p999"],
        "frames": seen["frames"],
        "missing": end["steps"] * viewers.count - seen["frames"],
        "skipped": seen["skipped"],
        "repeated": seen["repeated"],
        "bytes": seen["bytes"],
        "server_percent": cpu_s / elapsed_s * 100,
        "clients_percent": clients_s / elapsed_s * 100,
    }


def _line(name: str, middle: Mapping[str, Row]) -> list[object]:
    row = middle.get(name)
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    mine = row["us_per_frame"]
    others = ("bare send loop", "Node socket.io", "Flask-SocketIO, eventlet")
    ratios = [ratio(mine, middle.get(other, {}).get("us_per_frame")) for other in others]
    rest = ("p50_ms", "p99_ms", "p999_ms", "frames", "missing", "server_percent", "clients_percent", "runs")
    return [name, mine, *ratios, *(row[key] for key in rest)]


if __name__ == "__main__":
    main()
