"""Implausible events are dropped and counted, and affect nothing later."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from crypto_stream.feed.validator import EventValidator
from crypto_stream.market.book import SourceBook
from crypto_stream.market.events import Trade, Update
from tests.instruments import named

NOW = 1_790_000_000_000
S = 1_000_000_000
DAY = 86_400_000


class Checks:
    """A validator, its book, and a clock."""

    def __init__(self, *, live: bool = True, synthetic: bool = False) -> None:
        self.book = SourceBook()
        self.judge = EventValidator(self.book, real_time=live, synthetic=synthetic)
        self.now_ms = NOW

    def allow(self, event: Update | Trade) -> Update | Trade | None:
        """Validate one event now."""
        return self.judge.allow(event, self.now_ms, self.now_ms * 1_000_000)

    def takes(self, event: Update | Trade) -> bool:
        """Validate one event now, and apply it to the book."""
        allowed = self.allow(event)
        return allowed is not None and self.book.apply(allowed, self.now_ms * 1_000_000)


def trade(price: str = "100", *, key: Any = 1, time: Any = NOW, size: Any = "1") -> Trade:
    """Create a trade."""
    return Trade(named("btcusdt"), "trades", key, time, price, size)


def top(
    bid: Any = "99.95", ask: Any = "100.05", *, key: Any = 1, time: Any = None, size: Any = "1"
) -> Update:
    """Create a top of book."""
    return Update(named("btcusdt"), "top", key, time, bid=bid, bid_size=size, ask=ask, ask_size=size)


def day(price: str, *, key: int = NOW, time: int = NOW, high: str = "110") -> Update:
    """Create 24 h figures."""
    return Update(named("btcusdt"), "ticker", key, time, price, open_24h="90", high_24h=high, slow=True)


@pytest.mark.parametrize("price", ["0", "0.000", "-5", "-0", "9" * 40, "1" + "0" * 18, "0." + "0" * 30 + "1"])
@pytest.mark.parametrize("make", [trade, day])
def test_invalid_prices(make: Any, price: str) -> None:
    """Zero, negative, or with more digits than any price has."""
    court = Checks()

    assert court.allow(make(price)) is None
    assert court.book.dropped.total() == 1


@pytest.mark.parametrize("price", ["abc", "", "NaN", "1e999", "1_0", "\uff19", "1e40", 5, 5.0, None, b"1"])
def test_values_that_are_no_numbers(price: Any) -> None:
    """A handler that passes on anything does no harm."""
    court = Checks()

    assert court.allow(trade(price)) is None
    assert court.allow(trade(size=price)) is None or price is None
    assert court.allow(top(bid=price)) is None or price is None
    assert set(court.book.dropped) <= {"bad_number"}


@pytest.mark.parametrize(
    "price", ["67123.55000000", "0.00000001", "5.", "1e-8", "1.5E+3", "999999999999999999"]
)
def test_usual_forms_of_a_number_pass(price: str) -> None:
    """As venues write them."""
    assert Checks().allow(trade(price)) == trade(price)


@pytest.mark.parametrize("side", [None, "0", "0.00"])
def test_an_empty_side_of_a_book_passes(side: Any) -> None:
    """Zero is how venues represent an empty side."""
    event = top(bid=side, size="0")

    assert Checks().allow(event) == event


@pytest.mark.parametrize("name", ["bid", "bid_size", "ask", "ask_size", "open_24h", "high_24h", "volume_24h"])
def test_negative_values_are_dropped(name: str) -> None:
    """In the book, in amounts and in 24 h figures."""
    fields: dict[str, Any] = {name: "-1"}

    assert Checks().allow(Update(named("btcusdt"), "top", 1, None, **fields)) is None


def test_synthetic_prices_may_be_negative() -> None:
    """Walks may fall below zero."""
    court = Checks(synthetic=True, live=False)

    assert court.allow(trade("-5")) == trade("-5")
    assert court.allow(trade("0")) == trade("0")


@pytest.mark.parametrize("key", [-1, 2**63, 2**70, "1", 1.0, None])
def test_keys_have_bounds(key: Any) -> None:
    """Keys must fit into 63 bits."""
    court = Checks()

    assert court.allow(trade(key=key)) is None
    assert court.book.dropped == {"bad_key": 1}


@pytest.mark.parametrize(
    "time", [-1, 4_102_444_800_000, 253_402_300_799_000, 253_402_300_799_000_000, NOW * 10, "1", 1.5]
)
def test_times_have_bounds_in_recordings_too(time: Any) -> None:
    """Beyond the year 2100 it is another unit, or invalid."""
    court = Checks(live=False)

    assert court.allow(trade(time=time)) is None
    assert court.book.dropped == {"bad_time": 1}


@pytest.mark.parametrize("per_ms", [1_000, 1_000_000])
@pytest.mark.parametrize("live", [True, False])
def test_times_in_finer_units_are_converted(per_ms: int, live: bool) -> None:
    """Microseconds and nanoseconds are detected by size; a key equal to the time is converted too."""
    court = Checks(live=live)
    fine = NOW * per_ms + per_ms // 2

    assert court.allow(trade(key=7, time=fine)) == trade(key=7, time=NOW)
    assert court.allow(day("100", key=fine, time=fine)) == day("100")
    assert not court.book.dropped


@pytest.mark.parametrize(("ahead_ms", "taken"), [(0, True), (4_000, True), (16_000, False), (DAY, False)])
def test_a_timestamp_ahead_of_the_clock_is_dropped(ahead_ms: int, taken: bool) -> None:
    """More than 5 s beyond the venue's usual offset; later events are accepted."""
    court = Checks()
    for number in range(1, 100):
        court.now_ms += 100
        assert court.takes(trade(key=number, time=court.now_ms - 20))

    assert court.takes(trade(key=100, time=court.now_ms + ahead_ms)) is taken
    assert court.takes(trade(key=101, time=court.now_ms + 10))
    assert court.book.entries["btcusdt"].time == max(court.now_ms + 10, court.now_ms + ahead_ms * taken)


def test_the_very_first_timestamp_is_checked_too() -> None:
    """Only our own clock is known then."""
    assert Checks().allow(trade(time=NOW + DAY)) is None


@pytest.mark.parametrize("ahead_ms", [16_000, 7_200_000, -7_200_000])
def test_a_venue_whose_clock_differs_is_followed(ahead_ms: int) -> None:
    """Or ours differs: if nearly all timestamps are ahead, that is the venue's offset."""
    court = Checks()
    taken = []
    for number in range(1, 100):
        court.now_ms += 100
        taken.append(court.takes(trade(key=number, time=court.now_ms + ahead_ms)))
    beyond = court.takes(trade(key=200, time=court.now_ms + max(ahead_ms, 0) + 16_000))

    assert all(taken[10:])
    assert not beyond


def test_one_frame_full_of_wrong_timestamps_is_no_evidence() -> None:
    """They arrive at one moment."""
    court = Checks()
    for number in range(1, 50):
        court.now_ms += 100
        court.takes(trade(key=number, time=court.now_ms))

    assert not any(court.takes(trade(key=key, time=court.now_ms + DAY)) for key in range(100, 300))
    assert court.takes(trade(key=50, time=court.now_ms))


def test_a_recording_has_its_own_time() -> None:
    """Times of last year, or of a machine whose clock was ahead, are accepted."""
    court = Checks(live=False)

    assert court.takes(trade(key=1, time=NOW - 300 * DAY))
    assert court.takes(trade(key=2, time=NOW + 300 * DAY))


@pytest.mark.parametrize(
    ("price", "taken"), [("99", True), ("80", True), ("120", True), ("55", False), ("1e4", False)]
)
def test_a_price_far_outside_its_venues_own_top_is_dropped(price: str, taken: bool) -> None:
    """A quarter beyond bid or ask of the last five seconds; older ones are not compared."""
    court = Checks()
    court.takes(top())
    near = court.takes(trade(price, key=1))
    court.now_ms += 6_000
    later = court.takes(trade(price, key=2, time=court.now_ms))

    assert near is taken
    assert later


def test_24h_figures_are_accepted_without_a_wrong_price() -> None:
    """The last trade of a quiet pair may be old: its price is omitted, and counted."""
    court = Checks()
    court.takes(top())
    court.takes(day("55"))
    entry = court.book.entries["btcusdt"]

    assert (entry.price, entry.high_24h) == (None, "110")
    assert court.book.dropped == {"bad_price": 1}


@given(
    st.builds(
        Update,
        instrument=st.just(named("btcusdt")),
        channel=st.text(max_size=60),
        key=st.integers(-(2**65), 2**65),
        time=st.none() | st.integers(-(2**65), 2**65) | st.integers(NOW - DAY, NOW + DAY),
        price=st.just(UNSET) | st.none() | st.text(max_size=50) | st.decimals().map(str),
        bid=st.just(UNSET) | st.none() | st.text(max_size=50) | st.decimals().map(str),
        ask=st.just(UNSET) | st.none() | st.text(max_size=50) | st.decimals().map(str),
        volume_24h=st.just(UNSET) | st.none() | st.text(max_size=50) | st.decimals().map(str),
        slow=st.booleans(),
    )
)
def test_whatever_passes_is_bounded(event: Update) -> None:
    """No input raises, and the book receives numbers of at most 39 characters, at least zero."""
    allowed = Checks().allow(event)
    if allowed is None:
        return

    assert isinstance(allowed, Update)
    assert 0 <= allowed.key < 2**63
    assert allowed.time is None or 0 <= allowed.time <= NOW + 5_000
    for value in (allowed.price, allowed.bid, allowed.ask, allowed.volume_24h):
        if isinstance(value, str):
            assert 0 <= Decimal(value) < 10**18
            assert len(f"{Decimal(value):f}") <= 40
