"""Live bars as gateways are told of them: who gets all messages has all bars, who misses one sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_stream.bus.interface import WATCH_EXPIRES_S
from crypto_stream.bus.messages import LiveBars, TopicUpdate, Watched
from crypto_stream.engine.candles import Candles
from crypto_stream.engine.history import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.engine.topics import Topics
from crypto_stream.errors import RefusedError
from crypto_stream.history.history import History
from crypto_stream.market.bars import INTERVALS, Bar, Gap
from crypto_stream.market.clock import EngineClock
from crypto_stream.settings import Settings
from tests.history.trading import expected_bars, numbers, trade

SYMBOL = "btcusdt"


class Told:
    """The topic of candles over a history without a past, and what each gateway is told."""

    def __init__(self, folder: Path) -> None:
        self.history: History = open_history(
            Settings(data_dir=folder), [SYMBOL, "ethusdt"], EngineClock(MachineClocks())
        )
        self.messages: dict[str, list[LiveBars]] = {"one": [], "two": []}
        self.topics = Topics([Candles(self.history, "e1", lambda: 0)], self._take)
        self.base_ms = time.time_ns() // 86_400_000_000_000 * 86_400_000
        self.now_ns = time.monotonic_ns()

    def _take(self, gateways: Sequence[str], update: TopicUpdate) -> None:
        for gateway in gateways:
            self.messages[gateway].append(msgspec.msgpack.decode(update.payload, type=LiveBars))

    def watch(self, gateway: str, *keys: str) -> Watched:
        """Watch series, and take what the answer brings as a gateway does."""
        told = self.topics.watch(gateway, {"candles": keys})
        for update in told.now:
            self._take([gateway], update)
        return told

    def trade(self, later_ms: int, price: str = "1", symbol: str = SYMBOL) -> None:
        """Take a trade so long after midnight."""
        self.history.record("binance", trade(self.base_ms + later_ms, price, symbol=symbol), "binance")

    def newest(self, gateway: str = "one") -> tuple[list[int], int | None]:
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
    told.watch("one", f"{SYMBOL}/1s")

    assert told.newest() == ([2000], 1000)
    assert [bar.closed for bar in told.messages["one"][0].bars] == [False]


def test_bars_that_closed_are_told_as_closed_with_the_open_one(told: Told) -> None:
    """None is left out, however many close between two messages; `previous` is what was told before."""
    told.trade(0)
    told.watch("one", f"{SYMBOL}/1s")
    for later in (1000, 2000, 5000):
        told.trade(later)
    told.topics.send_changes()
    told.trade(6000)
    told.topics.send_changes()
    first, second = told.messages["one"][1:]

    assert [(bar.time - told.base_ms, bar.closed) for bar in first.bars] == [
        *((0, True), (1000, True), (2000, True)),
        (5000, False),
    ]
    assert first.previous is None
    assert told.newest() == ([5000, 6000], 2000)
    assert second.bars[0].closed


def test_what_did_not_change_is_not_told_again(told: Told) -> None:
    """Nor is anything of a series that nobody watches, nor to who watches on what it watched before."""
    told.trade(0)
    told.watch("one", f"{SYMBOL}/1s")
    told.topics.send_changes()
    told.trade(500, symbol="ethusdt")
    told.topics.send_changes()
    again = told.watch("one", f"{SYMBOL}/1s")

    assert len(told.messages["one"]) == 1
    assert again.now == []


def test_a_gap_is_told_when_it_begins_and_when_it_ends(told: Told) -> None:
    """Though no bar changes."""
    told.watch("one", f"{SYMBOL}/1m")
    told.history.switched(SYMBOL, None, "lost")
    told.topics.send_changes()
    told.history.switched(SYMBOL, "okx", "it is live")
    told.topics.send_changes()
    _, begun, ended = [message.gap for message in told.messages["one"]]

    assert isinstance(begun, Gap)
    assert (begun.to, begun.reason) == (None, "lost")
    assert ended is None


def test_each_gateway_is_told_of_what_it_watches(told: Told) -> None:
    """A new wish takes the place of the old one; who has left is told nothing."""
    told.watch("one", f"{SYMBOL}/1s")
    told.watch("two", f"{SYMBOL}/1m")
    told.watch("one", "ethusdt/1s")
    told.topics.remove("two")
    told.messages = {"one": [], "two": []}
    told.trade(0)
    told.trade(0, symbol="ethusdt")
    told.topics.send_changes()

    assert [message.symbol for message in told.messages["one"]] == ["ethusdt"]
    assert told.messages["two"] == []


@pytest.mark.parametrize("key", ["nothing/1s", f"{SYMBOL}/2s", SYMBOL, "", "/"])
def test_what_there_is_not_is_named_and_the_rest_is_watched(told: Told, key: str) -> None:
    """One key that there is not spoils nothing: instruments come and go."""
    answer = told.watch("one", f"{SYMBOL}/1s", key)
    told.trade(0)
    told.topics.send_changes()

    assert answer.unknown == [("candles", key)]
    assert told.newest()[0] == [0]
    with pytest.raises(RefusedError, match="there is no candles"):
        told.topics.get("candles", key)


def test_what_is_not_said_again_is_forgotten(told: Told) -> None:
    """A gateway that has gone without a word costs nothing after half a minute."""
    now_s = 0.0
    topics = Topics([Candles(told.history, "e1", lambda: 0)], told._take, clock=lambda: now_s)
    topics.watch("one", {"candles": [f"{SYMBOL}/1s"]})
    now_s = WATCH_EXPIRES_S - 1
    topics.watch("two", {"candles": [f"{SYMBOL}/1m"]})
    topics.send_changes()
    now_s = WATCH_EXPIRES_S + 1
    topics.send_changes()
    told.trade(0)
    topics.send_changes()

    assert told.messages["one"] == []
    assert len(told.messages["two"]) == 1


def test_asking_once_keeps_nothing(told: Told) -> None:
    """The present state of a key that nobody watches is given, and what closes is not collected for it."""
    told.trade(0)
    state = told.topics.get("candles", f"{SYMBOL}/1s")
    for later in range(1000, 100_000, 1000):
        told.trade(later)
    told.watch("one", f"{SYMBOL}/1s")
    told.trade(100_000)
    told.topics.send_changes()

    assert isinstance(state, LiveBars)
    assert len(state.bars) == 1
    assert told.newest()[0] == [99_000, 100_000]


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
        told.history.record("binance", trades[-1], "binance")
        if then == "tell":
            told.topics.send_changes()
        elif then == "watch":
            told.watch(data.draw(st.sampled_from(["one", "two"])), f"{SYMBOL}/{interval}")
    told.topics.send_changes()
    everything = expected_bars(trades, INTERVALS[interval])

    for messages in told.messages.values():
        follower = Follower()
        for message in messages:
            follower.take(message)
        held = [numbers(bar) for _, bar in sorted(follower.bars.items())]
        assert follower.anew <= 1  # the first bar of all
        assert held == (everything[-len(held) :] if held else [])
        assert bool(held) == bool(messages and everything)
