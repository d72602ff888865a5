"""How soon a change of a book reaches its viewers: `python -m benchmarks.depth` (2 minutes; --quick).

A fake Binance of 20 pairs changes each top of book, and with it the book, 10 times a second. 1,000 viewers,
of one pair each, get every change of its quote and of its book. Crypto Stream runs on the first core, venue
and viewers on the second. The aim: p99 of the book's changes within 1.5 times that of the quote's.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.on_core import CLIENTS
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, on_core, whole

_RATE = 10.0
_PAIRS = 20
_AIM = 1.5
_WARM_S = 3.0
_READY_S = 120.0
_HEADINGS = (
    *("what", "quote p50 ms", "p99 ms", "book p50 ms", "book p99 ms", "book : quote", "aim"),
    *("changes", "runs"),
)


@click.command(help=__doc__)
@options("depth")
@click.option("--clients", default=1000, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of each run.")
def main(runs: int, quick: bool, only: str, output: Path, clients: int, seconds: float) -> None:
    """Measure each server in turn, print the table, write the results."""
    pairs = _PAIRS
    if quick:
        runs, clients, seconds, pairs = 1, 20, 1.0, 2
    names = chosen(OURS, only)
    rows = interleaved(names, runs, partial(_measure, clients=clients, seconds=seconds, pairs=pairs))
    middle = medians(names, rows)
    setting = {"clients": clients, "rate_hz": _RATE, "pairs": pairs, "seconds": seconds, "aim": _AIM}
    result = {"setting": setting, "medians": middle, "runs": rows}
    finish(output, _HEADINGS, [_line(name, middle.get(name)) for name in names], result)


def _measure(name: str, clients: int, seconds: float, pairs: int) -> Row:
    venue = [sys.executable, "-m", "benchmarks.depth_venue", str(pairs), str(_RATE)]
    with tempfile.TemporaryDirectory(prefix="depth-") as place, on_core(CLIENTS, venue) as running:
        port, symbols = json.loads(running.line())
        settings = {
            "CRYPTO_STREAM_BINANCE_URL": f"ws://127.0.0.1:{port}",
            "CRYPTO_STREAM_BINANCE_REST_URL": f"http://127.0.0.1:{port}",
        }
        wanted = ",".join(symbols)
        with whole(Path(place), OURS[name], settings, "--pairs", wanted) as server:
            command = [sys.executable, "-m", "benchmarks.depth_viewers", server.url, str(clients), wanted]
            with on_core(CLIENTS, command) as viewers:
                viewers.line(_READY_S)
                time.sleep(min(_WARM_S, seconds))
                viewers.send_line("mark")
                viewers.line()
                time.sleep(seconds)
                viewers.send_line("report")
                return _row(json.loads(viewers.line(_READY_S)))


def _row(found: dict[str, Any]) -> Row:
    quotes, books = found["quotes"], found["depth"]
    if found["lost"] or not quotes["count"] or not books["count"]:
        raise RuntimeError(f"{found['lost']} viewers lost, {quotes} quotes, {books} books")
    return {
        "quote_p50_ms": quotes["p50_ms"],
        "quote_p99_ms": quotes["p99_ms"],
        "book_p50_ms": books["p50_ms"],
        "book_p99_ms": books["p99_ms"],
        "quotes": quotes["count"],
        "books": books["count"],
    }


def _line(name: str, row: Row | None) -> list[object]:
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    times = ("quote_p50_ms", "quote_p99_ms", "book_p50_ms", "book_p99_ms")
    figures = [row[key] for key in times]
    apart = ratio(row["book_p99_ms"], row["quote_p99_ms"])
    return [name, *figures, apart, f"< {_AIM:g}", row["books"], row["runs"]]


if __name__ == "__main__":
    main()
