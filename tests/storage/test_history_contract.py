"""What every store of the history does: what is written is read, and a bar never changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_stream.market.bars import STORED, Bar, Gap
from crypto_stream.market.clock import Anchor, Boot
from crypto_stream.storage.interface import (
    ALL_SYMBOLS,
    Batch,
    HistoryReader,
    HistoryWriter,
    Range,
    Retention,
    SetAside,
    StoredBar,
    Stores,
)
from tests.storage.bars import ALL, BARS, bar, seconds
from tests.stores import StoreFactory

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
def writer(stores: Stores) -> Iterator[HistoryWriter]:
    made, _ = stores.history()
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def reader(stores: Stores) -> HistoryReader:
    _, made = stores.history()
    return made


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BARS, max_size=20, unique_by=lambda bar: bar.time), st.sampled_from(STORED))
def test_bars_are_read_as_they_were_written(
    store_factory: StoreFactory, bars: list[Bar], interval: str
) -> None:
    """Every text exactly, oldest first."""
    writer, reader = store_factory.stores().history()
    writer.write(Batch([StoredBar("btcusdt", interval, each) for each in bars], [], 1))
    writer.close()

    assert reader.bars("btcusdt", interval, ALL) == sorted(bars, key=lambda bar: bar.time)


def test_a_series_is_its_own(writer: HistoryWriter, reader: HistoryReader) -> None:
    """It contains neither another symbol's bars nor those of another interval."""
    writer.write(Batch([*seconds(1000), *seconds(2000, symbol="ticker_01")], [], 1))
    writer.write(Batch([StoredBar("ticker_00", "1m", bar(0))], [], 2))

    assert [one.time for one in reader.bars("ticker_00", "1s", ALL)] == [1000]
    assert reader.bars("ticker_02", "1s", ALL) == []
    assert reader.newest("1s") == {"ticker_00": 1000, "ticker_01": 2000}
    assert (reader.first("ticker_00", "1m"), reader.first("ticker_01", "1m")) == (0, None)


@pytest.mark.parametrize(
    ("wanted", "times"),
    [
        (Range(0, 10_000, 9, newest=False), [1000, 2000, 3000]),
        (Range(1000, 3000, 9, newest=False), [1000, 2000]),
        (Range(1001, 3001, 9, newest=True), [2000, 3000]),
        (Range(0, 10_000, 2, newest=False), [1000, 2000]),
        (Range(0, 10_000, 2, newest=True), [2000, 3000]),
    ],
)
def test_a_range_has_two_ends(
    writer: HistoryWriter, reader: HistoryReader, wanted: Range, times: list[int]
) -> None:
    """From inclusive, to exclusive, and the limit counts from the requested end."""
    writer.write(Batch(seconds(3000, 1000, 2000), [], 1))

    assert [one.time for one in reader.bars("ticker_00", "1s", wanted)] == times


def test_a_stored_bar_never_changes(writer: HistoryWriter, reader: HistoryReader) -> None:
    """Even if another run of the engine closes it again."""
    writer.write(Batch([StoredBar("ticker_00", "1s", bar(1000, "5"))], [], 1))
    writer.write(Batch([StoredBar("ticker_00", "1s", bar(1000, "6"))], [], 2))

    assert reader.bars("ticker_00", "1s", ALL) == [bar(1000, "5")]


def test_gaps_that_overlap_the_time_are_returned(writer: HistoryWriter, reader: HistoryReader) -> None:
    """Those of the symbol and of all instruments; an open one has no end."""
    gaps = [("btcusdt", Gap(10, 20, "a")), (ALL_SYMBOLS, Gap(15, 30, "b")), ("ethusdt", Gap(0, 99, "c"))]
    writer.write(Batch([], [*gaps, ("btcusdt", Gap(40, None, "d"))], 1))

    assert [gap.reason for gap in reader.gaps("btcusdt", 0, 100)] == ["a", "b", "d"]
    assert [gap.reason for gap in reader.gaps("btcusdt", 20, 40)] == ["b"]
    assert [gap.reason for gap in reader.gaps("btcusdt", 1000, 2000)] == ["d"]


def test_a_gap_is_replaced_by_its_end(writer: HistoryWriter, reader: HistoryReader) -> None:
    """It is written when it begins, and again when it ends."""
    for end in (None, 20):
        writer.write(Batch([], [("btcusdt", Gap(10, end, "lost"))], 1))

    assert reader.gaps("btcusdt", 0, 100) == [Gap(10, 20, "lost")]


def test_a_start_reads_all_symbols_at_once(writer: HistoryWriter, reader: HistoryReader) -> None:
    """Bars of each from its own time on, the oldest of each, and the gaps that have not ended."""
    first, second = seconds(3000, 1000, 2000), seconds(1000, 4000, symbol="ticker_01")
    gaps = [
        *[("ticker_01", Gap(at, None, "a")) for at in (30, 10)],
        *[("ticker_00", Gap(10, 20, "b")), (ALL_SYMBOLS, Gap(5, None, "c"))],
    ]
    writer.write(Batch([*first, *second, StoredBar("ticker_00", "1m", bar(0))], gaps, 1))
    since = reader.bars_since("1s", {"ticker_01": 1001, "ticker_00": 2000, "ticker_02": 0})
    symbols = ["ticker_00", "ticker_01", "ticker_02"]

    assert since == {"ticker_00": [bar(2000), bar(3000)], "ticker_01": [bar(4000)]}
    assert reader.bars_since("1s", {}) == {}
    assert reader.oldest("1s", symbols) == {"ticker_00": bar(1000), "ticker_01": bar(1000)}
    assert reader.oldest("1m", symbols) == {"ticker_00": bar(0)}
    assert reader.open_gaps() == {
        "ticker_01": [Gap(10, None, "a"), Gap(30, None, "a")],
        ALL_SYMBOLS: [Gap(5, None, "c")],
    }


def test_a_start_with_an_empty_store(reader: HistoryReader) -> None:
    """There is nothing to continue from."""
    found = [reader.bars_since("1s", {"btcusdt": 0}), reader.oldest("1h", ["btcusdt"]), reader.open_gaps()]

    assert found == [{}, {}, {}]


def test_the_time_of_the_last_run_is_stored(writer: HistoryWriter, reader: HistoryReader) -> None:
    """A new file has none."""
    before = reader.alive_ms()
    for moment in (5, 7):
        writer.write(Batch([], [], moment))

    assert (before, reader.alive_ms()) == (None, 7)


def test_data_from_a_clock_that_was_ahead_is_set_aside(writer: HistoryWriter, reader: HistoryReader) -> None:
    """Later bars are moved to another table, gaps end there; new bars replace them."""
    gaps = [Gap(1_500, 2_500, "a"), Gap(5_000, None, "b"), Gap(100, None, "c")]
    writer.write(Batch(seconds(1000, 2000, 3000), [("ticker_00", gap) for gap in gaps], 1))
    new = StoredBar("ticker_00", "1s", bar(2000, "7"))
    writer.write(Batch([new], [], 1, [SetAside("ticker_00", 2000, bars=True)]))

    assert reader.bars("ticker_00", "1s", ALL) == [bar(1000), bar(2000, "7")]
    assert reader.gaps("ticker_00", 0, 10_000) == [Gap(100, None, "c"), Gap(1_500, 2_000, "a")]


def test_the_clocks_are_stored(writer: HistoryWriter, reader: HistoryReader) -> None:
    """The newest values, with and without a boot id."""
    assert reader.anchor() is None
    for boot in (Boot("name", 7), None):
        anchor = Anchor(1, 2, 3, boot)
        writer.write(Batch([], [], 1, anchor=anchor))
        assert reader.anchor() == anchor


def test_hours_are_pruned_by_whole_days_counted_from_the_series_newest(
    writer: HistoryWriter, reader: HistoryReader
) -> None:
    """A series that is quiet for long retains its last bars."""
    times = (0, DAY - HOUR, DAY, 2 * DAY, 3 * DAY)
    bars = [StoredBar("ticker_00", "1h", bar(time)) for time in times]
    writer.write(Batch([*bars, StoredBar("ticker_01", "1h", bar(HOUR))], [], 1))
    for symbol in ("ticker_00", "ticker_01", "ticker_02"):
        writer.prune(symbol, "1h", 2 * DAY, Retention(2**62, steady=True))

    assert [one.time for one in reader.bars("ticker_00", "1h", ALL)] == [DAY, 2 * DAY, 3 * DAY]
    assert [one.time for one in reader.bars("ticker_01", "1h", ALL)] == [HOUR]


@pytest.mark.parametrize("interval", STORED)
def test_a_clock_that_is_ahead_prunes_nothing(
    writer: HistoryWriter, reader: HistoryReader, interval: str
) -> None:
    """A bar in the future does not make the others old."""
    far = 400 * DAY
    writer.write(Batch([StoredBar("ticker_00", interval, bar(time)) for time in (0, HOUR, far)], [], 1))
    writer.prune("ticker_00", interval, DAY, Retention(2 * HOUR, steady=True))

    assert [one.time for one in reader.bars("ticker_00", interval, ALL)] == [0, HOUR, far]
