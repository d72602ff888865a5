"""Live bars as gateways are told of them: who gets all messages has all bars, who misses one sees it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_stream.bus.messages import LiveBars
from crypto_stream.engine.candles import MOST_WATCHED, Candles
from crypto_stream.engine.past import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.errors import RefusedError
from crypto_stream.history.history import History
from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.market.clock import EngineClock
from crypto_stream.settings import Settings
from tests.history.trading import numbers, plainly, trade

SYMBOL = "btcusdt"


class Told:
    """Candles over a history without a past, and what each gateway is told."""

    def __init__(self, folder: Path) -> None:
        self.history: History = open_history(
            Settings(data_dir=folder), [SYMBOL, "ethusdt"], EngineClock(MachineClocks())
        )
        self.messages: dict[int, list[LiveBars]] = {1: [], 2: []}
        self.seq = 0
        self.candles = Candles(self.history, lambda: self.seq, self._take)
        self.base_ms = time.time_ns() // 86_400_000_000_000 * 86_400_000
        self.now_ns = time.monotonic_ns()

    def _take(self, gateway: int, message: LiveBars) -> None:
        self.messages[gateway].append(message)

    def trade(self, later_ms: int, price: str = "1", symbol: str = SYMBOL) -> None:
        """Take a trade so long after midnight."""
        self.history.take("binance", trade(self.base_ms + later_ms, price, symbol=symbol), "binance")

    def newest(self, gateway: int = 1) -> tuple[list[int], int | None]:
        """Return times of the newest message's bars and `previous`, both since midnight."""
        message = self.messages[gateway][-1]
        previous = None if message.previous is None else message.previous - self.base_ms
        return [bar.time - self.base_ms for bar in message.bars], previous


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_who_begins_to_watch_is_told_at_once(told: Told) -> None:
    """The open bar, and which one was closed before it."""
    for later in (0, 1000, 2000):
        told.trade(later)
    told.candles.watch(1, [(SYMBOL, "1s")])

    assert told.newest() == ([2000], 1000)
    assert [bar.closed for bar in told.messages[1][0].bars] == [False]


def test_bars_that_closed_are_told_as_closed_with_the_open_one(told: Told) -> None:
    """None is left out, however many close between two messages; `previous` is what was told before."""
    told.trade(0)
    told.candles.watch(1, [(SYMBOL, "1s")])
    for later in (1000, 2000, 5000):
        told.trade(later)
    told.candles.tell()
    told.trade(6000)
    told.candles.tell()
    first, second = told.messages[1][1:]

    assert [(bar.time - told.base_ms, bar.closed) for bar in first.bars] == [
        *((0, True), (1000, True), (2000, True)),
        (5000, False),
    ]
    assert first.previous is None
    assert told.newest() == ([5000, 6000], 2000)
    assert second.bars[0].closed


def test_what_did_not_change_is_not_told_again(told: Told) -> None:
    """Nor is anything of a series that nobody watches."""
    told.trade(0)
    told.candles.watch(1, [(SYMBOL, "1s")])
    told.candles.tell()
    told.trade(500, symbol="ethusdt")
    told.candles.tell()

    assert len(told.messages[1]) == 1


def test_a_gap_is_told_when_it_begins_and_when_it_ends(told: Told) -> None:
    """Though no bar changes."""
    told.candles.watch(1, [(SYMBOL, "1m")])
    told.history.switched(SYMBOL, None, "lost")
    told.candles.tell()
    told.history.switched(SYMBOL, "okx", "it is live")
    told.candles.tell()
    _, begun, ended = [message.gap for message in told.messages[1]]

    assert isinstance(begun, Gap)
    assert (begun.to, begun.reason) == (None, "lost")
    assert ended is None


def test_each_gateway_is_told_of_what_it_watches(told: Told) -> None:
    """A new wish takes the place of the old one; who has left is told nothing."""
    told.candles.watch(1, [(SYMBOL, "1s")])
    told.candles.watch(2, [(SYMBOL, "1m")])
    told.candles.watch(1, [("ethusdt", "1s")])
    told.candles.left(2)
    told.messages = {1: [], 2: []}
    told.trade(0)
    told.trade(0, symbol="ethusdt")
    told.candles.tell()

    assert [message.symbol for message in told.messages[1]] == ["ethusdt"]
    assert told.messages[2] == []


@pytest.mark.parametrize(
    ("series", "code"),
    [
        ([("nothing", "1s")], "unknown_series"),
        ([(SYMBOL, "2s")], "unknown_series"),
        ([(f"s{number}", "1s") for number in range(MOST_WATCHED + 1)], "too_many_series"),
    ],
)
def test_a_wish_that_cannot_be_changes_nothing(told: Told, series: list[tuple[str, str]], code: str) -> None:
    """It is refused by its code; what was watched before is watched on."""
    told.candles.watch(1, [(SYMBOL, "1s")])
    with pytest.raises(RefusedError) as refused:
        told.candles.watch(1, series)
    told.trade(0)
    told.candles.tell()

    assert refused.value.code == code
    assert told.newest()[0] == [0]


class Follower:
    """Joins the messages of one series as the contract says; counts how often it had to begin anew."""

    def __init__(self) -> None:
        self.bars: dict[int, Bar] = {}
        self.anew = 0

    def take(self, message: LiveBars) -> None:
        if message.bars and message.bars[0].time not in self.bars:
            before = None if message.previous is None else self.bars.get(message.previous)
            if before is None or not before.closed:
                self.anew += 1
                self.bars.clear()
        for bar in message.bars:
            assert not (bar.time in self.bars and self.bars[bar.time].closed and self.bars[bar.time] != bar)
            self.bars[bar.time] = bar


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(INTERVALS)),
    st.lists(st.tuples(st.integers(0, 40_000), st.sampled_from(["", "", "tell", "watch"])), max_size=60),
    st.data(),
)
def test_who_gets_every_message_has_every_bar(
    tmp_path_factory: pytest.TempPathFactory,
    interval: str,
    steps: list[tuple[int, str]],
    data: st.DataObject,
) -> None:
    """Two gateways that begin at different times both follow without a hole, from their first message on."""
    told = Told(tmp_path_factory.mktemp("candles"))
    trades, at = [], 0
    for later, then in steps:
        at += later
        trades.append(trade(told.base_ms + at, str(1 + at % 7)))
        told.history.take("binance", trades[-1], "binance")
        if then == "tell":
            told.candles.tell()
        elif then == "watch":
            told.candles.watch(data.draw(st.sampled_from([1, 2])), [(SYMBOL, interval)])
    told.candles.tell()
    everything = plainly(trades, INTERVALS[interval])

    for messages in told.messages.values():
        follower = Follower()
        for message in messages:
            follower.take(message)
        held = [numbers(bar) for _, bar in sorted(follower.bars.items())]
        assert follower.anew <= 1  # the first bar of all
        assert held == (everything[-len(held) :] if held else [])
        assert bool(held) == bool(messages and everything)
