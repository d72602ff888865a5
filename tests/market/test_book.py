"""The book: the newest of what a source said, however it arrived, in the venue's own text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from crypto_stream.market.book import Book, Entry, SourceBook
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.exact import EXACT
from crypto_stream.market.instruments import pair
from crypto_stream.market.quotes import day_change
from tests.instruments import named

S = 1_000_000_000
PARTS = (
    "price",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
    "open_24h",
    "high_24h",
    "low_24h",
    "volume_24h",
    "time",
)
PRICES = st.decimals("0.00000001", "1000000", places=8).map(lambda number: format(number, "f"))


def top(key: int, bid: str | None, ask: str | None, time: int | None = None) -> Update:
    """Make the top of book of a fast channel."""
    bid_size, ask_size = None if bid is None else "1", None if ask is None else "2"
    return Update(named("btcusdt"), "top", key, time, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)


def trade(key: int, price: str, time: int | None = None) -> Trade:
    """Make a trade of a fast channel."""
    return Trade(named("btcusdt"), "trades", key, time, price, "0.5")


def ticker(key: int, price: str, bid: str, ask: str, time: int | None = None) -> Update:
    """Make the slow 24 h ticker."""
    day = {"open_24h": "100", "high_24h": "120", "low_24h": "90", "volume_24h": "1234.50"}
    return Update(named("btcusdt"), "ticker", key, time, price, bid, "3", ask, "4", slow=True, **day)


def state(book: SourceBook) -> dict[str, object]:
    """Return the values of btcusdt."""
    return {part: getattr(book.entries["btcusdt"], part) for part in PARTS}


def test_what_is_not_newer_is_dropped_and_counted() -> None:
    """Repeats and old updates change nothing and are counted under their channel."""
    book = SourceBook()
    taken = [book.apply(top(key, str(key), "9"), key) for key in (1, 3, 2, 3, 4)]

    assert taken == [True, True, False, False, True]
    assert book.dropped == {"top": 2}
    assert book.entries["btcusdt"].bid == "4"
    assert book.received_ns == book.entries["btcusdt"].received_ns == 4


def test_channels_keep_their_own_order() -> None:
    """One channel's keys say nothing about another channel's, nor one symbol's about another's."""
    book = SourceBook()
    book.apply(top(1_000_000, "1", "2"), 1)
    other = replace(top(1, "7", "8"), instrument=named("ethusdt"))
    taken = [book.apply(trade(1, "1.5"), 2), book.apply(other, 3)]

    assert taken == [True, True]
    assert book.entries["btcusdt"].price == "1.5"
    assert book.entries["ethusdt"].bid == "7"


@given(
    st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=12),
    st.booleans(),
    st.data(),
)
def test_any_arrival_leaves_the_newest(
    values: list[tuple[str, str]], timed: bool, data: st.DataObject
) -> None:
    """However one channel's updates are shuffled and repeated, the newest key's values stand, as written."""
    updates = [top(key, bid, ask, 1000 * key if timed else None) for key, (bid, ask) in enumerate(values, 1)]
    repeated = updates + data.draw(st.lists(st.sampled_from(updates), max_size=12))
    arrived = data.draw(st.permutations(repeated))
    book = SourceBook()
    taken = [book.apply(update, now) for now, update in enumerate(arrived, 1)]

    assert (book.entries["btcusdt"].bid, book.entries["btcusdt"].ask) == values[-1]
    assert book.entries["btcusdt"].time == (1000 * len(values) if timed else None)
    assert sum(taken) + book.dropped["top"] == len(arrived)


@pytest.mark.parametrize("text", ["0.000000454", "64123.10000000", "1e-8", "5.", "0"])
def test_numbers_keep_the_venues_text(text: str) -> None:
    """No number passes through arithmetic on its way into the quote."""
    book = SourceBook()
    book.apply(top(1, text, text), 1)
    book.apply(trade(1, text), 2)
    quote = book.entries["btcusdt"].quote(
        pair("btcusdt"), "venue", received=1, published=2, seq=3, stale=False
    )

    assert (quote.price, quote.bid, quote.ask) == (text, text, text)
    assert (quote.symbol, quote.source, quote.seq, quote.stale) == ("btcusdt", "venue", 3, False)


def test_empty_side_is_none() -> None:
    """A side without orders is None, its size too; a side that is not given stays as it was."""
    book = SourceBook()
    book.apply(top(1, "10", "11"), 1)
    book.apply(Update(named("btcusdt"), "top", 2, bid=None, bid_size=None), 2)

    assert (state(book)["bid"], state(book)["bid_size"]) == (None, None)
    assert (state(book)["ask"], state(book)["ask_size"]) == ("11", "2")


def test_slow_ticker_fills_what_the_fast_channels_have_not_given() -> None:
    """A thin pair shows the ticker's price and top of book until a fast channel gives its own."""
    book = SourceBook()
    book.apply(ticker(1, "105", "104", "106", 1000), 1)
    before = state(book)
    book.apply(trade(1, "107", 1001), 2)
    after = state(book)

    assert (before["price"], before["bid"], before["ask"], before["volume_24h"]) == (
        "105",
        "104",
        "106",
        "1234.50",
    )
    assert (after["price"], after["bid"], after["ask"]) == ("107", "104", "106")


def test_slow_ticker_gives_way_to_newer_fast_values() -> None:
    """A ticker not newer than the fast channels brings the 24 h figures alone."""
    book = SourceBook()
    book.apply(trade(1, "107", 2000), 1)
    book.apply(top(1, "106", "108", 2000), 2)
    book.apply(ticker(1, "105", "104", "109", 2000), 3 * S)

    assert (state(book)["price"], state(book)["bid"], state(book)["ask"]) == ("107", "106", "108")
    assert state(book)["open_24h"] == "100"


def test_slow_ticker_newer_than_the_fast_channels_wins() -> None:
    """By venue times the ticker is newer: its values stand, until a fast one is newer again."""
    book = SourceBook()
    book.apply(trade(1, "107", 2000), 1)
    book.apply(top(1, "106", "108", 2000), 2)
    book.apply(ticker(1, "105", "104", "109", 2001), 3)
    by_ticker = state(book)
    book.apply(trade(2, "105.5", 2000), 4)
    late_trade = state(book)
    book.apply(trade(3, "105.7", 2002), 5)

    assert (by_ticker["price"], by_ticker["bid"], by_ticker["ask"]) == ("105", "104", "109")
    assert late_trade["price"] == "105"
    assert state(book)["price"] == "105.7"


def test_untimed_fast_channel_stands_for_one_second() -> None:
    """Where the fast channel has no time, a second of its silence makes the ticker newer."""
    book = SourceBook()
    book.apply(top(1, "106", "108"), S)
    book.apply(ticker(1, "107", "104", "109", 5000), 2 * S)
    within = state(book)
    book.apply(ticker(2, "107", "104", "109", 6000), 2 * S + 1)
    after = state(book)
    book.apply(top(2, "106.5", "107.5"), 2 * S + 2)

    assert (within["bid"], within["price"]) == ("106", "107")
    assert (after["bid"], after["ask"]) == ("104", "109")
    assert state(book)["bid"] == "106.5"


@given(st.lists(st.one_of(st.none(), st.integers(0, 10_000)), min_size=1, max_size=10))
def test_time_is_the_newest_of_the_parts(times: list[int | None]) -> None:
    """The quote's time is the newest venue time ever taken, None where the venue gives none."""
    book = SourceBook()
    for key, time in enumerate(times):
        book.apply(top(key, "1", "2", time) if key % 2 else trade(key, "1", time), key)
    known = [time for time in times if time is not None]

    assert state(book)["time"] == (max(known) if known else None)


def test_only_a_changed_price_or_best_price_is_a_move() -> None:
    """Sizes and repeats move nothing; price, bid and ask do, and the first value is no change at all."""
    book = SourceBook()
    steps: list[tuple[Update | Trade, int]] = [
        (trade(1, "10"), 0),
        (top(1, "9", "11"), 0),
        (trade(2, "10"), 0),
        (replace(top(2, "9", "11"), bid_size="77"), 0),
        (trade(3, "10.1"), 5),
        (top(3, "9", "11"), 5),
        (top(4, "9.1", "11"), 7),
        (top(5, "9.1", "10.9"), 8),
    ]
    moved = []
    for now, (event, _expected) in enumerate(steps, 1):
        book.apply(event, now)
        moved.append(book.entries["btcusdt"].moved_ns)

    assert moved == [expected for _event, expected in steps]


def test_sources_do_not_mix() -> None:
    """Each source has a part of its own; what nobody said is None."""
    book = Book()
    book.of("one").apply(trade(1, "1"), 1)
    book.of("two").apply(trade(1, "2"), 1)
    one, two = book.entry("one", "btcusdt"), book.entry("two", "btcusdt")

    assert isinstance(one, Entry)
    assert isinstance(two, Entry)
    assert (one.price, two.price) == ("1", "2")
    assert book.entry("one", "ethusdt") is None
    assert book.entry("three", "btcusdt") is None
    assert book.of("one") is book.of("one")


@pytest.mark.parametrize(
    ("price", "opening", "expected"),
    [
        ("64123.45", "63000.00", ("1.78", "1123.45")),
        ("99", "100", ("-1.00", "-1")),
        ("100", "100", ("0.00", "0")),
        ("99.9999", "100", ("0.00", "-0.0001")),
        ("0.000000454", "0.000000400", ("13.50", "0.000000054")),
        ("1e-8", "2E-8", ("-50.00", "-0.00000001")),
        (
            "123456789012345678.00000000000000000001",
            "1",
            ("12345678901234567700.00", "123456789012345677.00000000000000000001"),
        ),
        ("1", "0", (None, "1")),
        ("1", "0.000", (None, "1.000")),
        ("-86", "-17", (None, "-69")),
        ("5", "-17", (None, "22")),
        ("-86", "17", ("-605.88", "-103")),
        ("1", None, (None, None)),
        (None, "1", (None, None)),
    ],
)
def test_change_is_computed_from_price_and_open(price: str, opening: str, expected: tuple[str, str]) -> None:
    """The change is price - open: in percent with two digits, None where that has no meaning, and exactly."""
    assert day_change(price, opening) == expected


@given(PRICES, PRICES)
def test_change_is_right_to_its_last_digit(price: str, opening: str) -> None:
    """Applied to the open, the change gives the price back within half of its last digit."""
    change, absolute = day_change(price, opening)

    assert change is not None
    assert absolute is not None
    assert Decimal(absolute) == EXACT.subtract(Decimal(price), Decimal(opening))
    exact = (Decimal(price) / Decimal(opening) - 1) * 100
    assert abs(Decimal(change) - exact) <= Decimal("0.00500000001")


def test_fields_not_given_change_nothing() -> None:
    """An update carries only what its frame gave; the rest stays."""
    book = SourceBook()
    book.apply(ticker(1, "105", "104", "106", 1000), 1)
    before = state(book)
    book.apply(Update(named("btcusdt"), "ticker", 2, 2000, price=UNSET, volume_24h="9", slow=True), 2)

    assert state(book) == {**before, "volume_24h": "9", "time": 2000}


def test_what_is_awaited_arrives_once() -> None:
    """The next accepted event of an awaited symbol is noted; a dropped one and one of others are not."""
    book = SourceBook()
    book.apply(Trade(named("btcusdt"), "trades", 5, None, "1", None), 1)
    book.awaited.update({"btcusdt", "xrpusdt"})
    book.apply(Trade(named("btcusdt"), "trades", 5, None, "1", None), 2)
    book.apply(Trade(named("ethusdt"), "trades", 5, None, "1", None), 2)
    dropped = set(book.arrived)
    book.apply(Trade(named("btcusdt"), "trades", 6, None, "1", None), 3)

    assert dropped == set()
    assert book.arrived == {"btcusdt"}
    assert book.awaited == {"xrpusdt"}


def test_a_source_gives_what_it_ever_gave_of_anything() -> None:
    """Each kind of channel counts from its first data on; a price alone is none of them."""
    book = SourceBook()
    events: list[Update | Trade] = [
        Update(named("btcusdt"), "last", 1, price="1"),
        Update(named("btcusdt"), "top", 1, bid="1", bid_size="1"),
        Update(named("ethusdt"), "day", 1, price="1", slow=True),
        Trade(named("ethusdt"), "trades", 1, None, "1", None),
    ]
    given = []
    for number, event in enumerate(events, start=1):
        book.apply(event, number)
        given.append(set(book.gives))

    assert given == [set(), {"top"}, {"top", "day"}, {"top", "day", "trades"}]
