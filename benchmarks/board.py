"""A full board for many clients: `python -m benchmarks.board` (about 11 minutes; --quick to check).

100 tickers change together once a second and go whole (interval 0) to 10,000 clients of one gateway on one
core, first uncompressed, then compressed. Feeder and clients share the second core.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from benchmarks.delivery import figures, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from benchmarks.servers import OURS, Served, feeder, gateway
from benchmarks.viewing import viewing

_TICKERS = [f"ticker_{number:02d}" for number in range(100)]
_RATE = 1.0
_SETTLE_S = 3.0
_ENCODINGS = ("uncompressed", "compressed")
_HEADINGS = (
    *("gateway", "p50 ms", "p99 ms", "p99.9 ms", "frames", "missing", "skipped", "server %", "clients %"),
    *("CPU µs/frame", "bytes/frame", "MB/s", "kB/client", "runs"),
)


@click.command(help=__doc__)
@options("board", runs=1)
@click.option("--clients", default=10_000, show_default=True)
@click.option("--seconds", default=300.0, show_default=True, help="Of each run.")
@click.option("--servers", default="eventlet", show_default=True, help="Green servers, separated by commas.")
def main(runs: int, quick: bool, only: str, output: Path, clients: int, seconds: float, servers: str) -> None:
    """Measure without and with compression, print the table, write the results."""
    if quick:
        runs, clients, seconds = 1, 20, 2.0
    known = [name for name, server in OURS.items() if server in servers.split(",")]
    names = chosen([f"{name}, {encoding}" for name in known for encoding in _ENCODINGS], only)
    rows = interleaved(names, runs, partial(_measure, clients=clients, seconds=seconds))
    middle = medians(names, rows)
    setting = {
        "clients": clients,
        "tickers": len(_TICKERS),
        "rate_hz": _RATE,
        "seconds": seconds,
        "interval_ms": 0,
    }
    engine = "benchmarks.feeder over the real bus, all tickers at once"
    lines = [_line(name, middle.get(name)) for name in names]
    finish(output, _HEADINGS, lines, {"setting": setting, "engine": engine, "medians": middle, "runs": rows})


def _measure(name: str, clients: int, seconds: float) -> Row:
    server, _, encoding = name.rpartition(", ")
    with (
        tempfile.TemporaryDirectory(prefix="board-") as place,
        feeder(Path(place), _TICKERS) as feed,
        gateway(Path(place), OURS[server], "--max-viewers", str(clients + 100)) as running,
    ):
        empty = running.used().rss
        compressed = encoding == "compressed"
        with viewing(running, clients, wish("all"), compress=compressed) as viewers:
            time.sleep(min(_SETTLE_S, seconds))
            before, theirs, began = running.used(), viewers.cpu_s, time.perf_counter()
            viewers.ask("mark")
            feed.start(_RATE)
            time.sleep(seconds)
            row = figures(viewers, running, feed.stop(), before.cpu_s, theirs, began)
            return row | _sizes(row, running, empty, clients, seconds)


def _sizes(row: Row, running: Served, empty: int, clients: int, seconds: float) -> Row:
    return {
        "bytes_per_frame": row["bytes"] / row["frames"],
        "mb_per_s": row["bytes"] / seconds / 1e6,
        "kb_per_client": (running.used().rss - empty) / clients / 1000,
    }


def _line(name: str, row: Row | None) -> Sequence[object]:
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    keys = (
        "p50_ms",
        "p99_ms",
        "p999_ms",
        "frames",
        "missing",
        "skipped",
        "server_percent",
        "clients_percent",
    )
    sizes = ("us_per_frame", "bytes_per_frame", "mb_per_s", "kb_per_client", "runs")
    return [name, *(row[key] for key in (*keys, *sizes))]


if __name__ == "__main__":
    main()
