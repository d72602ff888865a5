"""The bars of an index: values while enough sources agree, a gap while they do not."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest

from crypto_stream.engine import index_bars
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.history import open_history
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.index_bars import IndexBars
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.feed.live_prices import LivePrices
from crypto_stream.history.history import History
from crypto_stream.history.queries import HistoryQuery
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Update
from crypto_stream.market.index import IndexRule, series_name
from crypto_stream.settings import Settings
from tests.feed.world import LIMITS, World
from tests.instruments import named
from tests.waiting import DEADLINE_S

S = 1_000_000_000
SOURCES = ("one", "two", "three")
NAME = series_name("btcusdt")
_SECONDS = HistoryQuery("1s", None, None, None, None)


class Desk(World):
    """Three sources, the indexes of some instruments, and their bars in a history of its own."""

    def __init__(self, folder: Path, *symbols: str) -> None:
        """Let all sources be live, and nothing be known yet."""
        super().__init__(dict.fromkeys(symbols, SOURCES))
        clock = EngineClock(MachineClocks())
        prices = LivePrices(self.failover, self.book, self.sources, LIMITS)
        self.activity = Activity(prices, self.sources)
        self.indexes = Indexes(self.activity.prices, IndexRule(3, Decimal(1)), {}, clock, lambda: self.now_ns)
        self.history: History = open_history(
            Settings(data_dir=folder), [*symbols, *map(series_name, symbols)], clock
        )
        self.bars = IndexBars(self.indexes, self.history, symbols)
        self.activity.listeners.append(self.bars.happened)
        self.now = float(time.monotonic_ns() // S)  # whole seconds: floats count those exactly
        self.live(*SOURCES)

    def says(self, name: str, mid: str, symbol: str = "btcusdt") -> None:
        """Let a source send a top of book."""
        self._key += 1
        update = Update(named(symbol), "top", self._key, bid=mid, bid_size="1", ask=mid, ask_size="1")
        self.book.of(name).apply(update, self.now_ns)
        self.activity.accepted(name, update)

    def all_say(self, mid: str, symbol: str = "btcusdt") -> None:
        """Let all sources send the same."""
        for name in SOURCES:
            self.says(name, mid, symbol)

    def tick(self, seconds: float = 0.0) -> None:
        """Let seconds pass on the recorder's clock, run a round of failover, then record what is due."""
        self.now += seconds
        self.decide()
        self.activity.reconsidered(self.failover.reconsidered)
        self.activity.tick(self.now_ns)
        self.bars.tick(self.now_ns)

    def closes(self, symbol: str = "btcusdt") -> str | None:
        """Return the newest value of an index that its bars contain."""
        bar = self.history.series[series_name(symbol)].live("1d")
        return None if bar is None else bar.close

    def count(self, symbol: str = "btcusdt") -> int | None:
        """Return how many values its bars contain."""
        bar = self.history.series[series_name(symbol)].live("1d")
        return 0 if bar is None else bar.trades


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, "btcusdt", "ethusdt")


def test_a_change_is_recorded_once_a_second(desk: Desk) -> None:
    """However many events there are; the last of them counts when the next value is due."""
    for price in ("100", "101", "102"):
        desk.all_say(price)
    desk.tick()
    first = desk.closes(), desk.count()
    desk.all_say("103")
    desk.tick(0.5)
    second = desk.closes(), desk.count()
    desk.all_say("104")
    desk.tick(0.6)

    assert first == ("102", 1)
    assert second == ("102", 1)
    assert (desk.closes(), desk.count()) == ("104", 2)
    assert desk.closes("ethusdt") is None


def test_if_nothing_happens_nothing_is_recorded(desk: Desk) -> None:
    """Once time has nothing left to change, either."""
    desk.all_say("100")
    for _ in range(4):
        desk.tick(60)
    before = desk.count()
    for _ in range(100):
        desk.tick(60)

    assert desk.closes() == "100"
    assert desk.count() == before


def test_too_few_sources_are_a_gap_with_the_reason(desk: Desk) -> None:
    """It begins when a source goes, without an event, and ends with the first value after it."""
    desk.all_say("100")
    desk.tick()
    desk.lose("two")
    desk.tick(1)
    gap = desk.history.gaps.open[NAME]
    desk.says("one", "100.1")
    desk.tick(1)
    during = desk.count()
    desk.live("two")
    desk.says("two", "100.2")
    desk.says("three", "100.1")
    desk.says("one", "100.1")
    desk.tick(1)

    assert (gap.to, gap.reason) == (None, "2 sources are usable, 3 needed")
    assert during == 1
    assert desk.count() == 2
    assert NAME not in desk.history.gaps.open
    assert "btcusdt" not in desk.history.gaps.open


def test_an_index_that_never_was_has_no_gap(desk: Desk) -> None:
    """There is nothing that it could be missing from."""
    desk.says("one", "100")
    desk.tick()

    assert desk.history.gaps.open == {}
    assert desk.closes() is None


def test_the_last_value_stays_with_a_stale_index(desk: Desk) -> None:
    """With its time."""
    desk.all_say("100")
    before = desk.indexes.current("btcusdt")
    desk.lose("two")
    after = desk.indexes.current("btcusdt")

    assert (before.price, before.stale) == ("100", False)
    assert (after.price, after.time, after.stale) == ("100", before.time, True)
    assert desk.indexes.current("ethusdt").price is None


def test_many_indexes_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick computes a bounded number of them, whichever have waited longest."""
    monkeypatch.setattr(index_bars, "_PER_TICK", 2)
    symbols = [f"c{number}usdt" for number in range(5)]
    desk = Desk(tmp_path, *symbols)
    for symbol in symbols:
        desk.all_say("100", symbol)
    counts = []
    for _ in range(3):
        desk.tick(0.1)
        desk.all_say("101", symbols[0])
        counts.append([desk.count(symbol) for symbol in symbols])

    assert counts == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


async def test_bars_are_read_like_those_of_any_series(tmp_path: Path) -> None:
    """Over a restart, too; they have no volume, and no part in the sparks."""
    desk = Desk(tmp_path, "btcusdt")
    desk.all_say("100.5")
    desk.tick()
    opened = await desk.history.query(NAME, _SECONDS)
    desk.history.writer.start()
    desk.history.recorder.close_due(10 * S)  # of the time since the history was opened
    desk.history.tick()
    desk.history.writer.stop(DEADLINE_S)
    stored = await Desk(tmp_path, "btcusdt").history.query(NAME, _SECONDS)

    assert [(bar.close, bar.source, bar.volume, bar.closed) for bar in opened.bars] == [
        ("100.5", "index", None, False)
    ]
    assert [(bar.close, bar.closed) for bar in stored.bars] == [("100.5", True)]
    assert desk.history.recent.symbols == ["btcusdt"]
