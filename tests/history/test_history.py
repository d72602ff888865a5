"""Recording, storage and queries together: over restarts and failures."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_stream.engine.history import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.errors import SettingError
from crypto_stream.history.history import History
from crypto_stream.history.queries import MAX_BARS, HistoryQuery
from crypto_stream.history.suspension import Suspension
from crypto_stream.history.writer import BarWriter
from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.settings import Settings
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from crypto_stream.storage.sqlite_history_reader import SqliteHistoryReader
from tests.history.trading import PRICES, SIZES, expected_bars, numbers, trade
from tests.waiting import DEADLINE_S, until

SYMBOL = "btcusdt"
EVERYTHING = HistoryQuery("1s", None, None, None, MAX_BARS)
STOPPED = "the engine was not running"


def opened(folder: Path, *symbols: str) -> History:
    """Open the history in `folder`."""
    clock = EngineClock(MachineClocks())
    return open_history(Settings(data_dir=folder, keep_1s=0, keep_1m=0), symbols or (SYMBOL,), clock)


@contextmanager
def running(history: History) -> Iterator[History]:
    """Run the writer thread within the block; then everything queued is written."""
    keeper = history.writer
    keeper.start()
    try:
        yield history
    finally:
        keeper.stop(DEADLINE_S)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def ask(history: History, question: HistoryQuery = EVERYTHING, symbol: str = SYMBOL) -> list[Bar]:
    return asyncio.run(history.query(symbol, question)).bars


def gaps(history: History, symbol: str = SYMBOL) -> list[Gap]:
    return asyncio.run(history.query(symbol, EVERYTHING._replace(from_ms=0))).gaps


def take(history: History, *trades: Trade) -> None:
    for one in trades:
        history.record("binance", one, "binance")


def serve(history: History, source: str | None = "binance", reason: str = "it is live") -> None:
    history.switched(SYMBOL, source, reason)


def run_engine(folder: Path, *trades: Trade) -> None:
    """Run an engine on some trades and kill it: only closed bars are stored."""
    with running(opened(folder)) as history:
        serve(history)
        take(history, *trades)
        history.tick()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 90_000), PRICES, SIZES, st.sampled_from(["", "", "", "tick", "kill"])),
        min_size=1,
        max_size=40,
    )
)
def test_every_query_contains_all_trades(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, str, str | None, str]],
) -> None:
    """Stored, queued, just closed and open bars: each once, over kills of the engine.

    A kill costs the trades of the open second.
    """
    folder = tmp_path_factory.mktemp("history")
    kept: list[Trade] = []
    at, dead_until = wall_ms() // 1000 * 1000, 0
    history = opened(folder)
    history.writer.start()
    for later, price, size, then in steps:
        at = max(at + later, dead_until)
        one = trade(at, price, size)
        kept.append(one)
        take(history, one)
        if then:
            history.tick()
        if then == "kill":
            dead_until = at // 1000 * 1000 + 1000
            kept = [held for held in kept if (held.time or 0) // 1000 != at // 1000]
            history.writer.stop(DEADLINE_S)
            history = opened(folder)
            history.writer.start()
    try:
        for interval, length in INTERVALS.items():
            bars = ask(history, EVERYTHING._replace(interval=interval))
            assert [numbers(bar) for bar in bars] == expected_bars(kept, length), interval
            assert all(bar.closed for bar in bars[:-1])
    finally:
        history.writer.stop(DEADLINE_S)


def test_a_page_is_of_one_moment(tmp_path: Path) -> None:
    """A bar that closes while the disk is read is not in it, and causes no missing bar."""
    now_ms = wall_ms()
    with running(opened(tmp_path)) as history:
        take(history, *(trade(now_ms + second * 1000) for second in range(20)))
        history.tick()
        series = history.series[SYMBOL]
        boundary, live = series.boundary("1s"), series.live("1s")

        async def asked() -> list[Bar]:
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(history.query(SYMBOL, EVERYTHING._replace(limit=5)))
                await asyncio.sleep(0)  # it has looked at the present
                take(history, trade(now_ms + 20_000))
                history.tick()
            return asking.result().bars

        bars = asyncio.run(asked())

    assert live is not None
    assert bars[-1] == live
    assert [bar.time for bar in bars] == [boundary - 1000 * back for back in (4, 3, 2, 1, 0)]


def test_the_time_between_two_runs_is_a_gap(tmp_path: Path) -> None:
    """From the end of the last stored bar to the first trade, including the open bar."""
    now_ms = wall_ms() // 1000 * 1000
    run_engine(tmp_path, *(trade(now_ms + later) for later in (0, 1000, 2000)))
    history = opened(tmp_path)
    open_then = gaps(history)
    serve(history)
    take(history, trade(now_ms + 9000), trade(now_ms + 10_000))
    (ended,) = gaps(history)
    with running(history):
        history.tick()
    again = opened(tmp_path)

    assert open_then == [Gap(now_ms + 2000, None, STOPPED)]
    assert (ended.from_, ended.reason) == (now_ms + 2000, STOPPED)
    assert ended.to is not None
    assert now_ms + 2000 < ended.to < now_ms + 2000 + DEADLINE_S * 1000
    assert gaps(again)[0] == ended


def test_a_clock_that_is_set_back_moves_no_gap_into_the_future(tmp_path: Path) -> None:
    """The engine recorded that it was alive at a time that is now in the future."""
    now_ms = wall_ms()
    run_engine(tmp_path, trade(now_ms - 60_000), trade(now_ms - 50_000))
    writer = SqliteHistoryWriter(tmp_path / "history.db")
    writer.write(Batch([], [], now_ms + 3_600_000))
    writer.close()
    (gap,) = gaps(opened(tmp_path))

    assert gap.from_ <= wall_ms()


def test_an_instrument_that_was_not_configured_for_a_run_has_a_gap(tmp_path: Path) -> None:
    """Although the engine ran."""
    now_ms = wall_ms() // 1000 * 1000
    run_engine(tmp_path, trade(now_ms), trade(now_ms + 1000))
    with running(opened(tmp_path, "ethusdt")) as other:
        other.tick()
    history = opened(tmp_path, SYMBOL, "ethusdt")
    first, second = gaps(history)

    assert (first.from_, first.reason) == (now_ms + 1000, "the instrument was not among the configured ones")
    assert (second.from_, second.to, second.reason) == (first.to, None, STOPPED)


def test_the_gap_of_a_quiet_instrument_begins_at_the_end_of_the_run(tmp_path: Path) -> None:
    """When the engine last recorded that it is alive, minus the time to close a bar."""
    now_ms = wall_ms()
    run_engine(tmp_path, trade(now_ms - 60_000), trade(now_ms - 50_000))
    (gap,) = gaps(opened(tmp_path))

    assert now_ms - 2000 <= gap.from_ <= wall_ms() - 2000


async def test_soon_after_the_start_the_reason_is_no_longer_the_stop(tmp_path: Path) -> None:
    """After two seconds the reason is that no source is live."""
    run_engine(tmp_path, trade(wall_ms() - 9000), trade(wall_ms() - 8000))
    history = opened(tmp_path)
    run = asyncio.get_running_loop().create_task(history.run())
    await until(lambda: history.gaps.open[SYMBOL].reason == "no source was live")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    page = await history.query(SYMBOL, EVERYTHING._replace(from_ms=0))

    assert [gap.reason for gap in page.gaps] == [STOPPED, "no source was live", STOPPED][: len(page.gaps)]
    assert page.gaps[0].to == page.gaps[1].from_


def test_the_first_trades_of_a_source_that_soon_serves_are_recorded(tmp_path: Path) -> None:
    """Only those of that source; the gap ends where they begin."""
    now_ms = wall_ms()
    history = opened(tmp_path)
    serve(history, None, "lost")
    for source, price in (("okx", "7"), ("binance", "5"), ("binance", "6")):
        history.record(source, trade(now_ms - 500, price), None)
    serve(history)
    (bar,) = ask(history)
    (gap,) = gaps(history)

    assert (bar.open, bar.close, bar.trades, bar.source) == ("5", "6", 2, "binance")
    assert gap.to in {now_ms - 500, gap.from_ + 1}


def test_the_first_trade_of_a_venue_may_be_hours_old(tmp_path: Path) -> None:
    """It neither ends the gap in the past nor makes the next one begin there."""
    history = opened(tmp_path)
    before_ms = history.clock.now_ms()
    serve(history, None, "lost")
    history.record("okx", trade(before_ms - 10 * 3_600_000), None)
    time.sleep(0.01)  # a gap is known by the millisecond it begins
    serve(history, "okx")
    time.sleep(0.01)
    serve(history, None, "lost again")
    first, second = gaps(history)

    assert before_ms <= first.from_ < (first.to or 0) <= second.from_
    assert before_ms <= second.from_ <= wall_ms()


@pytest.mark.parametrize(("stood_s", "is_gap"), [(29, False), (3600, True)])
def test_a_machine_that_slept_has_a_gap_until_the_first_trade(
    tmp_path: Path, stood_s: int, is_gap: bool
) -> None:
    """A short suspension causes no gap; buffered trades are recorded first."""
    at = wall_ms() // 1000 * 1000
    clock_ns = time.monotonic_ns()
    path = tmp_path / "history.db"
    writer = SqliteHistoryWriter(path)
    writer.prepare()
    keeper = BarWriter(writer, [SYMBOL], {})
    clock = EngineClock(MachineClocks())
    history = History([SYMBOL], SqliteHistoryReader(path), keeper, clock, Suspension(lambda: clock_ns))
    with running(history):
        serve(history)
        take(history, trade(at - stood_s * 1000, "1"))
        clock_ns += stood_s * 1_000_000_000
        take(history, trade(at, "2"), trade(at + 1000, "3"))
        history.tick()
        found = gaps(history)

    assert [gap.reason for gap in found] == ["the engine was suspended, as when its machine sleeps"] * is_gap
    assert all(abs(gap.from_ - (at - stood_s * 1000)) < 2_000 and gap.to == at for gap in found)
    assert history.gaps.open == {}


def test_trades_for_a_closed_bar_are_counted_and_change_nothing(tmp_path: Path) -> None:
    """A one-second bar is closed by the first trade of a later one."""
    at = wall_ms() // 1000 * 1000
    with running(opened(tmp_path)) as history:
        serve(history)
        take(history, trade(at, "1"), trade(at + 1000, "2"), trade(at + 500, "9"))
        bars = ask(history, EVERYTHING)

        assert history.late_trades == 1
        assert [bar.close for bar in bars] == ["1", "2"]


def test_trades_of_a_source_that_does_not_serve_are_not_recorded(tmp_path: Path) -> None:
    """Prices of two venues are never mixed."""
    history = opened(tmp_path)
    serve(history)
    history.record("okx", trade(wall_ms(), "7"), "binance")

    assert ask(history) == []


def test_a_failover_within_a_bar_is_visible_in_its_source(tmp_path: Path) -> None:
    """Both venues' names, in the order of their trades."""
    at = wall_ms() // 1000 * 1000
    history = opened(tmp_path)
    history.record("binance", trade(at, "5"), "binance")
    serve(history, "okx")
    history.record("okx", trade(at + 1, "6"), "okx")

    assert ask(history)[0].source == "binance+okx"


@pytest.mark.parametrize("far", [10**12, 2**70])
def test_a_trade_from_the_future_is_not_recorded(
    tmp_path: Path, far: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It would close every bar until then; this is logged once."""
    now_ms = wall_ms()
    history = opened(tmp_path)
    with caplog.at_level(logging.WARNING):
        take(history, trade(now_ms), trade(now_ms + far), trade(now_ms + far), trade(now_ms))

    assert [bar.trades for bar in ask(history)] == [2]
    assert len(caplog.records) == 1


def test_trades_ahead_of_a_clock_that_was_set_back_are_recorded(tmp_path: Path) -> None:
    """Trades that follow a correct one are correct."""
    history = opened(tmp_path)
    start = wall_ms() // 1000 * 1000 + 20 * 3_600_000
    take(history, *(trade(start + hour * 3_600_000) for hour in range(0, 60, 20)))

    assert len(ask(history)) == 3


def test_the_walk_continues_from_its_last_stored_value(tmp_path: Path) -> None:
    """The close of the newest bar of any interval."""
    now_ms = wall_ms() // 1000 * 1000
    run_engine(tmp_path, trade(now_ms - 9000, "1"), trade(now_ms - 8000, "2"), trade(now_ms - 7000, "3"))

    assert {symbol: bar.close for symbol, bar in opened(tmp_path).last_bars.items()} == {SYMBOL: "2"}


def test_a_corrupt_file_is_checked_by_the_writer(tmp_path: Path) -> None:
    """A reader's error is reported; then the file is moved aside, and a new one is used."""
    now_ms = wall_ms() // 1000 * 1000
    writer = SqliteHistoryWriter(tmp_path / "history.db")
    old = [StoredBar(SYMBOL, "1s", Bar(at * 1000, "1", "1", "1", "1", None, 1, "x")) for at in range(5000)]
    writer.write(Batch(old, [], 1))
    writer.close()
    history = opened(tmp_path)
    path = tmp_path / "history.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 200_000)
    with running(history):
        with pytest.raises(OSError, match="malformed"):
            ask(history)
        take(history, trade(now_ms), trade(now_ms + 1000))
        history.tick()

    assert len(list(tmp_path.glob("history.db.corrupt-*"))) == 1
    assert [bar.time for bar in ask(history)] == [now_ms, now_ms + 1000]


def test_an_unusable_directory_is_a_wrong_setting(tmp_path: Path) -> None:
    """The engine does not start until the user changes something."""
    (tmp_path / "history.db").mkdir()
    with pytest.raises(SettingError, match="data_dir"):
        opened(tmp_path)


async def test_the_last_day_is_loaded_after_the_start(tmp_path: Path) -> None:
    """24 h figures and sparklines include the previous run, without duplicates."""
    minute = wall_ms() // 300_000 * 300_000
    run_engine(tmp_path, *(trade(minute - 60_000 * back, str(100 + back)) for back in range(90, -1, -1)))
    history = opened(tmp_path)
    unread = history.recent.figures(SYMBOL)
    run = asyncio.get_running_loop().create_task(history.run())
    await until(lambda: len(history.recent.spark(SYMBOL)) >= 59 and history.recent.figures(SYMBOL))
    serve(history)
    take(history, trade(wall_ms() + 1000, "50"))
    figures = history.recent.figures(SYMBOL)
    spark = history.recent.spark(SYMBOL)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert unread is None  # not what a minute of this run comes to
    assert figures is not None
    assert (figures.open, figures.high, figures.low) == ("190", "190", "50")
    assert [at for at, _ in spark] == sorted({at for at, _ in spark})
    assert spark[-1][1] == "50"
