"""Measure the history: `python -m benchmarks.history` (about 6 minutes; --quick to check).

What it costs to build and write the bars of 100 tickers each second, in percent of one core: the event
loop's share and the writing thread's, measured apart by their own CPU clocks, and the same in a running
engine. How large a day of one instrument is. How long it takes to ask for an hour by seconds, a day by
minutes, a month by hours: reading alone, in the engine, over HTTP; with the longest stall of the loop.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import click
import psutil

from benchmarks.past import Make, fill, pair, ticker
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from benchmarks.system import crypto_stream, get
from crypto_stream.engine.history import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.history.history import History
from crypto_stream.history.queries import HistoryQuery
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.settings import Settings
from crypto_stream.storage.interface import Range
from crypto_stream.storage.sqlite_history_reader import SqliteHistoryReader
from tests.instruments import named

_SYMBOLS = [f"ticker_{number:02d}" for number in range(100)]
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_KEPT = {"1s": _DAY_MS, "1m": 30 * _DAY_MS, "1h": 365 * _DAY_MS}
_ASKED = {
    "an hour by seconds": ("1s", _HOUR_MS, 3_600),
    "a day by minutes": ("1m", _DAY_MS, 1_440),
    "a month by hours": ("1h", 30 * _DAY_MS, 720),
    "5000 bars of 15 s (75,000 rows)": ("15s", _DAY_MS, 5_000),
}
_GOALS = {
    "writing: loop and thread": "< 3",
    "reading: an hour by seconds": "< 20",
    "reading: a month by hours": "< 10",
}
_HEADINGS = ("what", "median", "worst", "unit", "aim", "loop stalls ms", "runs")


@click.command(help=__doc__)
@options("history", runs=3)
@click.option("--seconds", default=30.0, show_default=True, help="How long bars are written.")
@click.option("--times", default=100, show_default=True, help="How often each question is asked.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float, times: int) -> None:
    """Measure each in turn, print the table, write the results."""
    if quick:
        runs, seconds, times = 1, 3.0, 3
    with tempfile.TemporaryDirectory(prefix="history-") as place:
        folder = Path(place) / "data"
        folder.mkdir()
        kept = {name: length // 24 for name, length in _KEPT.items()} if quick else _KEPT
        measures = _measures(folder, seconds, times)
        names = chosen(measures, only)
        count = fill(folder / "history.db", _SYMBOLS[: 2 if quick else 10], kept)
        setting = {"seconds": seconds, "times": times, "bars": count, "mb": _size(folder) / 1e6}
        rows = interleaved(names, runs, lambda name: measures[name]())
    middle = medians(names, rows)
    result = {"setting": setting, "aims": _GOALS, "medians": middle, "runs": rows}
    finish(output, _HEADINGS, [_line(name, middle.get(name)) for name in names], result)


def _measures(folder: Path, seconds: float, times: int) -> dict[str, Callable[[], Row]]:
    measures: dict[str, Callable[[], Row]] = {
        "writing: loop and thread": partial(_writing, seconds),
        "writing: threads of a running engine": partial(_engine, seconds),
        "a day of a ticker on the disk": partial(_day_on_disk, ticker),
        "a day of a busy pair on the disk": partial(_day_on_disk, pair),
    }
    for what, (interval, back_ms, limit) in _ASKED.items():
        measures[f"reading: {what}"] = partial(_reading, folder, interval, back_ms, limit, times)
        measures[f"engine: {what}"] = partial(_asking, folder, interval, limit, times)
        measures[f"HTTP: {what}"] = partial(_over_http, folder, interval, limit, times)
    return measures


def _writing(seconds: float) -> Row:
    """Drive 100 tickers through a history of its own, each second, and read two threads' clocks."""
    with tempfile.TemporaryDirectory(prefix="history-") as place:
        history = open_history(Settings(data_dir=Path(place)), _SYMBOLS, EngineClock(MachineClocks()))
        used = asyncio.run(_drive(history, seconds))
        if history.late_trades or history.writer.trouble:
            raise RuntimeError(f"{history.late_trades} trades came late, trouble {history.writer.trouble}")
    return used


async def _drive(history: History, seconds: float) -> Row:
    async with asyncio.TaskGroup() as tasks:
        work = tasks.create_task(history.run())
        await asyncio.sleep(0)
        writer = next(thread for thread in threading.enumerate() if thread.name == "history")
        assert writer.ident is not None
        clock = time.pthread_getcpuclockid(writer.ident)
        moment = int(time.time()) * 1000
        await _second(history, moment)  # names are stored and caches are warm
        loop, thread, began = time.thread_time(), time.clock_gettime(clock), time.perf_counter()
        while time.perf_counter() - began < seconds:
            moment += 1000
            await _second(history, moment)
        elapsed = time.perf_counter() - began
        loop, thread = time.thread_time() - loop, time.clock_gettime(clock) - thread
        work.cancel()
    return {
        "median": (loop + thread) / elapsed * 100,
        "loop_percent": loop / elapsed * 100,
        "thread_percent": thread / elapsed * 100,
    }


async def _second(history: History, moment: int) -> None:
    for number, symbol in enumerate(_SYMBOLS):
        price = str((moment // 1000 + number) % 601 - 300)
        history.record("synthetic", Trade(named(symbol), "walk", moment, moment, price, None), "synthetic")
    await asyncio.sleep(1 - time.time() % 1)


def _engine(seconds: float) -> Row:
    """Read the CPU time of every thread of a running engine except the first, which runs the event loop."""
    with (
        tempfile.TemporaryDirectory(prefix="history-") as place,
        crypto_stream(Path(place), "--sources", "synthetic"),
    ):
        ours = psutil.Process().children(recursive=True)
        engine = next(process for process in ours if "engine" in process.cmdline())
        time.sleep(2)  # the reads at the start are done
        before, began = _threads(engine), time.perf_counter()
        time.sleep(seconds)
        used = {ident: cpu_s - before.get(ident, 0.0) for ident, cpu_s in _threads(engine).items()}
        elapsed = time.perf_counter() - began
    whole, others = sum(used.values()), sum(used[ident] for ident in used if ident != engine.pid)
    return {"median": others / elapsed * 100, "engine_percent": whole / elapsed * 100}


def _threads(process: psutil.Process) -> dict[int, float]:
    return {thread.id: thread.user_time + thread.system_time for thread in process.threads()}


def _day_on_disk(make: Make) -> Row:
    with tempfile.TemporaryDirectory(prefix="history-") as place:
        fill(Path(place) / "history.db", ["ticker_00"], dict.fromkeys(_KEPT, _DAY_MS), make)
        return {"median": _size(Path(place)) / 1e6}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.name.startswith("history.db"))


def _reading(folder: Path, interval: str, back_ms: int, limit: int, times: int) -> Row:
    """Read the rows of a request as the engine does."""
    stored = "1s" if interval == "15s" else interval
    reader = SqliteHistoryReader(folder / "history.db")
    wanted = Range(
        time.time_ns() // 1_000_000 - back_ms, 2**62, limit if stored == interval else 75_000, newest=True
    )
    return _times(times, lambda: reader.bars("ticker_00", stored, wanted))


def _asking(folder: Path, interval: str, limit: int, times: int) -> Row:
    """Query a history and measure the lag of the event loop meanwhile."""
    history = open_history(Settings(data_dir=folder), _SYMBOLS[:1], EngineClock(MachineClocks()))
    return asyncio.run(_ask_and_look(history, HistoryQuery(interval, None, None, None, limit), times))


async def _ask_and_look(history: History, question: HistoryQuery, times: int) -> Row:
    remaining: list[float] = []
    stalls = [0.0]
    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(stalls))
        for _ in range(times):
            began = time.perf_counter()
            await history.query("ticker_00", question)
            remaining.append((time.perf_counter() - began) * 1000)
        looking.cancel()
    return {"median": median(remaining), "worst": max(remaining), "stall_ms": max(stalls)}


async def _look(stalls: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        stalls.append((time.perf_counter() - began) * 1000 - 1)


def _over_http(folder: Path, interval: str, limit: int, times: int) -> Row:
    """Fetch complete responses from a running program, each over a new connection."""
    with _running(folder) as url:
        return _times(times, lambda: get(f"{url}/history/ticker_00?interval={interval}&limit={limit}"))


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    with crypto_stream(folder.parent, "--sources", "synthetic") as system:
        yield system.url


def _times(times: int, ask: Callable[[], object]) -> Row:
    ask()
    remaining = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        remaining.append((time.perf_counter() - began) * 1000)
    return {"median": median(remaining), "worst": max(remaining)}


def _line(name: str, row: Row | None) -> list[object]:
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    unit = "% of a core" if name.startswith("writing") else "MB" if "disk" in name else "ms"
    return [
        *(name, row["median"], row.get("worst"), unit),
        *(_GOALS.get(name, ""), row.get("stall_ms"), row["runs"]),
    ]


if __name__ == "__main__":
    main()
