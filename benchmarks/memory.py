"""Memory per idle client: `python -m benchmarks.memory` (about 5 minutes; --quick to check).

2,000 clients connect, join and then receive nothing but pings: the server's resident memory (with children)
after minus before, divided by their number. Ours are subscribed to one quote and have its snapshot.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import click

from benchmarks.delivery import SYMBOL, available, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, described, feeder, served
from benchmarks.viewing import viewing

_STOCK = "Flask-SocketIO, eventlet"
_SETTLE_S = 3.0
_HEADINGS = ("server", "kB/client", "x stock", "empty MB", "full MB", "runs")


@click.command(help=__doc__)
@options("memory")
@click.option("--clients", default=2000, show_default=True)
def main(runs: int, quick: bool, only: str, output: Path, clients: int) -> None:
    """Measure every server in turn, print the table, write the results."""
    if quick:
        runs, clients = 1, 20
    names = chosen(available(), only)
    rows = interleaved(names, runs, partial(_measure, clients=clients))
    middle = medians(names, rows)
    stock = middle.get(_STOCK, {}).get("kb_per_client")
    lines = []
    for name in names:
        row = middle.get(name)
        keys = ("empty_mb", "full_mb", "runs")
        mine = row["kb_per_client"] if row else None
        lines.append([name, mine, ratio(mine, stock), *((row[key] for key in keys) if row else [None] * 3)])
    result = {"setting": {"clients": clients}, "medians": middle, "runs": rows, "peers": described(names)}
    finish(output, _HEADINGS, lines, result)


def _measure(name: str, clients: int) -> Row:
    with (
        tempfile.TemporaryDirectory(prefix="memory-") as place,
        feeder(Path(place), [SYMBOL]) as feed,
        served(name, Path(place), feed) as server,
    ):
        ours = wish([SYMBOL]) if name in OURS else None
        with viewing(server, 1, ours):
            pass  # what the first connection loads is not part of the cost of the others
        time.sleep(min(1.0, clients / 100))
        empty = server.used().rss
        with viewing(server, clients, ours) as viewers:
            time.sleep(min(_SETTLE_S, clients / 100))
            full = server.used().rss
            quotes = feed.stop()["last"]
            if name in OURS and (errors := viewers.report(quotes)["first_errors"]):
                raise RuntimeError(f"client errors: {errors}")
    return {"kb_per_client": (full - empty) / clients / 1000, "empty_mb": empty / 1e6, "full_mb": full / 1e6}


if __name__ == "__main__":
    main()
