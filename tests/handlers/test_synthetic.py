"""The synthetic source: exact steps, repeatable, on the second, always above zero where it must be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.handler import Event, Instrument, Trade, Update
from handlers import synthetic
from tests.waiting import DEADLINE_S

TICKER = synthetic.INSTRUMENTS[:1]
SEEDS = st.integers(0, 2**63)


class Run(msgspec.Struct):
    """What `events` is told of its connection."""

    options: Mapping[str, str]
    seed: int | None
    last: Mapping[str, str] = {}

    def last_price(self, symbol: str) -> str | None:
        """Tell what a former life said."""
        return self.last.get(symbol)

    def now_ms(self) -> int:
        """Tell the time of this machine."""
        return time.time_ns() // 1_000_000


def walk_of(symbol: str, seed: int | None = 1, **options: str) -> synthetic.Walk:
    """Make a walk with some options changed."""
    return synthetic.make_walk(symbol, seed, {**synthetic.OPTIONS, **options})


def prices(symbol: str, seed: int | None, steps: int) -> list[str]:
    """Let a fresh walk go `steps` seconds; return its prices."""
    walk = walk_of(symbol, seed)
    seen = [walk.now().price]
    for _ in range(steps):
        walk.step()
        seen.append(walk.now().price)
    return seen


async def collect(run: Run, instruments: list[Instrument], count: int) -> list[Event]:
    """Take the first `count` events of a run."""
    found: list[Event] = []
    async with asyncio.timeout(DEADLINE_S), aclosing(synthetic.events(run, instruments)) as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


def test_it_carries_a_hundred_tickers_and_three_pairs() -> None:
    """The instruments are ticker_00 to ticker_99 and three currency pairs, all marked synthetic."""
    symbols = [each.symbol for each in synthetic.INSTRUMENTS]

    assert symbols == [*(f"ticker_{number:02d}" for number in range(100)), "eurusd", "eurrub", "usdrub"]
    assert all(each.synthetic for each in synthetic.INSTRUMENTS)
    assert (synthetic.INSTRUMENTS[-2].base, synthetic.INSTRUMENTS[-2].quote) == ("EUR", "RUB")


@given(SEEDS)
def test_a_ticker_starts_at_zero_and_moves_by_exactly_one(seed: int) -> None:
    """Each second is -1 or +1; both occur; prices are whole numbers, negative ones too."""
    seen = [int(price) for price in prices("ticker_07", seed, 200)]

    assert seen[0] == 0
    assert {after - before for before, after in pairwise(seen)} == {-1, 1}


@given(SEEDS)
def test_a_tickers_book_stands_one_half_around(seed: int) -> None:
    """Bid is price - 0.5 and ask price + 0.5, as plain text, below zero as well."""
    walk = walk_of("ticker_00", seed)
    for _ in range(50):
        walk.step()
        at = walk.now()

        assert Decimal(at.bid) == Decimal(at.price) - Decimal("0.5")
        assert Decimal(at.ask) == Decimal(at.price) + Decimal("0.5")
        assert at.bid.endswith(".5")
        assert at.bid not in {"0.5", "-0.5"} or Decimal(at.price) in {0, 1}


def test_equal_seeds_repeat_and_symbols_differ() -> None:
    """One seed gives the same steps again; other seeds, other symbols and no seed give others."""
    first = prices("ticker_00", 7, 100)

    assert first == prices("ticker_00", 7, 100)
    assert first != prices("ticker_01", 7, 100)
    assert first != prices("ticker_00", 8, 100)
    assert prices("ticker_00", None, 100) != prices("ticker_00", None, 100)


@pytest.mark.parametrize("symbol", ["eurusd", "eurrub", "usdrub"])
def test_a_pair_stays_on_its_ticks_near_its_price(symbol: str) -> None:
    """All three are whole ticks, ask - bid is the spread, the price at most 7 ticks from its middle."""
    walk = walk_of(symbol)
    middle, spread = (Decimal(synthetic.OPTIONS[f"{symbol}_{name}"]) for name in ("price", "spread"))
    digits = len(walk.now().price.partition(".")[2])
    tick = Decimal(1).scaleb(-digits)
    for _ in range(5000):
        walk.step()
        at = walk.now()
        price, bid, ask = Decimal(at.price), Decimal(at.bid), Decimal(at.ask)

        assert {len(text.partition(".")[2]) for text in (at.price, at.bid, at.ask)} == {digits}
        assert abs(price - middle) <= 7 * tick
        assert ask - bid == spread
        assert bid < price < ask
        assert at.size == "100000"


def test_eurrub_can_be_bought_at_87_within_any_minute() -> None:
    """Over 200 seeds and an hour each, every run of 60 seconds has an ask of at most 87."""
    longest = 0
    for seed in range(200):
        walk, above = walk_of("eurrub", seed), 0
        for _ in range(3600):
            above = 0 if Decimal(walk.now().ask) <= 87 else above + 1
            longest = max(longest, above)
            walk.step()

    assert longest < 60


def test_missing_the_price_for_a_minute_is_practically_impossible() -> None:
    """Computed over all states of the walk: from the worst one, 60 misses in a row have chance < 1e-9."""
    swing = range(-4, 5)
    missing = dict.fromkeys(range(8), 1.0)  # the ask is above 87 from offset 0 up
    for _ in range(60):
        missing = {
            offset: sum(missing.get(int(offset / 2) + move, 0.0) for move in swing) / len(swing)
            for offset in missing
        }

    assert max(missing.values()) < 1e-9


@given(SEEDS)
def test_the_lowest_allowed_price_stays_above_zero(seed: int) -> None:
    """A pair whose price is as low as the check allows never bids 0 or less."""
    options = {"eurrub_price": "0.09", "eurrub_spread": "0.02"}
    synthetic.check_options(options)
    walk = walk_of("eurrub", seed, **options)
    for _ in range(300):
        walk.step()

        assert Decimal(walk.now().bid) > 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("eurrub_price", "0"), ("eurrub_price", "-87"), ("eurrub_price", "abc"), ("eurrub_price", ""),
        ("eurrub_price", "87.005"), ("eurrub_price", "NaN"), ("eurrub_price", "1e400"),
        ("eurrub_price", "0.07"), ("eurrub_price", "9" * 50), ("eurrub_price", "\u0668\u0667"),
        ("eurusd_spread", "0"), ("eurusd_spread", "0.00001"), ("eurrub_spread", "Infinity"),
        ("usdrub_size", "-1"), ("usdrub_size", "1e5"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(option: str, value: str) -> None:
    """A value that no walk could keep to raises ValueError with the option's name."""
    with pytest.raises(ValueError, match=f"^{option}: "):
        synthetic.check_options({option: value})


def test_the_price_is_settable() -> None:
    """An odd spread and another price give exact texts."""
    at = walk_of("eurrub", eurrub_price="100.5", eurrub_spread="0.03", eurrub_size="12.5").now()

    assert at == ("100.50", "100.48", "100.51", "12.5")


async def test_events_come_at_once_and_then_on_the_whole_second() -> None:
    """The start comes at once with time = this second; the next step follows when the next second begins."""
    before = int(time.time())
    events = await collect(Run({}, 3), [synthetic.INSTRUMENTS[0], synthetic.INSTRUMENTS[-2]], 8)
    after = time.time()

    first, second = events[0], events[4]
    assert isinstance(first, Trade)
    assert (first.price, first.channel, first.size) == ("0", "walk", None)
    assert first.time is not None
    assert before * 1000 <= first.time
    assert isinstance(second, Trade)
    assert first.key < second.key
    assert second.time == first.time + 1000
    assert second.time <= after * 1000 + 1
    assert abs(int(second.price)) == 1
    assert isinstance(events[1], Update)
    assert (events[1].bid, events[1].ask, events[1].bid_size, events[1].channel) == (
        "-0.5",
        "0.5",
        None,
        "top",
    )
    assert isinstance(events[3], Update)
    assert (events[3].bid, events[3].ask, events[3].bid_size) == ("86.99", "87.01", "100000")


async def test_seconds_that_a_blocked_loop_missed_are_caught_up() -> None:
    """After the loop stood still for two seconds, every second has its step, none is left out."""
    keys: list[int] = []
    async with asyncio.timeout(DEADLINE_S), aclosing(synthetic.events(Run({}, 1), TICKER)) as events:
        async for event in events:
            if isinstance(event, Trade):
                if not keys:
                    time.sleep(2.1)  # noqa: ASYNC251 - blocking is what is tested
                keys.append(event.time or 0)
            if len(keys) == 4:
                break

    assert [after - before for before, after in pairwise(keys)] == [1000, 1000, 1000]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (100.2, [101]),
        (101.0, [101]),
        (103.9, [101, 102, 103]),
        (110.5, list(range(101, 111))),
        (600.0, list(range(571, 601))),
        (60.0, [101]),
        (7.5, [7]),
    ],
)
def test_what_is_due(now: float, told: list[int]) -> None:
    """After second 100: the next one, missed ones up to 30, of a long sleep the last 30; far back: now."""
    assert list(synthetic.due(100, now)) == told


@pytest.mark.parametrize(
    ("now", "wait"), [(100.25, 0.75), (101.5, 0.0), (99.75, 1.25), (60.0, 1.1), (7.25, 0.75)]
)
def test_how_long_to_wait(now: float, wait: float) -> None:
    """The wait ends on the next whole second; a clock set back a little slows the steps, no more."""
    assert synthetic.until_next(100, now) == wait
