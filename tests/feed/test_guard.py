"""A failover never changes the coin: which sources are held back, until when, and which never are."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.failover import Failover, HeldBack
from crypto_stream.feed.guard import JumpGuard, middle, reference_of_bar
from crypto_stream.market.book import Entry
from tests.fakes import FakeBinance, FakeOKX
from tests.feed.rig import running
from tests.feed.world import LIMITS, S, World
from tests.waiting import until

PAIR = "neirousdt"
LONE, OTHER = "0.000266", "0.0296"


class Coins(World):
    """A world with one pair, whose sources may mean different coins."""

    def __init__(self, *sources: str, percent: float = 5.0) -> None:
        """Start with all sources off."""
        super().__init__({PAIR: sources})
        self.guard = JumpGuard(self.book, percent)
        self.failover = Failover({PAIR: sources}, self.book, LIMITS, guard=self.guard)

    def says(self, name: str, price: str) -> None:
        """Connect a source, and let it send a price."""
        self.live(name)
        self.trade(name, PAIR, price)

    def cut(self, name: str) -> None:
        """Disconnect a source."""
        self.lose(name)
        self.decide()


def serving_one(*others: tuple[str, str], percent: float = 5.0) -> Coins:
    """Let `one` serve at LONE, with the others live at their prices."""
    world = Coins("one", *(name for name, _ in others), percent=percent)
    world.says("one", LONE)
    for name, price in others:
        world.says(name, price)
    world.decide()
    assert world.serving(PAIR) == "one"
    return world


def test_a_source_far_from_the_last_price_does_not_serve_and_says_why() -> None:
    """Then nothing serves; the reason is reported once, and shown as long as it lasts."""
    world = serving_one(("two", OTHER))
    world.lose("one")
    first = world.failover.decide(world.now_ns, world.sources)
    again = world.failover.decide(world.now_ns + S, world.sources)
    (held,) = first.held_back

    assert world.serving(PAIR) is None
    assert (held.source, held.symbol) == ("two", PAIR)
    assert "0.0296" in held.reason
    assert "0.000266" in held.reason
    assert held.reason in world.failover.reasons[PAIR]
    assert again.held_back == []
    assert world.failover.troubles() == [f"two is held back for {PAIR}: {held.reason}"]


@pytest.mark.parametrize(("price", "serves"), [("0.000279", True), ("0.00028", False), ("0.000252", False)])
def test_the_band_is_the_setting(price: str, serves: bool) -> None:
    """A source within 5 % either way serves at once."""
    world = serving_one(("two", price))
    world.cut("one")

    assert (world.serving(PAIR) == "two") is serves


def test_without_a_guard_any_price_is_allowed() -> None:
    """At 0 prices may jump by any distance."""
    world = serving_one(("two", OTHER), percent=0)
    world.cut("one")

    assert world.serving(PAIR) == "two"


def test_a_second_source_that_agrees_confirms_the_price() -> None:
    """Two sources within the band of each other outweigh the one that is lost."""
    world = serving_one(("two", OTHER), ("three", "0.0299"))
    world.cut("one")

    assert world.serving(PAIR) == "two"
    assert world.failover.held_back == {}


def test_a_fitting_source_serves_although_a_preferred_one_is_held_back() -> None:
    """A source held back does not block those behind it."""
    world = serving_one(("two", OTHER), ("three", "0.000267"))
    world.cut("one")

    assert world.serving(PAIR) == "three"
    assert list(world.failover.held_back[PAIR]) == ["two"]


def test_a_pin_overrides_the_guard() -> None:
    """A pinned source serves at any price, and becomes the reference."""
    world = serving_one(("two", OTHER))
    world.cut("one")
    world.decide("two")
    pinned = world.serving(PAIR)
    world.says("one", LONE)
    world.now += 60
    world.trade("two", PAIR, OTHER)
    world.trade("one", PAIR, LONE)
    world.decide()

    assert pinned == "two"
    assert world.serving(PAIR) == "two"
    assert list(world.failover.held_back[PAIR]) == ["one"]


def test_the_source_that_served_last_returns_at_any_price() -> None:
    """Its own price may have moved meanwhile."""
    world = serving_one()
    world.cut("one")
    world.now += 3600
    world.says("one", OTHER)
    world.decide()

    assert world.serving(PAIR) == "one"


def test_a_better_source_of_another_coin_does_not_take_over_later() -> None:
    """A failback is a failover too."""
    world = serving_one(("two", "0.000266"))
    world.cut("one")
    world.says("one", OTHER)
    world.now += 60
    world.trade("one", PAIR, OTHER)
    world.trade("two", PAIR, LONE)
    world.decide()

    assert world.serving(PAIR) == "two"
    assert list(world.failover.held_back[PAIR]) == ["one"]


def test_at_the_first_start_the_order_of_the_settings_decides_which_coin_is_meant() -> None:
    """A preferred source that comes up a moment later takes over."""
    world = Coins("one", "two")
    world.says("two", OTHER)
    world.decide()
    world.now += 1
    world.says("one", LONE)
    world.decide()

    assert world.serving(PAIR) == "one"


@pytest.mark.parametrize(("hours", "held"), [(0.1, True), (1, True), (10, False)])
def test_the_last_price_of_the_previous_run_counts_less_the_older_it_is(hours: float, held: bool) -> None:
    """8 % within an hour is too much, within ten it is not; a different coin is rejected for weeks."""
    world = Coins("one", "two")
    at_ns = world.now_ns - round(hours * 3600 * S)
    world.guard.restore(PAIR, reference_of_bar("one", "0.000246", at_ns))
    world.says("two", LONE)
    world.decide()
    foreign = Coins("one", "two")
    foreign.guard.restore(PAIR, reference_of_bar("one", LONE, foreign.now_ns - 500 * 3600 * S))
    foreign.says("two", OTHER)
    foreign.decide()

    assert (world.serving(PAIR) is None) is held
    assert foreign.serving(PAIR) is None


@given(st.decimals("0.01", "10000", places=2), st.decimals("0.01", "10000", places=2), st.integers(0, 10**16))
def test_the_guard_knows_when_age_will_allow_a_price(first: Decimal, second: Decimal, age_ns: int) -> None:
    """It objects until just before that time, and not just after it."""
    world = Coins("one", "two")
    at_ns = world.now_ns - age_ns
    world.guard.restore(PAIR, reference_of_bar("one", str(first), at_ns))
    world.says("two", str(second))
    allowed_ns = world.guard.allowed_ns(PAIR, "two")
    assert allowed_ns is not None
    near_ns = allowed_ns - at_ns <= 3600 * S  # within the hour the band is the setting
    early, late = (
        world.guard.objection(PAIR, "two", (), allowed_ns + moment)
        for moment in (-1 - (allowed_ns - at_ns) // 10**12, 1 + (allowed_ns - at_ns) // 10**12)
    )

    assert near_ns or early is not None
    assert late is None


def test_another_coins_moves_do_not_make_a_calm_pair_dead() -> None:
    """Moves of another coin are no evidence."""
    world = serving_one(("two", OTHER))
    for step in range(10):
        world.now += 2
        world.trade("two", PAIR, f"0.0{300 + step}")
        world.decide()

    assert world.serving(PAIR) == "one"


def test_every_source_is_connected_while_one_is_held_back() -> None:
    """One that is not connected yet may agree with it."""
    world = serving_one(("two", OTHER))
    quiet = world.failover.needs_all_sources()
    world.cut("one")

    assert quiet == set()
    assert world.failover.needs_all_sources() == {("one", "two")}


def test_the_middle_of_a_quote() -> None:
    """The middle of bid and ask if there are both, else the last price."""
    entry = Entry()
    nothing = middle(entry)
    entry.price = "3"
    price = middle(entry)
    entry.bid, entry.ask = "1", "2"

    assert (nothing, price, middle(entry), middle(None)) == (None, Decimal(3), Decimal("1.5"), None)
    assert reference_of_bar("one", "0", 0) is None


async def test_the_other_venues_coin_is_never_served() -> None:
    """On real sockets: the first venue is cut, the second one trades another coin of that name."""
    async with (
        FakeBinance([PAIR], price=LONE) as binance,
        FakeOKX([PAIR], price=OTHER) as okx,
        running(binance, okx, pairs=PAIR) as feed,
    ):
        await until(lambda: feed.serving(PAIR) == "binance" and feed.received("okx", PAIR))
        feed.changes.clear()
        await binance.fault("refuse")
        await until(lambda: "jump_guard" in feed.composition.failover.reasons[PAIR])
        await binance.fault("none")
        await until(lambda: feed.serving(PAIR) == "binance")

        assert [change.after for change in feed.changes] == [None, "binance"]
        assert not feed.composition.failover.held_back


def test_held_back_has_source_symbol_and_reason() -> None:
    """As it is logged."""
    assert HeldBack("okx", PAIR, "why")._asdict() == {"source": "okx", "symbol": PAIR, "reason": "why"}
