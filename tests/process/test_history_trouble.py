"""A disk that refuses, a locked or a broken file: prices go on, it is said, little is lost."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from crypto_stream.market.bars import Bar
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from tests.process.charts import run
from tests.process.programs import Running, address, program
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)

SYMBOL = "ticker_42"


class Seen:
    """What a visitor of a running program sees."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=20 * SCALE)

    def degraded(self) -> list[str]:
        """Return what /readyz says is wrong; it stays ready."""
        answer = self.http.get("/readyz")
        assert answer.status_code == 200
        return list(answer.json()["degraded"])

    def metric(self, name: str) -> float:
        """Return a metric without labels."""
        found = re.search(rf"^crypto_stream_{name} (.*)$", self.http.get("/metrics").text, re.MULTILINE)
        assert found
        return float(found[1])

    def live(self) -> bool:
        """Tell whether the price is fresh."""
        return not self.http.get(f"/courses/{SYMBOL}").json()["stale"]

    def price_time(self) -> int:
        """Return the time of a live quote."""
        quote = self.http.get(f"/courses/{SYMBOL}").json()
        assert not quote["stale"]
        return int(quote["time"])

    def times(self) -> list[int]:
        """Return the times of the newest bars of a second."""
        answer = self.http.get(f"/history/{SYMBOL}", params={"interval": "1s", "limit": 5000})
        return [bar["time"] for bar in answer.json()["bars"]] if answer.status_code == 200 else []


@asynccontextmanager
async def visited(folder: Path) -> AsyncIterator[tuple[Running, Seen]]:
    """Run the program and look at it."""
    with program(run(folder), folder) as running:
        seen = Seen(await address(running))
        with closing(seen.http):
            yield running, seen


@contextmanager
def locked(folder: Path, _running: Running) -> Iterator[None]:
    """Hold the database's write lock, as a backup or a curious person would."""
    with closing(sqlite3.connect(folder / "data" / "history.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(_folder: Path, running: Running) -> Iterator[None]:
    """Let the kernel refuse every write of the engine to a file, as a full disk does."""
    engine = psutil.Process(running.pids("engine")[-1])
    _, hard = engine.rlimit(resource.RLIMIT_FSIZE)
    engine.rlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        engine.rlimit(resource.RLIMIT_FSIZE, (hard, hard))


def holes(times: list[int]) -> list[int]:
    """List the seconds that are missing between the first and the last one."""
    return sorted(set(range(times[0], times[-1], 1000)) - set(times))


@pytest.mark.parametrize("trouble", [locked, full])
async def test_what_cannot_be_written_waits(tmp_path: Path, trouble: Callable[..., Any]) -> None:
    """Quotes and charts go on, /readyz and one line of the log say it; afterwards every second is stored."""
    async with visited(tmp_path) as (running, seen):
        await until(lambda: len(seen.times()) > 2)
        with trouble(tmp_path, running):
            await until(seen.degraded, 20 * SCALE)
            since = seen.price_time()
            await until(lambda: seen.price_time() >= since + 4000, 20 * SCALE)
            during = seen.times()
            await until(lambda: seen.metric("bars_waiting") > 103)
        await until(lambda: not seen.degraded(), 20 * SCALE)
        await until(lambda: seen.metric("bars_waiting") <= 103)  # at most the second that has just closed
        newest = during[-1]
        await until(lambda: _stored(tmp_path)[-1] > newest)
        log = running.log
    stored = _stored(tmp_path)

    assert len(during) > 4
    assert holes(during) == holes(stored) == []
    assert stored[0] == during[0]
    assert log.count("history cannot be stored") == 1
    assert log.count("history is stored again") == 1
    assert log.count(" engine started pid=") == 1


def _stored(folder: Path) -> list[int]:
    uri = f"file:{folder}/data/history.db?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        query = (
            "SELECT time FROM bar WHERE length_ms = 1000 AND symbol = (SELECT id FROM name WHERE text = ?) "
            "ORDER BY time"
        )
        return [at for (at,) in database.execute(query, (SYMBOL,))]


async def test_an_engine_that_finds_its_file_locked_serves_prices(tmp_path: Path) -> None:
    """It starts, says so, goes on with the walk, and stores what it has as soon as it may."""
    async with visited(tmp_path) as (running, seen):
        await until(lambda: len(seen.times()) > 2)
        with locked(tmp_path, running):
            before = _stored(tmp_path)
            os.kill(running.pids("engine")[0], signal.SIGKILL)
            await until(lambda: len(running.pids("engine")) == 2, 20 * SCALE)
            await until(lambda: seen.live() and seen.degraded(), 40 * SCALE)
            during = seen.times()
        await until(lambda: not seen.degraded(), 20 * SCALE)
        newest = during[-1]
        await until(lambda: _stored(tmp_path)[-1] > newest)

    stored = _stored(tmp_path)
    assert stored[: len(before)] == before == during[: len(before)]
    assert holes(stored[len(before) :]) == []
    assert newest in stored


async def test_an_engine_that_stood_still_misses_nothing(tmp_path: Path) -> None:
    """What came meanwhile is read before a clock closes any bar: no trade is late, no second missing."""
    async with visited(tmp_path) as (running, seen):
        await until(lambda: len(seen.times()) > 2)
        engine = psutil.Process(running.pids("engine")[0])
        engine.suspend()
        await asyncio.sleep(7)  # over the end of a bar of 5 s by more than its second; it does not hang yet
        engine.resume()
        since = _stored(tmp_path)[-1]
        await until(lambda: _stored(tmp_path)[-1] > since + 8_000, 30 * SCALE)

        assert holes(_stored(tmp_path)) == []
        assert seen.metric("late_trades_total") == 0
        assert len(running.pids("engine")) == 1


async def test_a_start_on_a_full_disk_goes_on_from_what_is_stored(tmp_path: Path) -> None:
    """The walk and the chart go on although nothing can be written, not even what SQLite needs to read."""
    path = prefilled(tmp_path, "41")
    room = path.stat().st_size
    # Less than SQLite's file beside the database takes, more than the log and what starts the program.
    with program(run(tmp_path), tmp_path, under=["prlimit", f"--fsize={16 << 10}"]) as running:
        seen = Seen(await address(running))
        with closing(seen.http):
            await until(lambda: seen.live() and seen.degraded(), 40 * SCALE)
            first = seen.http.get(f"/courses/{SYMBOL}").json()
            await until(lambda: len(seen.times()) > 3602)

    assert abs(int(first["price"]) - 41) < 10
    assert path.stat().st_size == room


def prefilled(folder: Path, price: str = "1") -> Path:
    """Leave a file of an hour of seconds that ended just now, all of it in the main file."""
    (folder / "data").mkdir()
    path = folder / "data" / "history.db"
    end_ms = time.time_ns() // 1_000_000 // 1000 * 1000
    times = range(end_ms - 3_600_000, end_ms, 1000)
    bars = [Bar(at, price, price, price, price, None, 1, "synthetic") for at in times]
    writer = SqliteHistoryWriter(path)
    writer.write(Batch([StoredBar(SYMBOL, "1s", bar) for bar in bars], [], end_ms))
    writer.close()
    return path


def spoil(path: Path, start: int) -> bytes:
    """Overwrite the file from `start` on with nonsense; return what it holds then."""
    content = path.read_bytes()
    content = content[:start] + bytes(range(256)) * (len(content) // 256)
    with path.open("r+b") as file:
        file.seek(start)
        file.write(content[start:])
    return content


def kept_aside(path: Path) -> list[Path]:
    return [
        each
        for each in path.parent.iterdir()
        if each.name.startswith(f"{path.name}.corrupt-") and each.suffix != ".db-wal"
    ]


@pytest.mark.parametrize("start", [0, 4096])
async def test_a_file_that_is_corrupt_at_the_start_is_kept_aside(tmp_path: Path, start: int) -> None:
    """Whether its head or its body is broken: one new name, its bytes, a new file, one loud line."""
    path = prefilled(tmp_path)
    content = spoil(path, start)
    async with visited(tmp_path) as (running, seen):
        await until(lambda: len(seen.times()) > 2)
        aside = [each for each in kept_aside(path) if each.stat().st_size]

        assert [each.read_bytes() for each in aside] == [content]
        assert (
            running.log.count("ERROR engine crypto_stream.storage.sqlite_history history file corrupt") == 1
        )
        assert running.output.count("history file corrupt") == 1
        assert seen.degraded() == []
        assert len(running.pids("engine")) == 1


async def test_a_file_that_breaks_while_it_runs_is_kept_aside(tmp_path: Path) -> None:
    """Whoever reads it finds out: the history answers 503 until a new file is begun, prices never stop."""
    path = prefilled(tmp_path)
    async with visited(tmp_path) as (running, seen):
        await until(lambda: len(seen.times()) > 3602)
        spoil(path, 4096)
        # Another question than the one before: equal ones share an answer for a moment.
        first = seen.http.get(f"/history/{SYMBOL}", params={"interval": "1s", "limit": 4999})
        await until(lambda: kept_aside(path), 20 * SCALE)
        await until(lambda: 2 < len(seen.times()) < 3600, 20 * SCALE)
        since = seen.price_time()
        await until(lambda: seen.price_time() > since)
        newest = _stored(tmp_path)

        assert (first.status_code, first.json()["code"]) == (503, "history_unavailable")
        assert running.log.count("history file corrupt") == 1
        assert running.log.count("history cannot be read") == 1
        assert running.log.count("history can be read again") == 1
        assert holes(newest) == []
        assert seen.degraded() == []
        assert len(running.pids("engine")) == 1


async def test_a_file_that_is_deleted_while_it_runs_is_begun_anew(tmp_path: Path) -> None:
    """What is written to a file without a name would be lost without a word."""
    async with visited(tmp_path) as (running, seen):
        await until(lambda: len(seen.times()) > 2)
        for part in (tmp_path / "data").glob("history.db*"):
            part.unlink()
        await until(lambda: "history file gone" in running.log)
        await until((tmp_path / "data" / "history.db").exists)
        await until(lambda: len(seen.times()) > 2)

        assert running.log.count("history file gone, a new one created") == 1
        assert seen.degraded() == []


async def test_a_place_that_cannot_be_used_ends_the_program(tmp_path: Path) -> None:
    """A folder where the file should be: one line that names the setting, status 2."""
    (tmp_path / "data" / "history.db").mkdir(parents=True)
    with program(run(tmp_path), tmp_path) as running:
        status = running.wait()

    assert status == 2
    assert running.output.count("data_dir: ") == 1
    assert "Traceback" not in running.output
