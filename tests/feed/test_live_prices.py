"""Which sources' prices count: those that failover could let serve, whether or not they do."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.failover import Failover
from crypto_stream.feed.guard import JumpGuard
from crypto_stream.feed.live_prices import SILENT, LivePrices
from crypto_stream.market.best import best
from crypto_stream.market.events import Update
from crypto_stream.market.index import Index, IndexRule, index
from crypto_stream.market.prices import Prices, SourcePrices
from tests.fakes import FakeBinance, FakeBitstamp, FakeBybit, FakeKraken, FakeOKX
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk
from tests.feed.rig import Feed, running
from tests.feed.world import LIMITS, World
from tests.instruments import named
from tests.waiting import until

PAIR = "btcusdt"
HALF = Decimal("0.5")
RULE = IndexRule(3, Decimal(1))


class Market(World):
    """A world with one pair, whose sources send tops of book."""

    def __init__(self, *sources: str, guard: float = 5.0) -> None:
        """Let all sources but the last one be live at 100; `one` serves."""
        super().__init__({PAIR: sources})
        self.failover = Failover({PAIR: sources}, self.book, LIMITS, guard=JumpGuard(self.book, guard))
        self.prices = LivePrices(self.failover, self.book, self.sources, LIMITS)
        for name in sources[:-1]:
            self.live(name)
            self.top(name)
        self.decide()
        assert self.serving(PAIR) == "one"

    def top(self, name: str, mid: str = "100", time: int | None = None) -> None:
        """Let a source send a top of book around `mid`."""
        self._key += 1
        bid, ask = (f"{Decimal(mid) + side:f}" for side in (-HALF, HALF))
        update = Update(named(PAIR), "top", self._key, time, bid=bid, bid_size="1", ask=ask, ask_size="1")
        self.book.of(name).apply(update, self.now_ns)

    def pass_seconds(self, seconds: int, **mids: str) -> None:
        """Let the named sources move each second, around the price that is given for them."""
        for _ in range(seconds):
            self.now += 1
            for name, mid in mids.items():
                self._key += 1
                self.top(name, str(Decimal(mid) + Decimal(self._key % 7) / 1000))
            self.decide()

    def does(self, name: str, what: str, price: str) -> None:
        """Let one thing happen to a source."""
        if what == "lose":
            self.lose(name)
        elif what == "live":
            self.live(name)
        elif what == "halt":
            self.sources[name].halted = {} if self.sources[name].halted else {PAIR: "BREAK"}
        elif what == "trade":
            self.trade(name, PAIR, price)
        else:
            self.top(name, price)

    @property
    def live_names(self) -> list[str]:
        """The sources whose prices count now."""
        return [each.source for each in self.prices.of(PAIR, self.now_ns).live]

    @property
    def reasons(self) -> dict[str, str]:
        """Why the others do not."""
        return {each.source: each.reason for each in self.prices.of(PAIR, self.now_ns).left_out}


def test_live_sources_count_and_others_are_named() -> None:
    """A source that is lost, not connected or halted is left out at once, with its reason."""
    market = Market("one", "two", "three", "four")
    before = market.live_names, market.reasons
    market.lose("two")
    market.sources["three"].halted = {PAIR: "listed, but BREAK"}

    assert before == (["one", "two", "three"], {"four": "off"})
    assert market.live_names == ["one"]
    assert market.reasons == {"two": "connection cut (1006)", "three": "listed, but BREAK", "four": "off"}


def test_every_number_has_its_age() -> None:
    """In ms, on the monotonic clock; None if it never came."""
    market = Market("one", "two")
    market.now += 2
    market.trade("one", PAIR, "100.25")
    market.now += 1
    (prices,) = market.prices.of(PAIR, market.now_ns).live

    assert (prices.bid, prices.bid_size, prices.ask, prices.price) == ("99.5", "1", "100.5", "100.25")
    assert (prices.top_age_ms, prices.price_age_ms, prices.volume) == (3000, 1000, None)
    assert Market("one", "two").prices.of(PAIR, market.now_ns).live[0].price_age_ms is None


def test_a_source_that_the_guard_holds_back_is_left_out() -> None:
    """Unless a second one agrees with it: then the majority decides, and the serving source is wrong."""
    market = Market("one", "two", "three", "four")
    market.top("two", "1000")
    alone = market.live_names, market.reasons["two"]
    market.top("three", "1001")

    assert alone[0] == ["one", "three"]
    assert "no second source confirms it" in alone[1]
    assert market.live_names == ["two", "three"]
    assert market.reasons["one"] == ("its price 100 is 90 % from the median 1000 (jump_guard allows 5 %)")


def test_the_serving_source_is_left_out_if_the_others_show_it_to_be_wrong() -> None:
    """It goes on serving, since a failover needs another reason, but it does not decide what the best is."""
    market = Market("one", "two", "three", "four")
    market.pass_seconds(1, one="1000", two="100", three="100")

    assert market.serving(PAIR) == "one"
    assert market.live_names == ["two", "three"]
    assert best(market.prices.of(PAIR, market.now_ns)).crossed is False


def test_of_two_halves_none_counts() -> None:
    """Which half is another coin cannot be known."""
    market = Market("one", "two", "three", "four", "five")
    market.top("three", "200")
    market.top("four", "200")

    assert market.live_names == []
    assert all("from the median 150" in reason for name, reason in market.reasons.items() if name != "five")


@pytest.mark.parametrize(
    ("sides", "counts"),
    [
        ({"bid": "1000", "ask": None}, False),
        ({"bid": None, "ask": "10"}, False),
        ({"bid": "1000", "ask": "0"}, False),  # some venues send 0 for what there is not
        ({"bid": "99", "ask": None}, True),
        ({"bid": None, "ask": "101"}, True),
    ],
)
@pytest.mark.parametrize("traded", [True, False])
def test_a_book_of_one_side_is_compared_by_that_side(
    sides: dict[str, str | None], counts: bool, traded: bool
) -> None:
    """It has no middle, and its last trade may be right: that does not make its bid or ask right."""
    market = Market("one", "two", "three", "four", "five")
    if traded:
        market.trade("three", PAIR, "100")
    update = Update(
        named(PAIR), "top", 10**9, None, bid=sides["bid"], bid_size="1", ask=sides["ask"], ask_size="1"
    )
    market.book.of("three").apply(update, market.now_ns)
    found = market.prices.of(PAIR, market.now_ns)
    top = best(found)

    assert ("three" in [each.source for each in found.live]) is (counts and traded)
    assert top.bid is not None
    assert top.ask is not None
    assert (top.bid.price, top.ask.price) == ("99.5", "100.5")


def test_without_a_guard_nobody_is_compared() -> None:
    """`jump_guard = 0`: prices may differ by any distance."""
    market = Market("one", "two", "three", "four", guard=0.0)
    market.top("two", "1000")

    assert market.live_names == ["one", "two", "three"]


def test_an_old_trade_is_no_price() -> None:
    """A top of book stays true while nothing happens, a last trade says only what was."""
    market = Market("one", "two", "three")
    market.trade("one", PAIR, "100.25")
    prices = []
    for seconds in (60, 1):
        market.now += seconds
        prices.append(market.prices.of(PAIR, market.now_ns).live[0])

    assert [each.price for each in prices] == ["100.25", None]
    assert [each.bid for each in prices] == ["99.5", "99.5"]


def test_a_frozen_source_leaves_within_the_limit() -> None:
    """Its connection is live, but this instrument is silent although its price moves elsewhere."""
    market = Market("one", "two", "three", "four")
    market.pass_seconds(4, one="100", two="100")
    before = market.live_names
    market.pass_seconds(1, one="100", two="100")
    after = market.live_names, market.reasons["three"]
    market.top("three")

    assert before == ["one", "two", "three"]
    assert after == (["one", "two"], SILENT)
    assert market.live_names == ["one", "two", "three"]


def test_a_quiet_market_is_not_frozen() -> None:
    """Nothing moves anywhere: every top of book is still true."""
    market = Market("one", "two", "three", "four")
    market.pass_seconds(100)

    assert market.live_names == ["one", "two", "three"]


def test_a_frozen_top_of_book_does_not_count_but_trades_do() -> None:
    """The same evidence as for failover: trades go on, and tops of book move elsewhere."""
    market = Market("one", "two", "three", "four")
    for _ in range(9):
        market.trade("three", PAIR, "100")
        market.pass_seconds(1, one="100", two="100")
    found = market.prices.of(PAIR, market.now_ns)
    three = next(each for each in found.live if each.source == "three")

    assert (three.bid, three.ask, three.price) == (None, None, "100")
    assert best(found).sources == ["one", "two"]
    assert [(each.source, each.by) for each in index(found, RULE, ["0.01"], 0).constituents] == [
        *(("one", "mid"), ("two", "mid"), ("three", "trade"))
    ]


def test_a_pin_does_not_change_who_is_live() -> None:
    """It decides only who serves."""
    market = Market("one", "two", "three", "four")
    market.decide("two")

    assert market.serving(PAIR) == "two"
    assert market.live_names == ["one", "two", "three"]


@pytest.mark.parametrize("hours", [-10_000, -1, 1, 10_000])
def test_a_wrong_clock_changes_nothing(hours: int) -> None:
    """Venues' times take no part: only when something arrived counts."""
    market = Market("one", "two", "three", "four")
    market.now += 1
    market.top("two", "100.2", 1_700_000_000_000 + hours * 3_600_000)
    found = index(market.prices.of(PAIR, market.now_ns), RULE, ["0.01"], 0)

    assert (found.price, len(found.constituents)) == ("100.00", 3)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["one", "two", "three", "four"]),
        st.sampled_from(["top", "top", "trade", "lose", "live", "halt"]),
        st.sampled_from(["100", "100.3", "104", "200"]),
        st.sampled_from([0, 1, 4, 30, 5000]),
    ),
    max_size=12,
)


@given(STEPS, st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_without_an_event_nothing_changes_before_its_time(
    steps: list[tuple[str, str, str, int]], shares: list[float]
) -> None:
    """Whatever happened before: until then the same sources count, with the same prices."""
    market = Market("one", "two", "three", "four")
    for name, what, price, seconds in steps:
        market.now += seconds
        market.does(name, what, price)
        market.decide()
    found = market.prices.of(PAIR, market.now_ns)
    until_ns = found.until_ns or market.now_ns + 10**15

    for share in shares:
        at_ns = market.now_ns + round((until_ns - 1 - market.now_ns) * share)
        assert _ageless(market.prices.of(PAIR, at_ns)) == _ageless(found)


def _ageless(prices: Prices) -> tuple[list[SourcePrices], list[str]]:
    live = [each._replace(top_age_ms=None, price_age_ms=None) for each in prices.live]
    return live, [each.source for each in prices.left_out]


# On real sockets: five fake venues, attacks on one of them or several.


class WrongClock(FakeBinance):
    """A Binance whose clock is an hour ahead."""

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        return [(channel, _later(frame)) for channel, frame in super().frames(walk, what)]


def _later(frame: str) -> str:
    wrapped = json.loads(frame)
    data = wrapped["data"]
    data.update({name: data[name] + 3_600_000 for name in ("E", "T") if name in data})
    return json.dumps(wrapped)


class Venues:
    """Fake venues by name, and the feed that they are connected to, all live."""

    def __init__(self, feed: Feed, fakes: dict[str, FakeVenue]) -> None:
        self.feed = feed
        self.fakes = fakes

    def index(self) -> Index:
        """Return the index now."""
        prices = self.feed.composition.live_prices.of(PAIR, time.monotonic_ns())
        return index(prices, RULE, [], 0)

    def left_out(self) -> set[str]:
        """Return who is left out of the index now."""
        return {each.source for each in self.index().left_out}

    async def multiply(self, factor: str, *names: str) -> None:
        """Multiply the prices of these venues."""
        for name in names:
            walk = self.fakes[name].walks[PAIR]
            bid, ask = walk.bid * Decimal(factor), walk.ask * Decimal(factor)
            await self.fakes[name].push(PAIR, bid=f"{bid:f}", ask=f"{ask:f}")

    async def swap(self, name: str) -> None:
        """Let a venue send its bid as ask, once, and nothing else any more."""
        fake = self.fakes[name]
        fake.calm(PAIR)
        walk = fake.walks[PAIR]
        await fake.push(PAIR, bid=f"{walk.ask + 5:f}", ask=f"{walk.bid:f}")


@asynccontextmanager
async def venues(first: type[FakeVenue] = FakeBinance) -> AsyncIterator[Venues]:
    """Run five fake venues and a feed that is connected to all of them."""
    async with AsyncExitStack() as stack:
        kinds: list[Any] = [first, FakeOKX, FakeKraken, FakeBybit, FakeBitstamp]
        fakes = [await stack.enter_async_context(kind([PAIR])) for kind in kinds]
        feed = await stack.enter_async_context(running(*fakes, pairs=PAIR, standby="all"))
        found = Venues(feed, {fake.name: fake for fake in fakes})
        await until(lambda: len(found.index().constituents) == 5)
        yield found


async def test_the_index_and_best_of_five_venues() -> None:
    """All take part, each with its own price; the index lies between them."""
    async with venues() as found:
        value = found.index()
        prices = [Decimal(each.price) for each in value.constituents]
        top = best(found.feed.composition.live_prices.of(PAIR, time.monotonic_ns()))

    assert value.price is not None
    assert min(prices) <= Decimal(value.price) <= max(prices)
    assert top.sources == list(found.fakes)
    assert top.crossed  # the fakes' prices lie a thousandth apart
    assert top.spread_bps is not None
    assert top.spread_bps.startswith("-")


Attack = Callable[[Venues], Any]

LIVE_ATTACKS: dict[str, tuple[Attack, set[str], bool]] = {
    "x 10": (lambda found: found.multiply("10", "okx"), {"okx"}, True),
    "÷ 10": (lambda found: found.multiply("0.1", "okx"), {"okx"}, True),
    "the serving one x 10": (lambda found: found.multiply("10", "binance"), {"binance"}, True),
    "frozen": (lambda found: found.fakes["okx"].fault("freeze"), {"okx"}, True),
    "one symbol frozen": (lambda found: found.fakes["okx"].fault("freeze-symbol", PAIR), {"okx"}, True),
    "swapped": (lambda found: found.swap("okx"), {"okx"}, True),
    "gone": (lambda found: found.fakes["okx"].fault("refuse"), {"okx"}, True),
    "two of five x 2": (lambda found: found.multiply("2", "okx", "kraken"), {"okx", "kraken"}, True),
    "three of five in three ways": (
        lambda found: _each(found, okx="2", kraken="0.5", bybit="3"),
        {"okx", "kraken", "bybit"},
        False,
    ),
}


async def _each(found: Venues, **factors: str) -> None:
    for name, factor in factors.items():
        await found.multiply(factor, name)


@pytest.mark.parametrize("name", LIVE_ATTACKS)
async def test_attack_on_real_sockets(name: str) -> None:
    """Whoever is wrong is left out within its limit, and the index remains that of the others, or none."""
    attack, out, holds = LIVE_ATTACKS[name]
    async with venues() as found:
        sane = Decimal(found.index().price or 0)
        await attack(found)
        await until(lambda: found.left_out() == out)
        value = found.index()

    assert value.stale is not holds
    assert not holds or abs(Decimal(value.price or 0) / sane - 1) < Decimal("0.01")
    assert all(each.reason for each in value.left_out)


async def test_a_venue_with_a_wrong_clock_takes_part() -> None:
    """Its times are wrong, its prices are not."""
    async with venues(WrongClock) as found:
        value = found.index()

    assert [each.source for each in value.constituents] == list(found.fakes)


async def test_all_gone() -> None:
    """The index is stale, and says of each venue why."""
    async with venues() as found:
        for fake in found.fakes.values():
            await fake.fault("refuse")
        await until(lambda: len(found.left_out()) == 5)
        value, top = found.index(), best(found.feed.composition.live_prices.of(PAIR, time.monotonic_ns()))

    assert (value.stale, value.price, value.reason) == (True, None, "0 sources are usable, 3 needed")
    assert (top.stale, top.bid, top.ask, len(top.left_out)) == (True, None, None, 5)
