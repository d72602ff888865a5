"""All clocks step, in any order, over restarts: every trade of the venue has its bar, permanently."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from crypto_stream.history.history import History
from crypto_stream.history.queries import HistoryQuery
from crypto_stream.history.series import Closed
from crypto_stream.history.writer import BarWriter
from crypto_stream.market.bars import INTERVALS, STORED, Bar, start
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade
from crypto_stream.storage.interface import Batch, Range, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter
from crypto_stream.storage.sqlite_history_reader import SqliteHistoryReader
from handlers.synthetic import due
from tests.history.clocks import MS, SetClocks
from tests.instruments import named

PAIR, WALK = "btcusdt", "ticker_00"
VENUE, SYNTHETIC = "binance", "synthetic"
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
BEGIN = 20_000 * DAY + 10 * HOUR + 50 * MINUTE  # some day, near the end of an hour
KEEP_MS = {"1s": HOUR, "1m": 2 * DAY, "1h": 30 * DAY}
STEPS = st.sampled_from([2 * HOUR, -2 * HOUR, 40 * DAY, -DAY, 3 * SECOND, -3 * SECOND, 200, -200])
ALL = Range(0, 2**62, 100_000, newest=False)


class AtOnce(BarWriter):
    """Writes each batch immediately."""

    def put(self, batch: Batch) -> None:
        """Write as the thread would."""
        assert self.write([batch])


class Machine(RuleBasedStateMachine):
    """A venue with a correct clock, a generator, and a machine whose clocks are set."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="clocks-")
        self.path = Path(self.folder.name) / "history.db"
        self.truth = BEGIN
        self.clocks = SetClocks(BEGIN)
        self.told: dict[tuple[str, int], Bar] = {}  # closed bars of the pair
        self.traded: dict[int, int] = {}  # second → trades of the pair that must be in its bar
        self.boots = 0
        self.settled_s = 0  # seconds that passed since something was done to a clock
        self.second = 0

    @initialize()
    def begin(self) -> None:
        """Store minutes of two days, and start."""
        self.writer = SqliteHistoryWriter(self.path)
        self.reader = SqliteHistoryReader(self.path)
        old = range(start(BEGIN - 2 * DAY, HOUR), BEGIN - HOUR, MINUTE)
        self.old = [Bar(at, "1", "1", "1", "1", None, 1, SYNTHETIC) for at in old]
        self.writer.write(Batch([StoredBar(WALK, "1m", bar) for bar in self.old], [], BEGIN - HOUR))
        self.live()

    def live(self) -> None:
        """Start an engine."""
        self.clock = EngineClock(self.clocks, [VENUE], self.reader.anchor())
        keeper = AtOnce(self.writer, [PAIR, WALK], KEEP_MS)
        self.history = History([PAIR, WALK], self.reader, keeper, self.clock)
        self.history.restore()
        self.history.closed.append(self.closes)
        for symbol, source in ((PAIR, VENUE), (WALK, SYNTHETIC)):
            self.history.switched(symbol, source, "it is live")
        self.second = self.clock.now_ms() // SECOND - 1
        self.settled_s = 0

    def closes(self, symbol: str, closed: Closed) -> None:
        """Record closed bars: they must never change."""
        if symbol == PAIR:
            key = (closed.interval, closed.bar.time)
            assert self.told.get(key, closed.bar) == closed.bar
            self.told[key] = closed.bar

    @rule(seconds=st.integers(1, 70))
    def time_passes(self, seconds: int) -> None:
        """Send trades each second."""
        for _ in range(seconds):
            self.truth += SECOND
            self.clocks.pass_by(SECOND)
            self.clock.check()
            self.take(VENUE, Trade(named(PAIR), "trades", self.truth, self.truth, "5", "1"))
            self.traded[start(self.truth, SECOND)] = self.traded.get(start(self.truth, SECOND), 0) + 1
            for moment in due(self.second, self.clock.now_ms() / SECOND):
                self.take(SYNTHETIC, Trade(named(WALK), "walk", moment, moment * SECOND, "5", None))
                self.second = moment
            self.history.tick()
            self.settled_s += 1

    def take(self, source: str, trade: Trade) -> None:
        self.history.record(source, trade, source)

    @rule(ms=STEPS)
    def wall_clock_is_set(self, ms: int) -> None:
        """By an operator, by NTP, or by another system of a dual boot."""
        self.clocks.wall += ms
        self.settled_s = 0

    @rule()
    def wall_clock_is_set_right(self) -> None:
        """Corrected by an operator."""
        self.clocks.wall = self.truth
        self.settled_s = 0

    @rule(ms=st.sampled_from([500, 5 * SECOND, 2 * HOUR]))
    def monotonic_clock_leaps(self, ms: int) -> None:
        """As on a migrated virtual machine."""
        self.clocks.monotonic += ms * MS

    @rule(ms=st.integers(SECOND, 3 * HOUR))
    def machine_sleeps(self, ms: int) -> None:
        """The clock that includes sleep advances, the monotonic one does not."""
        self.truth += ms
        self.clocks.sleep(ms)
        self.settled_s = 0

    @rule(ms=st.integers(0, 3 * HOUR), kill=st.booleans())
    def engine_restarts(self, ms: int, kill: bool) -> None:
        """Within the same boot; a killed engine loses the open second."""
        self.end(kill)
        self.truth += ms
        self.clocks.pass_by(ms)
        self.live()

    @rule(ms=st.integers(SECOND, 3 * HOUR), wrong=STEPS)
    def machine_reboots(self, ms: int, wrong: int) -> None:
        """Its wall clock may be wrong afterwards, and the duration is unknown."""
        self.end(kill=False)
        self.truth += ms
        self.boots += 1
        self.clocks.reboot(str(self.boots), ms)
        self.clocks.wall += wrong
        self.live()

    def end(self, kill: bool) -> None:
        """The open second is lost by a kill and by a stop."""
        if not kill:
            self.history.tick()
        live = self.history.series[PAIR].live("1s")
        if live is not None:
            self.traded.pop(live.time, None)
        self.truth = start(self.truth, SECOND) + SECOND  # nobody trades in the rest of it
        self.clocks.pass_by(SECOND)

    @invariant()
    def every_trade_of_the_venue_is_in_a_bar(self) -> None:
        """Whatever the machine's clocks showed."""
        if self.traded:
            live = self.history.series[PAIR].live("1s")
            bars = [*self.reader.bars(PAIR, "1s", ALL), *([] if live is None else [live])]
            found = {bar.time: bar.trades for bar in bars}
            recent = start(self.truth - KEEP_MS["1s"], MINUTE)
            missing = {at for at, count in self.traded.items() if at >= recent and found.get(at) != count}
            assert not missing, (missing, found)

    @invariant()
    def closed_bars_never_change(self) -> None:
        """Closed bars never change."""
        for interval in STORED:
            recent = start(self.truth - KEEP_MS[interval], DAY)
            kept = {bar.time: bar for bar in self.reader.bars(PAIR, interval, ALL)}
            for (of, at), bar in self.told.items():
                if of == interval and at in kept:
                    assert kept[at] == bar
                elif of == interval:
                    assert at < max(recent, self.truth - KEEP_MS[interval])

    @invariant()
    def nothing_is_removed_early(self) -> None:
        """Retention uses the true time."""
        times = {bar.time for bar in self.reader.bars(WALK, "1m", ALL)}
        keep_from = self.truth - KEEP_MS["1m"]
        assert [bar.time for bar in self.old if bar.time >= keep_from and bar.time not in times] == []

    @invariant()
    def the_walk_continues(self) -> None:
        """A few seconds after any step its newest trade is in a bar."""
        if self.settled_s >= 10:
            live = self.history.series[WALK].live("1s")
            assert live is not None
            assert live.time == self.second * SECOND

    @invariant()
    def gaps_are_of_the_past(self) -> None:
        """Once the venue's time is known, no gap is in the future, or open."""
        if self.settled_s >= 10:
            page = asyncio.run(self.history.query(PAIR, HistoryQuery("1m", None, 0, None, None)))
            assert all(gap.to is not None and gap.to <= self.truth + 2 * SECOND for gap in page.gaps), (
                page.gaps
            )
            for bar in self.reader.bars(PAIR, "1s", ALL):
                assert not [
                    gap for gap in page.gaps if gap.from_ <= bar.time and bar.time + SECOND <= (gap.to or 0)
                ], (bar, page.gaps)

    @invariant()
    def a_wrong_clock_is_reported(self) -> None:
        """While it is wrong by minutes, and for a while afterwards."""
        if self.settled_s >= 10 and abs(self.clocks.wall - self.truth) > 2 * MINUTE:
            assert self.clock.trouble

    def teardown(self) -> None:
        """Close everything."""
        self.folder.cleanup()


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=14, deadline=None)
TestClocks = Machine.TestCase
assert set(INTERVALS) > set(STORED)


def test_no_bar_lies_in_the_gap_of_a_sleep() -> None:
    """A gap begins at the end of the newest bar at the earliest, however long the machine slept."""
    machine = Machine()
    machine.begin()
    machine.machine_sleeps(SECOND)
    machine.machine_sleeps(SECOND)
    machine.time_passes(1)
    machine.machine_sleeps(30_658)
    machine.time_passes(44)
    machine.gaps_are_of_the_past()
    machine.teardown()


def test_a_sleep_before_the_first_trade_leaves_no_gap_in_the_future() -> None:
    """The machine's clock is ahead since its reboot; the first trade shows by how much."""
    machine = Machine()
    machine.begin()
    machine.machine_reboots(SECOND, 2 * HOUR)
    machine.machine_sleeps(29_001)
    machine.time_passes(10)
    machine.gaps_are_of_the_past()
    machine.teardown()
