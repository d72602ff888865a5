"""Only instruments that changed or are due are examined; they may be added and removed meanwhile."""

from __future__ import annotations

from collections import Counter

import pytest

from crypto_stream.feed.failover import Failover
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.events import Trade
from tests.feed.world import LIMITS, World
from tests.instruments import named

SOURCES = ("one", "two")
NUMBERED = {f"c{number}usdt": SOURCES for number in range(50)}


class ReadBook(Book):
    """A book that counts how often each instrument is looked up."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def entry(self, source: str, symbol: str) -> Entry | None:
        """Count and look up."""
        self.read[symbol] += 1
        return super().entry(source, symbol)


class Many(World):
    """Fifty instruments with data from two live sources, examined until nothing is due."""

    def __init__(self) -> None:
        super().__init__(NUMBERED)
        self.book = self.read_book = ReadBook()
        self.failover = Failover(NUMBERED, self.book, LIMITS)
        self.live(*SOURCES)
        for symbol in NUMBERED:
            for name in SOURCES:
                self.trade(name, symbol)
        self.pass_time(200)
        self.read_book.read.clear()

    def pass_time(self, seconds: float, *talking: str) -> None:
        """Run ten rounds a second, while the sources send trades of some symbols."""
        for _ in range(round(10 * seconds)):
            self.now = round(self.now + 0.1, 1)
            for symbol in talking:
                for name in SOURCES:
                    self.trade(name, symbol)
            self.decide()


def test_idle_instruments_are_not_examined() -> None:
    """Once nothing is due any more, an idle instrument costs nothing, however long it is idle."""
    world = Many()
    world.pass_time(100, "c7usdt")

    assert set(world.read_book.read) == {"c7usdt"}


def test_active_instruments_are_examined_at_their_deadlines() -> None:
    """Events of a healthy instrument are no reason; a few times per `stale_after` are enough."""
    world = Many()
    world.pass_time(10, "c7usdt")
    world.read_book.read.clear()
    world.pass_time(100, "c7usdt")

    assert world.read_book.read["c7usdt"] < 1000 * 2  # far less than one reading of each source at each look


def test_a_lost_source_affects_only_its_instruments() -> None:
    """Instruments of other sources are not examined."""
    chains = {"btcusdt": ("one",), "ethusdt": ("two",)}
    world = World(chains)
    world.book = book = ReadBook()
    world.failover = Failover(chains, book, LIMITS)
    world.live("one", "two")
    world.trade("one")
    world.trade("two", "ethusdt")
    world.decide()
    world.decide()
    book.read.clear()
    world.lose("two")
    world.decide()

    assert set(book.read) == {"ethusdt"}


def test_an_added_instrument_is_served_in_the_next_round() -> None:
    """Sources that already deliver it serve it at once, others with their first data of it."""
    world = World({"btcusdt": SOURCES})
    world.live(*SOURCES)
    world.trade("two", "ethusdt")
    world.decide()
    world.failover.add("ethusdt", SOURCES)
    world.failover.add("xrpusdt", SOURCES)
    came = world.decide()
    world.trade("two", "xrpusdt")

    assert came == [("ethusdt", None, "two", "two is live")]
    assert world.failover.reasons["xrpusdt"].startswith("one: no data of this instrument yet")
    assert world.decide() == [("xrpusdt", None, "two", "two is live")]


def test_an_instrument_is_added_once() -> None:
    """An existing one is refused and not changed."""
    world = World({"btcusdt": SOURCES})

    with pytest.raises(ValueError, match="btcusdt exists already"):
        world.failover.add("btcusdt", ("one",))
    assert world.failover.chains == {"btcusdt": SOURCES}


def test_nothing_remains_of_a_removed_instrument() -> None:
    """Neither its source, nor that it was dead, incomplete or resubscribed."""
    world = World({"btcusdt": SOURCES, "ethusdt": SOURCES})
    world.live(*SOURCES)
    for symbol in ("btcusdt", "ethusdt"):
        for name in SOURCES:
            world.trade(name, symbol)
    world.decide()
    world.now += 3
    world.move("two")
    world.now += 3
    world.decide()
    was_dead = ("one", "btcusdt") in world.failover.silence.dead
    world.failover.remove("btcusdt")
    world.now += 100
    world.trade("one")
    world.trade("one", "ethusdt")
    changes = world.decide()
    failover = world.failover

    assert was_dead
    assert [change[0] for change in changes if change[0] == "btcusdt"] == []
    assert [symbol for _, symbol in world.resubscribed if symbol == "btcusdt"] == []
    assert "btcusdt" not in {**failover.serving, **failover.reasons, **failover.held_back, **failover.chains}
    assert {symbol for _, symbol in {**failover.silence.dead, **failover.watch.missing}} <= {"ethusdt"}
    with pytest.raises(KeyError):
        failover.remove("btcusdt")


def test_an_instrument_added_again_must_be_the_same_coin() -> None:
    """The guard compares with the last price from before it was removed."""
    world = World({"btcusdt": SOURCES})
    world.failover = Failover({"btcusdt": SOURCES}, world.book, LIMITS, guard=JumpGuard(world.book, 5))
    world.live("one")
    world.trade("one", price="100")
    world.decide()
    world.failover.remove("btcusdt")
    world.lose("one")
    world.live("two")
    world.trade("two", price="9000")
    world.failover.add("btcusdt", SOURCES)
    world.decide()

    assert world.serving() is None
    assert list(world.failover.held_back["btcusdt"]) == ["two"]


def test_events_that_were_not_awaited_are_found_at_the_deadline() -> None:
    """They are in the book all the same: the deadline reads the newest data."""
    world = World({"btcusdt": SOURCES})
    world.live(*SOURCES)
    world.trade("one")
    world.trade("two")
    world.decide()
    for _ in range(40):
        world.now += 1
        event = Trade(named("btcusdt"), "trades", round(world.now), None, "1", None)
        world.book.of("one").apply(event, world.now_ns)
        world.move("two")

    assert world.decide() == []
    assert world.serving() == "one"
