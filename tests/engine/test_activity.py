"""What is made of all sources of an instrument is made again only after something happened to it."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from crypto_stream.bus.messages import TopicUpdate
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.topics import Topics
from crypto_stream.engine.whole_topic import WholeTopic
from crypto_stream.feed.failover import Failover
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.live_prices import SILENT, LivePrices
from crypto_stream.market.best import Best, best, without_ages
from crypto_stream.market.events import Update
from tests.feed.world import LIMITS, World
from tests.instruments import named

BUSY, QUIET = "btcusdt", "ethusdt"
SOURCES = ("one", "two", "three")


class Desk(World):
    """Three sources, two instruments, and a gateway that watches the best prices of both."""

    def __init__(self) -> None:
        """Let all be live at 100, and begin to watch."""
        chains = dict.fromkeys((BUSY, QUIET), SOURCES)
        super().__init__(chains)
        self.failover = Failover(chains, self.book, LIMITS, guard=JumpGuard(self.book, 5.0))
        self.activity = Activity(LivePrices(self.failover, self.book, self.sources, LIMITS), self.sources)
        topic = WholeTopic(
            "best",
            chains,
            current=self._best,
            number=self.activity.number,
            without_ages=without_ages,
        )
        self.topics = Topics([topic], lambda _, update: self.sent.append(update))
        self.computed: Counter[str] = Counter()
        self.sent: list[TopicUpdate] = []
        self.live(*SOURCES)
        for symbol in chains:
            for name in SOURCES:
                self.says(name, symbol, "100")
        self.topics.watch("gateway", {"best": [BUSY, QUIET]})
        self.round()
        self.round()
        self.computed.clear()
        self.sent.clear()

    def _best(self, symbol: str) -> Best:
        self.computed[symbol] += 1
        return best(self.activity.prices(symbol, self.now_ns))

    def says(self, name: str, symbol: str, mid: str) -> None:
        """Let a source send a top of book."""
        self._key += 1
        bid, ask = (f"{Decimal(mid) + side:f}" for side in (Decimal(-1), Decimal(1)))
        update = Update(named(symbol), "top", self._key, bid=bid, bid_size="1", ask=ask, ask_size="1")
        self.book.of(name).apply(update, self.now_ns)
        self.activity.accepted(name, update)

    def round(self, seconds: float = 0.0) -> None:
        """Let time pass; run a round of failover, then of the topics."""
        self.now += seconds
        self.decide()
        self.activity.reconsidered(self.failover.reconsidered)
        self.activity.tick(self.now_ns)
        self.topics.send_changes()

    def told(self) -> list[Best]:
        """Return, and forget, what the gateway was sent."""
        sent, self.sent[:] = [msgspec.msgpack.decode(each.payload, type=Best) for each in self.sent], []
        return sent


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_event_makes_only_its_instrument_again(desk: Desk) -> None:
    """However many keys are watched."""
    desk.says("two", BUSY, "100.5")
    desk.round(0.25)
    desk.round(0.25)

    assert desk.computed == {BUSY: 1}
    assert [each.bid and each.bid.price for each in desk.told()] == ["99.5"]


def test_an_event_that_changes_nothing_is_not_sent(desk: Desk) -> None:
    """Ages are no change."""
    desk.says("two", BUSY, "100")
    desk.round(0.25)

    assert desk.computed == {BUSY: 1}
    assert desk.told() == []


def test_a_lost_source_leaves_all_its_instruments_at_once(desk: Desk) -> None:
    """Without an event; the reason follows if only that changes."""
    desk.lose("three")
    desk.round(0.1)
    lost = desk.told()
    desk.lose("three", reason="HTTP 451")
    desk.round(0.1)
    again = desk.told()

    assert {each.symbol for each in lost} == {BUSY, QUIET}
    assert {each.left_out[0].reason for each in lost} == {"connection cut (1006)"}
    assert {each.left_out[0].reason for each in again} == {"HTTP 451"}


def test_a_silent_source_leaves_when_its_time_has_come(desk: Desk) -> None:
    """Although the others said nothing since, either: the moment is known in advance."""
    desk.now += 2
    desk.says("one", BUSY, "100.1")
    desk.says("two", BUSY, "100.1")
    desk.round()
    desk.told()
    desk.round(2.9)
    before = desk.told()
    desk.round(0.1)
    after = desk.told()

    assert before == []
    assert [(each.symbol, each.sources) for each in after] == [(BUSY, ["one", "two"])]
    assert [(each.source, each.reason) for each in after[0].left_out] == [("three", SILENT)]


def test_if_nothing_happens_nothing_is_computed(desk: Desk) -> None:
    """Once time has nothing left to change: a quiet instrument costs nothing, however long it is watched."""
    for _ in range(100):
        desk.round(1)
    desk.computed.clear()
    for _ in range(1_000):
        desk.round(1)

    assert desk.computed == {}
    assert desk.told() == []


def test_a_key_that_is_no_longer_watched_is_forgotten(desk: Desk) -> None:
    """And begins with a complete value when it is watched again."""
    desk.topics.watch("gateway", {})
    desk.says("two", BUSY, "100.5")
    desk.round(0.25)
    idle = dict(desk.computed)
    again = desk.topics.watch("gateway", {"best": [BUSY]})

    assert idle == {}
    assert [msgspec.msgpack.decode(each.payload, type=Best).sources for each in again.now] == [list(SOURCES)]
