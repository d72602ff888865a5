"""Measure the orders: `python -m benchmarks.orders` (about 5 minutes; --quick to check).

Round trips from an order sent to its report, active, at hand: the whole program (`run --sources synthetic`)
with its orders on the disk (synchronous=FULL), 50 connections in one process on the same cores. As fast as
they go; and at a fixed rate, each order's time counted from the moment it was meant to be sent. The commits
that reached the disk are counted by strace, in a run of its own. Afterwards the file must hold every order
that was accepted.

What matching costs: 100,000 resting orders of 100 instruments, 100 changes a second of each quote, one
change in a hundred fills an order, which is placed again; the service, its threads and its file, in percent
of one core. How long a start takes until it accepts an order, when 100,000 are open.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import psutil
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from benchmarks.stock import open_orders, stock
from benchmarks.system import System, cpu_s, crypto_stream, free_port, run_command, running, until
from crypto_stream.market.orders import Side, Ticket

_CONNECTIONS = 50
_WARM = 0.2  # warm-up, as a share of the measured seconds
_AIMED_RATE = 5_000.0
_OPEN = 100_000
_CHANGES = 10_000.0  # a second, over all instruments
# Far from every price, so that these orders rest.
_PLACES = [
    {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "50"},
    {"instrument": "USD/RUB", "side": 2, "amount": "2.5", "price": "200"},
    {"instrument": "EUR/USD", "side": 1, "amount": "1000", "price": "0.5"},
]
_WIDE = (
    *("--order-rate", "1000000", "--max-open-orders", "100000", "--max-open-per-address", "200000"),
    *("--max-open-per-gateway", "200000", "--max-open-in-all", "200000"),
)
_FASTEST = "round trips, as fast as possible"
_HALF = "round trips at 2,500/s"
_SYNCED = "commits on the disk (strace)"
_MATCHING = "matching 100,000 orders at 10,000 changes/s"
_RESTART = "start with 100,000 open orders"
_GOALS = {_FASTEST: "> 5,000/s", _HALF: "p99 < 50 ms", _MATCHING: "< 30 %", _RESTART: "< 3 s"}
_HEADINGS = (
    *("what", "orders/s", "p50 ms", "p99 ms", "worst ms", "seconds", "engine %", "gateway %"),
    *("clients %", "orders a commit", "aim", "runs"),
)


@click.command(help=__doc__)
@options("orders", runs=3)
@click.option("--seconds", default=10.0, show_default=True, help="Of each measured stretch.")
@click.option("--window", default=4, show_default=True, help="Orders a connection has under way at most.")
@click.option("--server", default="eventlet", show_default=True, help="Green threads of the gateway.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float, window: int, server: str) -> None:
    """Measure each in turn, print the table, write the results."""
    count = _OPEN
    if quick:
        runs, seconds, count = 1, 1.0, 2_000
    trade = partial(_trading, seconds=seconds, window=window, options=(*_WIDE, "--server", server))
    rate = _AIMED_RATE / (20 if quick else 2)
    measures: dict[str, Callable[[], Row]] = {
        _FASTEST: partial(trade, rate=0.0),
        _HALF: partial(trade, rate=rate),
        _MATCHING: partial(_matching, seconds, count),
        _RESTART: partial(_restart, count),
    }
    if shutil.which("strace"):
        measures[_SYNCED] = partial(trade, rate=rate, traced=True)
    names = chosen(measures, only)
    rows = interleaved(names, runs, lambda name: measures[name]())
    middle = medians(names, rows)
    setting: Row = {"seconds": seconds, "connections": _CONNECTIONS, "window": window, "rate": rate}
    setting |= {"open_orders": count, "changes_per_s": _CHANGES, "server": server, "places": _PLACES}
    result = {"setting": setting, "aims": _GOALS, "medians": middle, "runs": rows}
    finish(output, _HEADINGS, [_line(name, middle.get(name)) for name in names], result)


def _trading(
    *, seconds: float, window: int, options: tuple[str, ...], rate: float, traced: bool = False
) -> Row:
    """Trade against a running program; void unless every order was answered and is stored."""
    with tempfile.TemporaryDirectory(prefix="orders-") as place:
        folder = Path(place)
        with crypto_stream(folder, "--sources", "synthetic", *options) as system:
            row = _traded(system, folder, seconds, window, rate, traced)
        stored = open_orders(folder / "data" / "orders.db")
    if stored != row["accepted"]:
        raise RuntimeError(f"{row['accepted']:.0f} orders were accepted, {stored} are in the file")
    return row


def _traded(system: System, folder: Path, seconds: float, window: int, rate: float, traced: bool) -> Row:
    wish = {
        "port": int(system.url.rpartition(":")[2]), "connections": _CONNECTIONS, "seconds": seconds,
        "warm_s": seconds * _WARM, "rate": rate, "window": window, "places": _PLACES,
    }  # fmt: skip
    with running(["benchmarks.trader", json.dumps(wish)]) as process:
        process.line()
        trader = psutil.Process(process.pid)
        with _synced(system, folder, traced) as synced:
            before, began = system.usage(), time.perf_counter()
            mine = cpu_s(trader)
            process.send_line("go")
            seen = json.loads(process.line(2 * seconds + 40))
            elapsed = time.perf_counter() - began
            after = system.usage()
            mine = cpu_s(trader) - mine
    if seen["refused"] or seen["missing"] or seen["sent"] != seen["accepted"]:
        raise RuntimeError(f"not every order was answered with an active report: {seen}")
    used = {f"{half}_percent": (after[half].cpu_s - before[half].cpu_s) / elapsed * 100 for half in after}
    row = {key: value for key, value in seen.items() if key not in ("first_refused", "cpu_s")}
    row |= {**used, "clients_percent": mine / elapsed * 100}
    if traced:
        row |= {"synced": synced["calls"], "orders_a_sync": seen["accepted"] / max(1, synced["calls"])}
        if not synced["calls"]:
            raise RuntimeError("no commit has reached the disk")
    return row


@contextmanager
def _synced(system: System, folder: Path, traced: bool) -> Iterator[dict[str, int]]:
    """Count the engine's fsync and fdatasync calls during the block."""
    counted = {"calls": 0}
    if not traced:
        yield counted
        return
    report = folder / "strace"
    command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(report)]
    with subprocess.Popen(
        [*command, "-p", str(system.pid("engine"))], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        process.stderr.readline()  # strace reports that it is attached
        try:
            yield counted
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
    said = report.read_text("utf-8")
    counted["calls"] = sum(
        int(found[1]) for found in re.finditer(r"(\d+)(?:\s+\d+)?\s+(?:fsync|fdatasync)$", said, re.MULTILINE)
    )


def _matching(seconds: float, count: int) -> Row:
    """Run the matching in a separate process, and read what it used."""
    wish = {"orders": count, "seconds": seconds, "rate": _CHANGES}
    with running(["benchmarks.matching", json.dumps(wish)]) as process:
        row: Row = json.loads(process.line(seconds + 120))
    return row


def _restart(count: int) -> Row:
    """Start with `count` open orders, from nothing until an order is accepted."""
    with tempfile.TemporaryDirectory(prefix="orders-") as place:
        folder = Path(place)
        (folder / "data").mkdir()
        owners = 100
        ticket = Ticket("eurrub", Side.BUY, "10", "50")
        tickers = [Ticket(f"ticker_{number:02d}", Side.SELL, "1", "1000000") for number in range(100)]
        tickets = [ticket, *tickers]
        wanted = {
            f"owner-{owner}": [tickets[(owner + each) % len(tickets)] for each in range(count // owners)]
            for owner in range(owners)
        }
        stock(folder / "data" / "orders.db", wanted)
        port = free_port()
        began = time.perf_counter()
        with running(run_command(folder, port, "--sources", "synthetic", *_WIDE), logs=True):
            until(lambda: _accepts(port), "an order accepted at /ws", 60.0, 0.01)
            remaining = time.perf_counter() - began
        stored = open_orders(folder / "data" / "orders.db")
    if stored != count + 1:
        raise RuntimeError(f"{count} orders were open and one was placed, {stored} are in the file")
    return {"seconds": remaining}


def _accepts(port: int) -> bool:
    """Return whether /ws accepts an order now."""
    try:
        with connect(f"ws://127.0.0.1:{port}/ws", compression=None, open_timeout=5) as session:
            session.send(json.dumps({"messageType": 3, "message": _PLACES[0]}))
            answer = json.loads(session.recv(timeout=10))
    except (OSError, WebSocketException):
        return False
    return bool(answer["messageType"] == 3 and answer["message"]["order_status"] == 1)


def _line(name: str, row: Row | None) -> list[object]:
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    keys = ("orders_per_s", "p50_ms", "p99_ms", "worst_ms", "seconds", "engine_percent", "gateway_percent")
    rest = (row.get("clients_percent"), row.get("orders_a_sync"), _GOALS.get(name, ""), row["runs"])
    return [name, *(row.get(key) for key in keys), *rest]


if __name__ == "__main__":
    main()
