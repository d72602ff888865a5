"""Live bars and pages of the history, joined as the contract says, are the history; over a restart too."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.process.charts import Chart, Watcher, run, starts, watching, whole
from tests.process.programs import Running, address, program
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)

SYMBOLS = ("ticker_03", "eurrub")


class Desk:
    """A running program, and charts of two series that are kept up to date."""

    def __init__(self, running: Running, http: httpx.AsyncClient, watcher: Watcher) -> None:
        self.running = running
        self.http = http
        self.charts = {symbol: Chart(http, symbol, watcher.interval) for symbol in SYMBOLS}
        self.watcher = watcher

    async def keep(self) -> None:
        """Begin each chart, then join whatever comes, for ever."""
        for chart in self.charts.values():
            await chart.begin("new")
        while True:
            live = await self.watcher.events.get()
            await self.charts[live["symbol"]].take(live)

    def joined(self, bars: int) -> bool:
        """Tell whether each chart got so many bars live."""
        return all(chart.joined >= bars for chart in self.charts.values())


@asynccontextmanager
async def keeping(folder: Path, interval: str) -> AsyncIterator[Desk]:
    """Run the program and keep charts of it."""
    with program(run(folder), folder) as running:
        url = await address(running)
        async with (
            httpx.AsyncClient(base_url=url, timeout=20 * SCALE) as http,
            watching(url, SYMBOLS, interval) as watcher,
            asyncio.TaskGroup() as tasks,
        ):
            desk = Desk(running, http, watcher)
            work = tasks.create_task(desk.keep())
            yield desk
            work.cancel()


async def _differences(desk: Desk) -> list[object]:
    """List what a chart holds as closed and the history now has otherwise, from the chart's first bar on."""
    found: list[object] = []
    for symbol, chart in desk.charts.items():
        held = dict(chart.bars)
        served, _ = await whole(desk.http, symbol, desk.watcher.interval)
        newest = max(held)
        for bar in served:
            mine = held.pop(bar["time"], None)
            if bar["time"] < newest and mine != bar:
                found.append((symbol, mine, bar))
        found += [(symbol, bar, None) for at, bar in held.items()]
    return found


@pytest.mark.parametrize("interval", ["1s", "5s"])
async def test_a_chart_that_joins_live_bars_is_the_history(tmp_path: Path, interval: str) -> None:
    """Nothing is fetched a second time, and yet every bar is there once, as it stays."""
    async with keeping(tmp_path, interval) as desk:
        await until(lambda: desk.joined(3 if interval == "5s" else 8), 60 * SCALE)
        different = await _differences(desk)

        assert different == []
        for chart in desk.charts.values():
            assert chart.contradictions == []
            assert chart.fetched[0] == "new"
            assert set(chart.fetched[1:]) <= {
                "missed"
            }  # a bar may close before the engine knows of the watch
            assert len(chart.fetched) <= 2


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGTERM])
async def test_a_chart_outlives_a_restart_of_the_engine(tmp_path: Path, fault: signal.Signals) -> None:
    """What was closed a second before the end stays as it was; what was missed is noticed."""
    async with keeping(tmp_path, "1s") as desk:
        await until(lambda: desk.joined(4), 60 * SCALE)
        before = {symbol: dict(chart.bars) for symbol, chart in desk.charts.items()}
        ended_ms = time.time_ns() // 1_000_000
        os.kill(desk.running.pids("engine")[0], fault)
        await until(lambda: len(starts(desk.running.log)) == 2, 40 * SCALE)
        joined = {symbol: chart.joined for symbol, chart in desk.charts.items()}
        await until(
            lambda: all(chart.joined >= joined[symbol] + 4 for symbol, chart in desk.charts.items()),
            40 * SCALE,
        )
        different = await _differences(desk)

        assert different == []
        for symbol, chart in desk.charts.items():
            lost = [at for at, bar in before[symbol].items() if bar["closed"] and chart.bars.get(at) != bar]
            assert [at for at in lost if at + 1000 < ended_ms - 1000] == []
            assert set(chart.fetched[1:]) <= {"missed"}
            assert len(chart.fetched) <= 4
            assert [bar["time"] for bar, _ in chart.contradictions if bar and bar["time"] not in lost] == []


async def test_a_restart_is_one_gap(tmp_path: Path) -> None:
    """From the end of the last bar of one life to the first bar of the next, to the second."""
    async with keeping(tmp_path, "1s") as desk:
        await until(lambda: desk.joined(3), 60 * SCALE)
        os.kill(desk.running.pids("engine")[0], signal.SIGKILL)
        await until(lambda: len(starts(desk.running.log)) == 2, 40 * SCALE)
        before = desk.charts[SYMBOLS[0]].joined
        await until(lambda: desk.charts[SYMBOLS[0]].joined >= before + 2, 40 * SCALE)
        bars, gaps = await whole(desk.http, SYMBOLS[0], "1s")
    times = [bar["time"] for bar in bars]
    (gap,) = gaps
    following = min(at for at in times if at >= gap["from"])
    holes = [(at, then) for at, then in itertools.pairwise(times) if then - at > 1000]

    assert gap["reason"] == "the engine was not running"
    assert gap["from"] - 1000 in times
    assert gap["to"] - gap["to"] % 1000 == following
    # An engine that is back within the second that it died in leaves none out.
    assert holes == ([(gap["from"] - 1000, following)] if following > gap["from"] else [])
