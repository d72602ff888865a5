"""Set the machine's clock while the program runs, and between two runs: `python -m tests.process.clock`.

The whole program runs under libfaketime, with synthetic instruments and a pair of a fake venue whose own
clock is right. At the end every second has a bar or is in the gap of a stop, no closed bar has changed,
nothing of the future kept, nothing old forgotten; the log has one line for each step, and /readyz named it.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import ClassVar, NamedTuple

import click
import httpx

from crypto_stream.market.bars import Bar
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from tests.fakes import FakeBinance
from tests.fakes.walk import Walk
from tests.process.charts import Watcher, run, watching
from tests.process.programs import Running, address, program
from tests.waiting import SCALE, until

PAIR = "btcusdt"
SYNTHETIC = ("ticker_00", "ticker_57", "eurrub")
STEPS = {"+2h": 7_200, "-2h": -7_200, "+40d": 40 * 86_400}
# Why there may be no bar for a moment: the program was stopped, and what it starts with takes a while.
STOPPED = {"the engine was not running", "no source was live"}
_SECOND = 1_000
_OLD = 2_000  # bars of a minute that were there before, of ticker_00
_STEADY_S = 4  # so long the right clock is shown before and after


class Case(NamedTuple):
    """One rehearsal: the clock is wrong by `step_s` for `seconds`, in a run of its own or within one."""

    name: str
    step_s: int
    seconds: int
    restart: bool
    venue: bool

    def __str__(self) -> str:
        how = "over restarts" if self.restart else "while it runs"
        return f"{self.name} for {self.seconds} s {how}, {'a venue too' if self.venue else 'synthetic alone'}"


def cases(seconds: int) -> list[Case]:
    """List all rehearsals."""
    return [
        Case(name, step_s, seconds, restart, venue)
        for venue in (True, False)
        for restart in (False, True)
        for name, step_s in STEPS.items()
    ]


class NotingVenue(FakeBinance):
    """A fake venue that notes the seconds in which it tells of a trade."""

    traded: ClassVar[set[int]] = set()

    def publish(self, walk: Walk, what: str) -> None:
        """Note a trade, and send what is to be sent."""
        if what == "trade" and self.clients:
            self.traded.add(int(time.time()) * _SECOND)
        super().publish(walk, what)


class Rehearsal:
    """One rehearsal under way: the folder, the clock's file, what viewers were told."""

    def __init__(self, case: Case, folder: Path, venue: NotingVenue | None) -> None:
        """Prepare a data directory with old bars."""
        self.case = case
        self.folder = folder
        self.watchers: list[Watcher] = []
        self.degraded: list[str] = []
        self._venue = venue
        self._file = folder / "clock"
        self.show(0)
        self.begin_ms = time.time_ns() // 1_000_000
        (folder / "data").mkdir(mode=0o700)
        old = range(self.begin_ms // 60_000 - _OLD - 60, self.begin_ms // 60_000 - 60)
        bars = [Bar(minute * 60_000, "5", "5", "5", "5", None, 60, "synthetic") for minute in old]
        writer = SqliteHistoryWriter(folder / "data" / "history.db")
        stored = [StoredBar("ticker_00", "1m", bar) for bar in bars]
        writer.write(Batch(stored, [], self.begin_ms - 3_600_000))
        writer.close()

    def show(self, ahead_s: int) -> None:
        """Have the clock of the program be wrong by so much."""
        self._file.write_text(f"{ahead_s:+d}\n", "ascii")

    @property
    def symbols(self) -> tuple[str, ...]:
        """What is looked at."""
        return (*SYNTHETIC, PAIR) if self._venue else SYNTHETIC

    @asynccontextmanager
    async def running(self) -> AsyncIterator[httpx.AsyncClient]:
        """Run the program with viewers until the block ends; each bar is fresh then."""
        real = ["--sources", "binance,synthetic", "--pairs", PAIR]
        options = real if self._venue else ["--sources", "synthetic"]
        environment = {**fake_clock(), "FAKETIME_TIMESTAMP_FILE": str(self._file)}
        if self._venue:
            environment["CRYPTO_STREAM_BINANCE_URL"] = self._venue.url
            environment["CRYPTO_STREAM_BINANCE_REST_URL"] = self._venue.rest_url
        with program(run(self.folder, *options), self.folder, **environment) as running:
            url = await address(running)
            async with (
                httpx.AsyncClient(base_url=url, timeout=20 * SCALE) as http,
                watching(url, self.symbols, "1s") as seconds,
                watching(url, self.symbols, "1m") as minutes,
            ):
                self.watchers += [seconds, minutes]
                await self.bars(seconds)
                yield http
            stop(running)

    async def bars(self, watcher: Watcher) -> None:
        """Wait for new closed bars of every instrument."""
        seen = set(watcher.closed)
        await until(
            lambda: {symbol for symbol, _ in watcher.closed.keys() - seen} >= set(self.symbols), 30 * SCALE
        )

    async def note_degraded(self, http: httpx.AsyncClient) -> None:
        """Keep what /readyz names."""
        answer = (await http.get("/readyz")).json()
        self.degraded += answer.get("degraded", answer.get("reasons", []))

    def faults(self, log: str) -> Iterator[str]:
        """Say what is wrong at the end."""
        end_ms = time.time_ns() // 1_000_000
        with closing(sqlite3.connect(self.folder / "data" / "history.db")) as database:
            for symbol in self.symbols:
                yield from self._holes(database, symbol, end_ms)
            yield from self._changed(database)
            query = "SELECT count(*) FROM bar WHERE length_ms = 60000 AND trades = 60 AND open = '5'"
            (old,) = database.execute(query).fetchone()
        if old != _OLD:
            yield f"{_OLD - old} old bars are gone"
        if not any("clock stepped" in one for one in self.degraded):
            yield f"/readyz never named the step: {self.degraded}"
        lines = [line for line in log.splitlines() if "the machine's clock" in line]
        if len(lines) != 2:
            yield f"{len(lines)} lines of log instead of one for each step: {lines}"
        yield from (line for line in log.splitlines() if "Traceback" in line or "a large share" in line)

    def _holes(self, database: sqlite3.Connection, symbol: str, end_ms: int) -> Iterator[str]:
        of = "symbol = (SELECT id FROM name WHERE text = ?)"
        times = {
            at
            for (at,) in database.execute(f"SELECT time FROM bar WHERE length_ms = 1000 AND {of}", [symbol])
        }
        gaps = database.execute(f'SELECT "from", "to", reason FROM gap WHERE {of}', [symbol]).fetchall()
        now = {at for at in times if at >= self.begin_ms - _SECOND}
        if not now or min(now) - self.begin_ms > 20_000 * SCALE or end_ms - max(now) > 20_000 * SCALE:
            yield f"{symbol}: {len(now)} bars of now, from {min(now, default=0)} to {max(now, default=0)}"
            return
        if wrong := sorted(times - now | {at for at in times if at > end_ms}):
            yield f"{symbol}: {len(wrong)} bars of another time, from {wrong[0]} to {wrong[-1]}"
        every = range(min(now), max(now), _SECOND)
        covered = self._venue.traded if self._venue and symbol == PAIR else set(every)
        for at in every:
            inside = [gap for gap in gaps if gap[0] < at + _SECOND and (gap[1] or end_ms) > at]
            if at not in now and at in covered and not any(reason in STOPPED for *_, reason in inside):
                yield f"{symbol}: neither a bar nor a stop at {at}"
        for begin, to, reason in gaps:
            in_this = begin > self.begin_ms
            if (
                begin > end_ms
                or (to or begin) > end_ms
                or (in_this and (to or end_ms) - begin > 30_000 * SCALE)
            ):
                yield f"{symbol}: a gap from {begin} to {to}, {reason}"

    def _changed(self, database: sqlite3.Connection) -> Iterator[str]:
        query = (
            "SELECT name.text, length_ms, time, open, high, low, close, trades FROM bar "
            "JOIN name ON name.id = symbol"
        )
        stored = {tuple(row[:3]): tuple(row[3:]) for row in database.execute(query)}
        for watcher in self.watchers:
            length = {"1s": 1_000, "1m": 60_000}[watcher.interval]
            yield from (f"{before} was told, then {after}" for before, after, _ in watcher.changed)
            for (symbol, at), (bar, _) in watcher.closed.items():
                told = tuple(bar[name] for name in ("open", "high", "low", "close", "trades"))
                kept = stored.get((symbol, length, at))
                if kept != told:
                    yield f"{symbol} {watcher.interval} {at}: told {told}, kept {kept}"


def fake_clock() -> dict[str, str]:
    """Return the environment in which a program's wall clock, and no other, is read from a file."""
    shown = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    (library,) = [line for line in shown.splitlines() if line.startswith("LD_PRELOAD=")]
    return {
        "LD_PRELOAD": library.partition("=")[2],
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "NO_FAKE_STAT": "1",
    }


def stop(running: Running) -> None:
    """End the program as wanted."""
    running.process.send_signal(signal.SIGTERM)
    running.wait()


async def rehearse(case: Case, folder: Path) -> list[str]:
    """Do one rehearsal; return what is wrong."""
    if not case.venue:
        return await _rehearse(Rehearsal(case, folder, None))
    async with NotingVenue([PAIR], rate=40) as venue:
        return await _rehearse(Rehearsal(case, folder, venue))


async def _rehearse(rehearsal: Rehearsal) -> list[str]:
    case = rehearsal.case
    if case.restart:
        for ahead_s, seconds in ((0, _STEADY_S), (case.step_s, case.seconds), (0, _STEADY_S)):
            rehearsal.show(ahead_s)
            async with rehearsal.running() as http:
                await asyncio.sleep(seconds)
                await rehearsal.note_degraded(http)
    else:
        async with rehearsal.running() as http:
            for ahead_s, seconds in ((0, _STEADY_S), (case.step_s, case.seconds), (0, _STEADY_S)):
                rehearsal.show(ahead_s)
                await asyncio.sleep(seconds)
                await rehearsal.note_degraded(http)
    return list(rehearsal.faults((rehearsal.folder / "app.log").read_text("utf-8")))


@click.command(help=__doc__)
@click.option("--seconds", default=15, show_default=True, help="For how long the clock is wrong.")
@click.option("--only", default="", help="Only the rehearsals whose description has this in it.")
def main(seconds: int, only: str) -> None:
    """Do all rehearsals; status 1 when something is wrong."""
    failed = [case for case in cases(seconds) if only in str(case) and not _done(case, click.echo)]
    if failed:
        raise SystemExit(1)


def _done(case: Case, say: Callable[[str], None]) -> bool:
    with tempfile.TemporaryDirectory(prefix="clock-") as folder:
        faults = asyncio.run(rehearse(case, Path(folder)))
    say(f"{case}: {len(faults)} faults")
    for fault in faults[:10]:
        say(f"  {fault}")
    return not faults


if __name__ == "__main__":
    main()
