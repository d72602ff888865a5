"""A venue's ladder: whatever is sent, it is the venue's book or unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.instruments import pair
from crypto_stream.market.ladder import KEPT, LEVELS, DepthChange, HoleError, Ladder, Level

BTC = pair("BTC-USDT")
PRICES = st.integers(1, 60)
SIZES = st.integers(0, 3)
CHANGES = st.lists(st.lists(st.tuples(st.booleans(), PRICES, SIZES), max_size=8), min_size=1, max_size=30)
Book = dict[bool, dict[int, int]]


def change(*levels: tuple[bool, int, int], **given: object) -> DepthChange:
    """Make a change of (is a bid, price, size); prices are written with a superfluous zero."""
    sides: dict[bool, list[Level]] = {True: [], False: []}
    for is_bid, price, size in levels:
        sides[is_bid].append((f"{price}.0", f"{size}"))
    return DepthChange(BTC, sides[True], sides[False], **given)  # type: ignore[arg-type]


def follow(book: Book, levels: list[tuple[bool, int, int]], depth: int | None = None) -> None:
    """Change a book as a venue would, and drop its worst levels beyond `depth`."""
    for is_bid, price, size in levels:
        book[is_bid].pop(price, None)
        if size:
            book[is_bid][price] = size
    for is_bid, side in book.items():
        for price in sorted(side, reverse=is_bid)[depth:] if depth is not None else []:
            del side[price]


def shown(book: Book) -> tuple[list[Level], list[Level]]:
    """List the first levels of a book."""
    bids = [(f"{price}.0", f"{book[True][price]}") for price in sorted(book[True], reverse=True)]
    asks = [(f"{price}.0", f"{book[False][price]}") for price in sorted(book[False])]
    return bids[:LEVELS], asks[:LEVELS]


@given(CHANGES, st.sampled_from([None, 3, 25]))
def test_it_is_what_is_left_of_all_changes(
    frames: list[list[tuple[bool, int, int]]], depth: int | None
) -> None:
    """Levels are known by their value, and dropped as the venue drops them."""
    ladder = Ladder()
    book: Book = {True: {}, False: {}}
    for number, levels in enumerate(frames):
        known = ladder.apply(change(*levels, whole=number == 0, depth=depth))
        follow(book, levels, depth)

        assert known
        assert (ladder.bids(), ladder.asks()) == shown(book)


@given(CHANGES, st.sets(st.integers(0, 29)))
def test_with_numbers_a_loss_is_never_unnoticed(
    frames: list[list[tuple[bool, int, int]]], lost: set[int]
) -> None:
    """After each frame that arrives, the ladder is the venue's or unknown; a whole book ends that."""
    ladder = Ladder()
    book: Book = {True: {}, False: {}}
    wants_whole = True
    for number, levels in enumerate(frames):
        follow(book, levels)
        if number in lost:
            continue
        sent = change(*levels, number=number, after=number - 1)
        if wants_whole:
            every = [(is_bid, price, size) for is_bid, side in book.items() for price, size in side.items()]
            sent = change(*every, whole=True, number=number)
        try:
            wants_whole = not ladder.apply(sent)
        except HoleError:
            wants_whole = True

        if ladder.known:
            assert (ladder.bids(), ladder.asks()) == shown(book)


def test_changes_before_the_whole_book_are_ignored() -> None:
    """Some venues send them first, and after a loss they are of an unknown book."""
    ladder = Ladder()

    assert not ladder.apply(change((True, 10, 1)))
    assert ladder.apply(change((True, 9, 1), whole=True))
    assert ladder.bids() == [("9.0", "1")]


def test_an_older_whole_book_is_ignored() -> None:
    """What is known is newer; after a loss any number is accepted, since venues restart them."""
    ladder = Ladder()
    ladder.apply(change((True, 9, 1), whole=True, number=5))
    applied = ladder.apply(change((True, 8, 1), whole=True, number=4))
    kept = ladder.bids()
    ladder.lose()
    ladder.apply(change((True, 8, 1), whole=True, number=4))

    assert not applied
    assert kept == [("9.0", "1")]
    assert ladder.bids() == [("8.0", "1")]


@pytest.mark.parametrize(
    ("bids", "reason"),
    [
        ([("1_0", "1")], "not a decimal number"),
        ([("NaN", "1")], "not a decimal number"),
        ([("", "1")], "a level without a number"),
        ([("0", "1")], "a price of 0"),
        ([("-1", "1")], "a price of -1"),
        ([("1", "-2")], "a size of -2"),
        ([("1", "1e999")], "not a decimal number"),
    ],
)
def test_what_cannot_be_a_level_loses_the_book(bids: list[Level], reason: str) -> None:
    """Other levels of the same frame may have been changed already."""
    ladder = Ladder()
    ladder.apply(change((True, 9, 1), whole=True))
    with pytest.raises(HoleError, match=reason):
        ladder.apply(DepthChange(BTC, [("9", "3"), *bids], []))

    assert not ladder.known
    assert ladder.bids() == []


def test_a_wrong_checksum_loses_the_book_and_shows_no_more_than_it_covers() -> None:
    """It is told the levels best first."""
    ladder = Ladder()
    told: list[object] = []

    def is_right(bids: object, asks: object) -> bool:
        told.append((bids, asks))
        return len(told) < 2

    levels = [(True, price, 1) for price in range(1, 15)]
    ladder.apply(change(*levels, (False, 20, 2), whole=True, is_right=is_right, certain=10))
    bids = ladder.bids()
    with pytest.raises(HoleError, match="checksum"):
        ladder.apply(change((False, 21, 1), is_right=is_right, certain=10))

    assert told[0] == ([(f"{price}.0", "1") for price in range(14, 0, -1)], [("20.0", "2")])
    assert bids == [(f"{price}.0", "1") for price in range(14, 4, -1)]
    assert not ladder.known


@pytest.mark.parametrize("limit", [None, 50, 4 * KEPT])
def test_a_book_of_very_many_levels_is_bounded_and_lost_when_they_are_used_up(limit: int | None) -> None:
    """What lies beyond the levels that are kept is unknown, so that the ladder must not end there."""
    ladder = Ladder()
    count = 3 * KEPT
    ladder.apply(change(*((False, price, 1) for price in range(1, count + 1)), whole=True, limit=limit))
    ladder.apply(change((False, count, 9), (False, KEPT + 1, 9)))  # beyond what is kept
    removed = KEPT - LEVELS
    ladder.apply(change(*((False, price, 0) for price in range(1, removed + 1))))
    last = ladder.asks()
    with pytest.raises(HoleError, match="used up"):
        ladder.apply(change((False, removed + 1, 0)))

    assert last == [(f"{price}.0", "1") for price in range(removed + 1, KEPT + 1)]
    assert not ladder.known


SHOWN, LIMIT = 25, 22  # levels of a side that a venue shows, and from which on it may have more


@given(CHANGES, st.booleans())
def test_what_a_venue_says_beyond_a_limited_book_need_not_be_known(
    frames: list[list[tuple[bool, int, int]]], drops: bool
) -> None:
    """Whether it says nothing, or all: the ladder is the first levels of its real book, or unknown."""
    ladder = Ladder()
    book: Book = {is_bid: dict.fromkeys(range(1, 61), 1) for is_bid in (True, False)}
    wants_whole = True
    for levels in frames:
        before = best_of(book)
        follow(book, levels)
        now = best_of(book)
        sent = levels
        if wants_whole:
            sent = [(*key, size) for key, size in now.items()]
        elif drops:
            gone = [(is_bid, price, 0) for is_bid, price in before if price not in book[is_bid]]
            sent = gone + [(*key, size) for key, size in now.items() if before.get(key) != size]
        try:
            wants_whole = not ladder.apply(change(*sent, whole=wants_whole, limit=LIMIT))
        except HoleError:
            wants_whole = True

        if ladder.known:
            assert (ladder.bids(), ladder.asks()) == shown(book)


def best_of(book: Book) -> dict[tuple[bool, int], int]:
    """Return the sizes that a venue shows, by side and price."""
    return {
        (is_bid, price): side[price]
        for is_bid, side in book.items()
        for price in sorted(side, reverse=is_bid)[:SHOWN]
    }


def test_a_limited_book_is_lost_when_its_levels_are_used_up_but_a_small_one_is_all_there_is() -> None:
    """From the limit on there may be more; below it there are not, until so many are there."""
    asks = [(False, price, 1) for price in range(1, LEVELS + 3)]
    limited, small = Ladder(), Ladder()
    limited.apply(change(*asks, whole=True, limit=len(asks)))
    small.apply(change(*asks, whole=True, limit=len(asks) + 1))
    limited.apply(change((False, 99, 1), (False, 1, 0), (False, 2, 0)))
    before = limited.asks()
    with pytest.raises(HoleError, match="used up"):
        limited.apply(change((False, 3, 0)))
    small.apply(change(*((False, price, 0) for price in range(3, LEVELS + 3))))
    few = small.asks()
    small.apply(change(*((False, price, 1) for price in range(3, 99))))
    with pytest.raises(HoleError, match="used up"):
        small.apply(change(*((False, price, 0) for price in range(1, 5))))

    assert [price for price, _ in before] == [f"{price}.0" for price in range(3, LEVELS + 3)]
    assert few == [("1.0", "1"), ("2.0", "1")]


def test_a_whole_book_has_an_end() -> None:
    """All levels of a small book may go: that is an empty side, not a loss."""
    ladder = Ladder()
    ladder.apply(change((True, 1, 1), (False, 2, 1), whole=True))
    ladder.apply(change((True, 1, 0)))

    assert ladder.known
    assert (ladder.bids(), ladder.asks()) == ([], [("2.0", "1")])
    assert Decimal(ladder.asks()[0][0]) == 2
