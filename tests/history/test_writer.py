"""The history writer: in order, once each, and bounded while writing fails."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_stream.history.writer import BarWriter
from crypto_stream.market.bars import Bar, Gap
from crypto_stream.storage.interface import ALL_SYMBOLS, Batch, HistoryWriter, Range, Retention, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from crypto_stream.storage.sqlite_history_reader import SqliteHistoryReader
from tests.small_disk import small_disk
from tests.waiting import DEADLINE_S

RETRY_S = 0.005
LOST = "the history could not be stored"


class Disk:
    """Stores what is written in memory, or fails."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.refuses: Exception | None = None
        self.refused = 0
        self.pruned: list[tuple[str, str, int]] = []
        self.many = 0
        self.checked: list[str] = []
        self.closed = False
        self.tidied = 0
        self.stays_untidy: Exception | None = None
        self.free = threading.Event()

    def prepare(self) -> None:
        """Do nothing."""

    def write(self, batch: Batch) -> None:
        if self.refuses is not None:
            self.refused += 1
            raise self.refuses
        self.batches.append(batch)

    def prune(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> int:
        self.pruned.append((symbol, interval, keep_ms))
        return self.many

    def tidy(self) -> None:
        self.tidied += 1
        if self.stays_untidy is not None:
            raise self.stays_untidy
        assert self.free.wait(DEADLINE_S)

    def check(self, reason: str) -> None:
        self.checked.append(reason)

    def move_aside(self, reason: str) -> None:
        raise AssertionError(reason)

    def close(self) -> None:
        self.closed = True

    @property
    def times(self) -> list[int]:
        """The times of all bars, as they were written."""
        return [bar.time for batch in self.batches for _, _, bar in batch.bars]

    def gaps(self) -> dict[tuple[str, int], Gap]:
        """The gaps as a database would contain them: a later state replaces an earlier one."""
        return {(symbol, gap.from_): gap for batch in self.batches for symbol, gap in batch.gaps}


class SlowDisk(Disk):
    """Every write waits for `writes`; `begun` is set when one that will succeed has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.writes = threading.Event()

    def write(self, batch: Batch) -> None:
        if self.refuses is None:
            self.begun.set()
            assert self.writes.wait(DEADLINE_S)
        super().write(batch)


def bar(second: int) -> StoredBar:
    return StoredBar("ticker_00", "1s", Bar(second * 1000, "1", "1", "1", "1", None, 1, "synthetic"))


def batch(*seconds: int, gaps: tuple[tuple[str, Gap], ...] = ()) -> Batch:
    return Batch([bar(second) for second in seconds], gaps, 1, retention=Retention(1, steady=True))


def wait_for(condition: object) -> None:
    """Wait for another thread."""
    assert callable(condition)
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def keeping(disk: Disk, max_queued: int = 1000, keep_ms: dict[str, int] | None = None) -> Iterator[BarWriter]:
    writer = BarWriter(disk, ["ticker_00", "ticker_01"], keep_ms or {}, max_queued, RETRY_S, RETRY_S)
    writer.start()
    try:
        yield writer
    finally:
        disk.refuses = None
        disk.free.set()
        writer.stop(DEADLINE_S)
        assert disk.closed


def test_slow_tidying_delays_no_bar() -> None:
    """Tidying waits for the disk on a thread of its own."""
    disk = Disk()
    with keeping(disk) as writer:
        wait_for(lambda: disk.tidied)
        writer.put(batch(1))
        wait_for(lambda: disk.times)
        tidied_when_written = disk.tidied

    assert disk.times == [1000]
    assert tidied_when_written == 1


def test_failed_tidying_is_retried(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, not each time."""
    disk = Disk()
    disk.stays_untidy = OSError("locked")
    with keeping(disk):
        wait_for(lambda: disk.tidied > 3)
        disk.stays_untidy = None
        disk.free.set()
        refused = disk.tidied
        wait_for(lambda: disk.tidied > refused + 1)

    assert [record.message for record in caplog.records] == ["history cannot be tidied, its log grows"]


def test_batches_are_written_in_their_order() -> None:
    """Once each; at the end all of them are."""
    disk = Disk()
    with keeping(disk) as writer:
        for second in range(50):
            writer.put(batch(second))

    assert disk.times == [second * 1000 for second in range(50)]
    assert writer.lost == 0


def test_failed_writes_are_retried_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The trouble is reported while it lasts; then everything is written, and that is logged too."""
    disk = Disk()
    disk.refuses = OSError("disk full")
    with caplog.at_level(logging.INFO), keeping(disk) as writer:
        for second in range(5):
            writer.put(batch(second))
        wait_for(lambda: disk.refused > 3)
        during = writer.trouble, [one.time for one in writer.waiting("ticker_00", "1s")]
        disk.refuses = None
        wait_for(lambda: len(disk.times) == 5)
        wait_for(lambda: writer.trouble is None)

    assert during == ("disk full", [0, 1000, 2000, 3000, 4000])
    assert disk.times == [0, 1000, 2000, 3000, 4000]
    assert [record.message for record in caplog.records] == [
        "history cannot be stored",
        "history is stored again",
    ]


def test_waiting_bars_are_those_of_one_series() -> None:
    """No other symbol or interval."""
    disk = Disk()
    disk.refuses = OSError("locked")
    other = StoredBar("ticker_01", "1s", bar(9).bar)
    longer = StoredBar("ticker_00", "1m", bar(0).bar)
    with keeping(disk) as writer:
        writer.put(Batch([bar(1), other, longer, bar(2)], (), 1))

        assert [one.time for one in writer.waiting("ticker_00", "1s")] == [1000, 2000]
        assert [one.time for one in writer.waiting("ticker_01", "1s")] == [9000]


def test_beyond_the_bound_the_oldest_are_dropped_and_reported() -> None:
    """They are counted, and one gap of all instruments covers exactly them."""
    disk = Disk()
    disk.refuses = OSError("disk full")
    with keeping(disk, max_queued=20) as writer:
        for second in range(100):
            writer.put(batch(second))
        waiting = len(writer.waiting("ticker_00", "1s"))
        backlog = writer.backlog
        disk.refuses = None
        wait_for(lambda: 99_000 in disk.times and writer.backlog == 0)

    missing = sorted(set(range(0, 100_000, 1000)) - set(disk.times))
    assert waiting == backlog <= 20
    assert writer.lost == len(missing) == 100 - waiting
    assert disk.gaps() == {(ALL_SYMBOLS, missing[0]): Gap(missing[0], missing[-1] + 1000, LOST)}


def test_a_bar_that_is_being_written_is_in_no_gap() -> None:
    """Although bars before it, and after it, are lost meanwhile: each gap is stored with what follows it."""
    disk = SlowDisk()
    disk.refuses = OSError("disk full")
    with keeping(disk, max_queued=20) as writer:
        for second in range(100):
            writer.put(batch(second))
        disk.refuses = None
        assert disk.begun.wait(DEADLINE_S)
        for second in range(100, 200):
            writer.put(batch(second))
        disk.writes.set()
        wait_for(lambda: 199_000 in disk.times and writer.backlog == 0)

    missing = sorted(set(range(0, 200_000, 1000)) - set(disk.times))
    gaps = [gap for gap in disk.gaps().values() if gap.to is not None]
    assert len(gaps) == 2
    assert sorted(time for gap in gaps for time in range(gap.from_, gap.to or 0, 1000)) == missing
    assert writer.lost == len(missing)


def test_batches_without_bars_are_bounded_too() -> None:
    """An engine without a live source records each second that it is alive."""
    disk = Disk()
    disk.refuses = OSError("disk full")
    with keeping(disk, max_queued=20) as writer:
        for _ in range(1000):
            writer.put(batch())
        disk.refuses = None

    assert len(disk.batches) <= 20
    assert writer.lost == 0


def test_a_gap_that_began_before_the_trouble_is_ended() -> None:
    """Although the batch with its end was dropped."""
    disk = Disk()
    with keeping(disk, max_queued=30) as writer:
        writer.put(batch(gaps=(("btcusdt", Gap(10, None, "lost")),)))
        wait_for(lambda: disk.batches)
        disk.refuses = OSError("disk full")
        for second in range(100):
            ended = (("btcusdt", Gap(10, 20, "lost")),) if second == 5 else ()
            writer.put(batch(second, gaps=ended))
        disk.refuses = None

    assert disk.gaps()["btcusdt", 10] == Gap(10, 20, "lost")
    assert writer.lost > 50


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.booleans()), min_size=1, max_size=40))
def test_all_that_is_put_is_written_in_order_or_in_the_gap(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever the disk does and however much is queued at once."""
    disk = Disk()
    put: list[int] = []
    with keeping(disk, max_queued=15) as writer:
        for bars, gaps, refuses in steps:
            disk.refuses = OSError("full") if refuses else None
            seconds = range(len(put), len(put) + bars)
            told = tuple(("btcusdt", Gap(len(put) * 10 + place, None, "x")) for place in range(gaps))
            writer.put(batch(*seconds, gaps=told))
            put += seconds

    missing = sorted(set(put) - {at // 1000 for at in disk.times})
    assert disk.times == [second * 1000 for second in put if second not in missing]
    assert writer.lost == len(missing)
    holes = [gap for (symbol, _), gap in disk.gaps().items() if symbol == ALL_SYMBOLS]
    assert [at for at in put if any(gap.from_ <= at * 1000 < (gap.to or 0) for gap in holes)] == missing


def test_each_series_is_pruned_in_its_turn() -> None:
    """One after each batch: old bars never pile up, and no batch waits for all of it."""
    disk = Disk()
    with keeping(disk, keep_ms={"1s": 7, "1m": 9}) as writer:
        for second in range(5):
            writer.put(batch(second))

    series = [(symbol, *kept) for symbol in ("ticker_00", "ticker_01") for kept in (("1s", 7), ("1m", 9))]
    assert disk.pruned == [*series, series[0]]


def test_a_suspect_file_is_checked_before_the_next_write() -> None:
    """Once, on the writer thread."""
    disk = Disk()
    with keeping(disk) as writer:
        writer.check_later("malformed")
        writer.put(batch(1))
        writer.put(batch(2))

    assert disk.checked == ["malformed"]
    assert disk.times == [1000, 2000]


def test_an_internal_error_of_the_writer_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Prices continue, and memory stays bounded."""
    disk = Disk()
    disk.refuses = ValueError("a bug")
    with keeping(disk, max_queued=20) as writer:
        writer.put(batch(0))
        wait_for(lambda: writer.trouble)
        for second in range(100):
            writer.put(batch(second))

        assert len(writer.waiting("ticker_00", "1s")) <= 20
    assert writer.trouble == "the writer thread has ended, see the log"
    assert "a bug" in caplog.text


@contextmanager
def writing(store: HistoryWriter, max_queued: int = 1000) -> Iterator[BarWriter]:
    """Write to a real file until the end of the block."""
    writer = BarWriter(store, [], {}, max_queued, RETRY_S, RETRY_S)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop(DEADLINE_S)


def stored(path: Path) -> tuple[list[int], list[Gap]]:
    """Read the times of all bars, and the gaps of the instrument."""
    reader, everything = SqliteHistoryReader(path), Range(0, 2**62, 100_000, newest=False)
    bars = reader.bars("ticker_00", "1s", everything)
    return [one.time for one in bars], reader.gaps("ticker_00", 0, 2**62)


def test_after_a_full_disk_every_bar_is_in_the_file_or_in_the_gap(tmp_path: Path) -> None:
    """A real disk that has space again: the oldest bars are lost, and the file says which."""
    with small_disk(tmp_path / "disk") as disk:
        path = disk.folder / "history.db"
        with writing(SqliteHistoryWriter(path), max_queued=50) as writer:
            writer.put(batch(0))
            wait_for(lambda: not writer.backlog)
            disk.fill()
            for second in range(1, 10_000):
                writer.put(batch(second))
            wait_for(lambda: writer.trouble)
            disk.empty()
            wait_for(lambda: not writer.backlog)
        times, gaps = stored(path)

    missing = sorted(set(range(0, 10_000_000, 1000)) - set(times))
    assert writer.lost == len(missing) > 0
    assert times == sorted(times)
    # Some may be stored in between: a database that is opened again finds room in its old log.
    assert [time for gap in gaps for time in range(gap.from_, gap.to or gap.from_, 1000)] == missing


def test_a_locked_file_gets_every_bar_when_it_is_unlocked(tmp_path: Path) -> None:
    """A backup, or a shell, may lock it for seconds."""
    path = tmp_path / "history.db"
    with writing(SqliteHistoryWriter(path)) as writer:
        writer.put(batch(0))
        wait_for(lambda: not writer.backlog)
        with closing(sqlite3.connect(path, timeout=DEADLINE_S, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writer.put(batch(1))
            writer.put(batch(2))
            wait_for(lambda: writer.trouble)
            other.execute("ROLLBACK")
        wait_for(lambda: writer.trouble is None)

    assert stored(path) == ([0, 1000, 2000], [])


def test_a_deleted_file_is_created_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is written to a deleted file would be lost."""
    path = tmp_path / "history.db"
    with writing(SqliteHistoryWriter(path)) as writer:
        writer.put(batch(0))
        wait_for(lambda: not writer.backlog)
        for part in tmp_path.glob("history.db*"):
            part.unlink()
        writer.put(batch(1))

    assert stored(path) == ([1000], [])
    assert "history file gone, a new one created" in [record.message for record in caplog.records]
