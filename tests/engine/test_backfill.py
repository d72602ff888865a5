"""Bars from before our first moment: fetched once, marked, never in place of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.engine.backfill import backfill
from crypto_stream.engine.history import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.names import Names
from crypto_stream.feed.sources import Rest, Source
from crypto_stream.history.history import History
from crypto_stream.history.queries import HistoryQuery
from crypto_stream.market.bars import Bar
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.market.instruments import pair
from crypto_stream.settings import Settings
from tests.fakes import FakeBinance, FakeOKX
from tests.history.clocks import SetClocks
from tests.instruments import named
from tests.waiting import DEADLINE_S

MINUTE = 60_000
NOW = 1_700_000_040_000  # a whole minute
BTC = pair("btcusdt")
NOTHING = HistoryQuery(None, None, None, None, None)


def given(time: int, source: str = "binance:candles") -> Bar:
    return Bar(time, "1", "2", "0.5", "1.5", "10", 3, source)


def began(folder: Path) -> History:
    """Open a history whose first trade of btcusdt was at NOW."""
    history = open_history(Settings(data_dir=folder), ["btcusdt"], EngineClock(MachineClocks()))
    history.record("binance", Trade(named("btcusdt"), "trades", 1, NOW, "1", "1"), "binance")
    return history


async def test_only_whole_bars_from_before_the_first_trade_are_kept(tmp_path: Path) -> None:
    """What a venue tells of our own time is not asked of it."""
    history = began(tmp_path)
    before = history.needs_backfill("btcusdt", "1m")
    bars = [given(NOW + offset) for offset in (-2 * MINUTE, -MINUTE, -MINUTE + 1, 0, MINUTE)]

    assert history.add_backfill("btcusdt", "1m", bars) == 2
    assert (before, history.needs_backfill("btcusdt", "1m"), history.needs_backfill("btcusdt", "1h")) == (
        True,
        False,
        True,
    )
    page = await history.query("btcusdt", NOTHING)
    assert [(bar.time - NOW, bar.source, bar.closed) for bar in page.bars] == [
        (-2 * MINUTE, "binance:candles", True),
        (-MINUTE, "binance:candles", True),
        (0, "binance", False),
    ]
    assert history.recent.spark("btcusdt") == [(NOW - 2 * MINUTE, "1.5"), (NOW - MINUTE, "1.5"), (NOW, "1")]


def test_a_wrong_clock_finishes_no_bar_of_a_venue(tmp_path: Path) -> None:
    """The newest bar is unfinished by the venue's own time, though it is long over by our clock."""
    clocks = SetClocks(NOW + 120 * MINUTE)
    clock = EngineClock(clocks, ["binance"])
    for second in range(5):
        clock.observe_trade("binance", NOW + MINUTE // 2 + second * 1000)
        clocks.pass_by(1000)
        clock.check()
    history = open_history(Settings(data_dir=tmp_path), ["btcusdt"], clock)

    assert history.add_backfill("btcusdt", "1m", [given(NOW - MINUTE), given(NOW)]) == 1


async def test_a_restart_asks_only_for_what_it_has_not(tmp_path: Path) -> None:
    """The oldest bar that is kept tells whether a venue has given the past."""
    history = began(tmp_path)
    history.add_backfill("btcusdt", "1m", [given(NOW - MINUTE)])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(history.run())
        await asyncio.sleep(0)
        running.cancel()
    again = open_history(Settings(data_dir=tmp_path), ["btcusdt"], EngineClock(MachineClocks()))

    assert not again.needs_backfill("btcusdt", "1m")
    assert again.needs_backfill("btcusdt", "1h")


@pytest.mark.parametrize(("venue", "name"), [(FakeBinance, "binance"), (FakeOKX, "okx")])
async def test_both_venues_give_their_candles(venue: Any, name: str, tmp_path: Path) -> None:
    """In the venue's own form, from its own REST interface."""
    async with venue(["btcusdt"]) as fake:
        settings = Settings(
            sources=(name,),
            data_dir=tmp_path,
            handler_options={name: {"url": fake.url, "rest_url": fake.rest_url}},
        )
        (source,) = load_sources(settings)
        history = open_history(settings, ["btcusdt"], EngineClock(MachineClocks()))
        async with asyncio.timeout(DEADLINE_S):
            await backfill(history, [source], {name: [BTC]}, names(source))
        page = await history.query("btcusdt", NOTHING)

    assert [bar.source for bar in page.bars] == [f"{name}:candles"]
    assert page.bars[0].time % MINUTE == 0


class Venue:
    """A source whose REST interface does as it is told."""

    def __init__(self, name: str, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self._name = name
        self._error = error

    async def candles(self, _http: httpx.AsyncClient, _venue_id: str, interval: str) -> list[Bar]:
        self.asked.append(interval)
        if self._error:
            raise self._error
        return [given(NOW - 60 * MINUTE, f"{self._name}:candles")]

    def source(self) -> Source:
        return Source(name=self._name, location="here", rest=Rest("http://127.0.0.1:9", candles=self.candles))


def names(*sources: Source, symbols: Sequence[str] = ("btcusdt",)) -> dict[str, Names]:
    """Name instruments as each source does."""
    carried = [pair(symbol) for symbol in symbols]
    return {source.name: Names(source.name, source.venue_id, carried, {}) for source in sources}


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("refused"), MalformedFrame("nonsense"), KeyError("bug")]
)
async def test_the_next_venue_is_asked_when_one_gives_nothing(error: Exception, tmp_path: Path) -> None:
    """Whatever is wrong with the first one."""
    history = began(tmp_path)
    broken, well = Venue("binance", error), Venue("okx")
    async with asyncio.timeout(DEADLINE_S):
        sources = [broken.source(), well.source()]
        await backfill(history, sources, {"binance": [BTC], "okx": [BTC]}, names(*sources))

    assert (broken.asked, well.asked) == (["1h"], ["1h", "1m"])
    assert (await history.query("btcusdt", NOTHING)).bars[0].source == "okx:candles"


@pytest.mark.parametrize(
    "error", [MalformedFrame("nonsense"), KeyError("bug"), httpx.ReadTimeout("slow"), ValueError("odd")]
)
async def test_one_instrument_that_fails_costs_itself_alone(error: Exception, tmp_path: Path) -> None:
    """The others of the same venue get their past, and it is asked of the next venue."""
    symbols = ["btcusdt", "ethusdt", "xrpusdt"]
    history = open_history(Settings(data_dir=tmp_path), symbols, EngineClock(MachineClocks()))
    asked: list[tuple[str, str]] = []

    async def candles(_http: httpx.AsyncClient, venue_id: str, interval: str) -> list[Bar]:
        asked.append((venue_id, interval))
        if venue_id == "ethusdt":
            raise error
        return [given(NOW - 60 * MINUTE)]

    well = Venue("okx")
    broken = Source(name="binance", location="here", rest=Rest("http://127.0.0.1:9", candles=candles))
    carried = [pair(symbol) for symbol in symbols]
    async with asyncio.timeout(DEADLINE_S):
        sources = [broken, well.source()]
        await backfill(
            history,
            sources,
            {"binance": carried, "okx": carried},
            names(*sources, symbols=symbols),
        )

    assert [symbol for symbol, _ in asked] == ["btcusdt", "btcusdt", "ethusdt", "xrpusdt", "xrpusdt"]
    assert well.asked == ["1h", "1m"]
