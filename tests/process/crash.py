"""Kill the engine while it writes, again and again: `python -m tests.process.crash --rounds 50`.

The whole program runs as processes with the synthetic source; viewers write down what they are told. At the
end the history must have all that was closed a second before each kill, and say of every second why it has
no bar.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.process.charts import Json, Watcher, run, starts, watching, whole
from tests.process.programs import Running, address, program
from tests.process.rounds import command
from tests.waiting import SCALE, until

WATCHED = (*(f"ticker_{number:02d}" for number in range(0, 100, 6)), "eurusd", "eurrub", "usdrub")
_OUTLIVES_MS = 1_000  # a bar that closed so long before a kill must outlive it
_SECOND = 1_000
_WRITES_WITHIN_S = (
    0.35  # after the whole second: bars close, and a quarter of a second later they are written
)
_LONGEST_LIFE_S = 3.5


class Told(NamedTuple):
    """What the viewers wrote down, and when the engine was killed (wall clock, ms)."""

    seconds: Watcher
    minutes: Watcher
    kills: list[int]
    starts: list[int]  # the `seq` at which each run began
    asked_ms: int  # when `over_http` was asked for; viewers are told of later bars, too
    over_http: dict[tuple[str, str], list[Json]]

    def must_outlive(self, symbol: str, second: int) -> bool:
        """Return whether the bar of a quoted second had closed a second before the next kill.

        It closes when the next step comes, or a second after its end.
        """
        following = next((kill for kill in self.kills if kill > second), None)
        _, next_step_ms = self.seconds.prices.get((symbol, second + _SECOND), ("", second + 2 * _SECOND))
        closed_ms = min(next_step_ms, second + 2 * _SECOND)
        return following is None or closed_ms + _OUTLIVES_MS < following

    def told_in_time(self, bar: Json, told_ms: int) -> bool:
        """Return whether a bar was told a second before the kill that ended the run it was told in.

        What a viewer reads a moment after a kill was sent before it.
        """
        run = bisect_right(self.starts, bar["seq"]) - 1
        return run == len(self.kills) or told_ms + _OUTLIVES_MS < self.kills[run]


class Stored(NamedTuple):
    """The database as it stands at the end: bars of one second and gaps by symbol, oldest first."""

    integrity: str
    bars: dict[str, dict[int, tuple[str, str]]]  # time → first and last price
    gaps: dict[str, list[tuple[int, int]]]


class Report(NamedTuple):
    """What was found; `faults` must be empty."""

    kills: int
    bars: int
    without_bar: int
    told: int
    faults: list[str]

    def __str__(self) -> str:
        return (
            f"{self.kills} kills; {self.bars} bars of a second stored, {self.told} bars told to viewers; "
            f"{self.without_bar} seconds without a bar, each in a gap"
        )


async def crash(rounds: int, chance: random.Random, folder: Path, say: Callable[[str], None]) -> Report:
    """Kill the engine `rounds` times at random moments and judge what is left."""
    with program(run(folder), folder) as running:
        url = await address(running)
        async with (
            httpx.AsyncClient(base_url=url, timeout=20 * SCALE) as http,
            watching(url, WATCHED, "1s") as seconds,
            watching(url, WATCHED, "1m") as minutes,
        ):
            kills: list[int] = []
            for number in range(rounds):
                await _lives(running, seconds, number)
                await asyncio.sleep(_until_kill(chance))
                kills.append(time.time_ns() // 1_000_000)
                os.kill(running.pids("engine")[-1], signal.SIGKILL)
                say(f"[{number + 1}/{rounds}] killed, {len(seconds.closed)} bars told so far")
                await until(lambda: len(running.pids("engine")) == len(kills) + 1, 30 * SCALE)
            await _lives(running, seconds, rounds)
            asked_ms = time.time_ns() // 1_000_000
            over_http = {
                (symbol, interval): (await whole(http, symbol, interval))[0]
                for symbol in WATCHED
                for interval in ("1s", "1m")
            }
        _stop(running)
    stored = _stored(folder / "data" / "history.db")
    told = Told(seconds, minutes, kills, starts(running.log), asked_ms, over_http)
    return Report(
        len(kills),
        sum(map(len, stored.bars.values())),
        sum(len(_empty(bars)) for bars in stored.bars.values()),
        len(seconds.closed) + len(minutes.closed),
        [*_faults(stored, told), *_log_faults(running.log)],
    )


async def _lives(running: Running, watcher: Watcher, restarts: int) -> None:
    """Wait until the engine of this run has closed bars."""
    await until(lambda: len(starts(running.log)) == restarts + 1, 40 * SCALE)
    await until(lambda: watcher.told_since(starts(running.log)[-1]) >= len(WATCHED), 20 * SCALE)


def _until_kill(chance: random.Random) -> float:
    """Choose any moment, each second time one in which bars are being written."""
    if chance.random() < 0.5:
        return chance.uniform(0, _LONGEST_LIFE_S)
    return 1 - time.time() % 1 + chance.uniform(0, _WRITES_WITHIN_S)


def _stop(running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    running.wait()


def _stored(path: Path) -> Stored:
    with closing(sqlite3.connect(path)) as database:
        ((integrity,),) = database.execute("PRAGMA integrity_check")
        stored = Stored(integrity, {}, {})
        query = (
            "SELECT name.text, time, open, close FROM bar JOIN name ON name.id = symbol "
            "WHERE length_ms = 1000 ORDER BY symbol, time"
        )
        for symbol, at, first, last in database.execute(query):
            stored.bars.setdefault(symbol, {})[at] = (first, last)
        query = 'SELECT name.text, "from", coalesce("to", 1 << 62) FROM gap JOIN name ON name.id = symbol'
        for symbol, begin, end in database.execute(query):
            stored.gaps.setdefault(symbol, []).append((begin, end))
        return stored


def _empty(bars: dict[int, Any]) -> list[int]:
    """List the seconds without a bar between the first and the last one."""
    return [at for at in range(min(bars), max(bars), _SECOND) if at not in bars]


def _faults(stored: Stored, told: Told) -> Iterator[str]:
    if stored.integrity != "ok":
        yield f"integrity_check: {stored.integrity}"
    if len(stored.bars) != 103:
        yield f"{len(stored.bars)} instruments have bars"
    for symbol, bars in stored.bars.items():
        gaps = stored.gaps.get(symbol, [])
        for at in _empty(bars):
            if not any(begin < at + _SECOND and end > at for begin, end in gaps):
                yield f"{symbol}: neither bar nor gap at {at}"
        for at in bars:
            if any(begin <= at and at + _SECOND <= end for begin, end in gaps):
                yield f"{symbol}: a bar at {at} in a gap"
        yield from _broken_walk(symbol, bars, told.kills)
    yield from _forgotten(stored, told)
    yield from _other_bars(told)


def _broken_walk(symbol: str, bars: dict[int, tuple[str, str]], kills: Sequence[int]) -> Iterator[str]:
    """A ticker moves by one each second; each walk goes on from its last stored value after a kill."""
    for before, at in itertools.pairwise(sorted(bars)):
        (_, last), (first, _) = bars[before], bars[at]
        if any(before + _SECOND <= kill <= at + _SECOND for kill in kills):
            if first != last:
                yield f"{symbol}: went on at {at} from {first}, not from {last}"
        elif symbol.startswith("ticker") and abs(int(first) - int(last)) != 1:
            yield f"{symbol}: moved from {last} to {first} at {at}"


def _forgotten(stored: Stored, told: Told) -> Iterator[str]:
    """Every quoted price is the bar of its second, if that closed a second before the next kill."""
    for (symbol, at), (price, _) in told.seconds.prices.items():
        lasts = told.must_outlive(symbol, at)
        if lasts and at < max(stored.bars[symbol]) and stored.bars[symbol].get(at, ("", ""))[1] != price:
            yield f"{symbol}: quoted {price} at {at}, stored {stored.bars[symbol].get(at)}"


def _other_bars(told: Told) -> Iterator[str]:
    """A bar that was told as closed a second before the next kill stays as it was told."""
    for watcher in (told.seconds, told.minutes):
        for (symbol, at), (bar, told_ms) in watcher.closed.items():
            if told_ms < told.asked_ms and told.told_in_time(bar, told_ms):
                found = {one["time"]: one for one in told.over_http[symbol, watcher.interval]}.get(at)
                if found != {name: bar[name] for name in bar if name != "seq"}:
                    yield f"{symbol} {watcher.interval}: told {bar} at {told_ms}, later {found}"
        for before, after, told_ms in watcher.changed:
            if told.told_in_time(before, told_ms):
                yield f"{watcher.interval}: {before} was told, then {after}"


def _log_faults(log: str) -> list[str]:
    bad = ("corrupt", "history cannot", "Traceback")
    return [line for line in log.splitlines() if any(word in line for word in bad)]


if __name__ == "__main__":
    command(crash, 50, __doc__)()
