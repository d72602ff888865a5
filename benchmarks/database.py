"""Measure the stores: `python -m benchmarks.database` (about 5 minutes; --quick to check).

The writers of orders and of bars as the engine calls them, on SQLite and on a PostgreSQL of their own on this
machine, interleaved. Each commit waits for the disk, but for bars in SQLite (synchronous=NORMAL). Counted are
rows a second, and the CPU time of the writing thread per row; PostgreSQL's own processes come on top.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import click

from benchmarks.past import pair
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from crypto_stream.market.orders import ExecType, Order, Report, Side, Ticket
from crypto_stream.storage.interface import Batch, OrderBatch, StoredBar, Stores
from crypto_stream.storage.postgres_stores import PostgresStores
from crypto_stream.storage.sqlite_stores import SqliteStores
from tests.installed import installed
from tests.postgres import Server, server

_OWNERS = 50
_ORDERS = (1, 50, 229)  # the last is the usual number at full speed, see benchmarks.orders
_BARS = (103, 1_000)
_SECOND_MS = 1_000
_BEGIN_MS = 1_800_000_000_000
_HEADINGS = ("what", "rows/s", "CPU us a row", "commits/s", "ms a commit", "runs")
Write = Callable[[int], None]


@click.command(help=__doc__)
@options("database", runs=3)
@click.option("--seconds", default=5.0, show_default=True, help="How long each is measured.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure each in turn, print the table, write the results."""
    if quick:
        runs, seconds = 1, 0.2
    with server(_path, durable=True) as postgres, tempfile.TemporaryDirectory(prefix="database-") as place:
        folder = Path(place)
        measures: dict[str, Callable[[], Row]] = {}
        for what, sizes, measure in (("orders", _ORDERS, _orders), ("bars", _BARS, _bars)):
            for size in sizes:
                name = f"{what}, {size} a commit"
                measures[f"{name}: SQLite"] = partial(measure, folder, None, size, seconds)
                measures[f"{name}: PostgreSQL"] = partial(measure, folder, postgres, size, seconds)
        names = chosen(measures, only)
        rows = interleaved(names, runs, lambda name: measures[name]())
    middle = medians(names, rows)
    result = {"setting": {"seconds": seconds, "owners": _OWNERS}, "medians": middle, "runs": rows}
    finish(output, _HEADINGS, [_line(name, middle.get(name)) for name in names], result)


def _path(name: str) -> str:
    path = installed(name)
    if path is None:
        raise click.ClickException(f"{name} is not installed: apt-get install postgresql")
    return path


def _stores(folder: Path, postgres: Server | None) -> Stores:
    """Return empty stores, acquired."""
    place = Path(tempfile.mkdtemp(dir=folder))
    stores: Stores = SqliteStores(place) if postgres is None else PostgresStores(postgres.database(), place)
    stores.acquire()
    return stores


def _orders(folder: Path, postgres: Server | None, size: int, seconds: float) -> Row:
    """Write new orders of 50 owners, so many a commit; afterwards all of them must be there."""
    with closing(_stores(folder, postgres)) as stores, closing(stores.orders()[0]) as writer:
        writer.open()
        ranks, seqs = count(1), [0] * _OWNERS

        def write(size: int) -> None:
            writer.write(OrderBatch([_placed(next(ranks), seqs) for _ in range(size)], {}, frozenset()))

        row = _measured(write, size, seconds)
        found = len(writer.open().active)
        if found != next(ranks) - 1:
            raise RuntimeError(f"{found} orders are stored")
    return row


def _placed(rank: int, seqs: list[int]) -> Report:
    number = rank % _OWNERS
    seqs[number] += 1
    ticket = Ticket("eurrub", Side.BUY, "10", "87.25")
    order_id = f"0197a1b2-{rank:012x}-7000-8000"
    now_ms = _BEGIN_MS + rank
    order = Order(order_id, f"owner {number:030}", rank, ticket, now_ms, now_ms + 200, changed_ms=now_ms)
    return Report(seqs[number], f"{rank:036}", ExecType.NEW, now_ms, order)


def _bars(folder: Path, postgres: Server | None, size: int, seconds: float) -> Row:
    """Write bars of one second, of so many instruments a commit."""
    chance = random.Random(1)
    symbols = [f"pair{number}" for number in range(size)]
    with closing(_stores(folder, postgres)) as stores, closing(stores.history()[0]) as writer:
        times = count(_BEGIN_MS, _SECOND_MS)

        def write(size: int) -> None:
            time_ms = next(times)
            template = pair(time_ms, chance)
            writer.write(Batch([StoredBar(symbol, "1s", template) for symbol in symbols], [], time_ms))

        return _measured(write, size, seconds)


def _measured(write: Write, size: int, seconds: float) -> Row:
    """Call `write` for so long; the first call, which caches names, does not count."""
    write(size)
    commits, cpu_s, began = 0, time.thread_time(), time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        write(size)
        commits += 1
    rows = commits * size
    return {
        "rows_per_s": rows / elapsed,
        "cpu_us": (time.thread_time() - cpu_s) / rows * 1e6,
        "commits_per_s": commits / elapsed,
        "ms": elapsed / commits * 1000,
    }


def _line(name: str, row: Row | None) -> list[object]:
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    return [name, row["rows_per_s"], row["cpu_us"], row["commits_per_s"], row["ms"], row["runs"]]


if __name__ == "__main__":
    main()
