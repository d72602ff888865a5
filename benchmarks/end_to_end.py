"""Latency from the venue to the viewers: `python -m benchmarks.end_to_end` (5 minutes; --quick).

A fake Binance changes one pair's top of book 40 times a second; 1,000 clients of that pair get every
change. All of Crypto Stream (engine, gateway, supervisor) runs on the first core, venue and clients on the
second. The send loop of the same rounds gets the same moments as ready quotes: no venue's frame to parse, no
book, no second process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from benchmarks.delivery import SYMBOL, figures, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, Feeder, Served, bench_venue, described, served, whole
from benchmarks.viewing import viewing

_RATE = 40.0
_WARM_S = 2.0
_BARE = "bare send loop"
_HEADINGS = (
    *("from the venue through", "p50 ms", "x send loop", "p99 ms", "x send loop ", "p99.9 ms"),
    *("CPU µs/frame", "frames", "missing", "server %", "clients %", "runs"),
)


@click.command(help=__doc__)
@options("end_to_end")
@click.option("--clients", default=1000, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of each run.")
def main(runs: int, quick: bool, only: str, output: Path, clients: int, seconds: float) -> None:
    """Measure every variant in turn, print the table, write the results."""
    if quick:
        runs, clients, seconds = 1, 20, 1.0
    names = chosen([_BARE, *OURS], only)
    rows = interleaved(names, runs, partial(_measure, clients=clients, seconds=seconds))
    middle = medians(names, rows)
    setting = {"clients": clients, "rate_hz": _RATE, "seconds": seconds, "interval_ms": 0}
    result = {"setting": setting, "medians": middle, "runs": rows, "peers": described(names)}
    finish(output, _HEADINGS, [_line(name, middle) for name in names], result)


def _measure(name: str, clients: int, seconds: float) -> Row:
    subscription = wish([SYMBOL]) if name in OURS else None
    last = "last" if name in OURS else "last_lines"
    with (
        tempfile.TemporaryDirectory(prefix="end-to-end-") as place,
        bench_venue(SYMBOL) as (venue, feed),
        _serving(name, Path(place), venue, feed) as server,
        viewing(server, clients, subscription) as viewers,
    ):
        feed.start(_RATE)
        time.sleep(min(_WARM_S, seconds))
        feed.stop()
        time.sleep(1)
        before, theirs, began = server.used().cpu_s, viewers.cpu_s, time.perf_counter()
        viewers.ask("mark")
        feed.start(_RATE)
        time.sleep(seconds)
        end = feed.stop()
        return figures(viewers, server, {**end, "last": end[last]}, before, theirs, began)


@contextmanager
def _serving(name: str, place: Path, venue: Mapping[str, str], feed: Feeder) -> Iterator[Served]:
    if name not in OURS:
        with served(name, place, feed) as peer:
            yield peer
        return
    feed.start(2)  # initial quotes: the source must be live
    with whole(place, OURS[name], venue) as ours:
        yield ours


def _line(name: str, middle: Mapping[str, Row]) -> list[object]:
    row, bare = middle.get(name), middle.get(_BARE, {})
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    p50, p99 = row["p50_ms"], row["p99_ms"]
    rest = ("us_per_frame", "frames", "missing", "server_percent", "clients_percent", "runs")
    ratios = (ratio(p50, bare.get("p50_ms")), ratio(p99, bare.get("p99_ms")))
    return [name, p50, ratios[0], p99, ratios[1], row["p999_ms"], *(row[key] for key in rest)]


if __name__ == "__main__":
    main()
