"""Books of several venues in one ladder: examples, and a recomputation of all levels with fractions."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.depth import (
    NONE_COUNTS,
    Depth,
    MergedLevel,
    VenueDepth,
    depth,
    lost,
    shortened,
    without_ages,
)
from crypto_stream.market.ladder import LEVELS, Level
from crypto_stream.market.prices import INVERTED, LeftOut


def venue(source: str, bids: list[Level], asks: list[Level], levels: int = LEVELS) -> VenueDepth:
    """Make the book of a venue."""
    return VenueDepth(source, 1700000000000, 12, levels, bids, asks)


def test_sizes_at_a_price_are_summed_and_everyone_is_named() -> None:
    """Prices are compared as numbers; the text is that of the preferred source; the sum is exact."""
    one = venue("one", [("100.10", "1.25"), ("99", "3")], [("101", "1")])
    two = venue("two", [("100.1", "0.000000000000000000000000000001")], [("100.5", "2")])
    found = depth("btcusdt", [one, two], [LeftOut("three", "not live")])

    assert found == Depth(
        symbol="btcusdt",
        stale=False,
        reason=None,
        bids=[
            MergedLevel(
                "100.10",
                "1.250000000000000000000000000001",
                {"one": "1.25", "two": "0.000000000000000000000000000001"},
            ),
            MergedLevel("99", "3", {"one": "3"}),
        ],
        asks=[MergedLevel("100.5", "2", {"two": "2"}), MergedLevel("101", "1", {"one": "1"})],
        crossed=False,
        venues=[one, two],
        left_out=[LeftOut("three", "not live")],
    )


SIDE = st.dictionaries(st.integers(1, 40), st.integers(1, 9), max_size=12)


@given(st.lists(st.tuples(SIDE, SIDE, st.integers(1, 6)), max_size=4))
def test_no_level_ever_shows_less_than_there_is(
    books: list[tuple[dict[int, int], dict[int, int], int]],
) -> None:
    """Each venue tells only its first levels: of these the merged ladder is the beginning of the true one."""
    found = depth(
        "btcusdt",
        [
            venue(
                f"venue {number}",
                [(f"{price}", f"{bids[price]}") for price in sorted(bids, reverse=True)][:levels],
                [(f"{price + 40}", f"{asks[price]}") for price in sorted(asks)][:levels],
                levels,
            )
            for number, (bids, asks, levels) in enumerate(books)
        ],
    )
    true_bids: dict[int, Fraction] = {}
    true_asks: dict[int, Fraction] = {}
    for bids, asks, _ in books:
        for price, size in bids.items():
            true_bids[price] = true_bids.get(price, Fraction(0)) + size
        for price, size in asks.items():
            true_asks[price + 40] = true_asks.get(price + 40, Fraction(0)) + size

    assert [(each.price, Fraction(each.size)) for each in found.bids] == [
        (f"{price}", true_bids[price]) for price in sorted(true_bids, reverse=True)
    ][: len(found.bids)]
    assert [(each.price, Fraction(each.size)) for each in found.asks] == [
        (f"{price}", true_asks[price]) for price in sorted(true_asks)
    ][: len(found.asks)]
    assert not books or bool(found.bids) == any(bids for bids, _, _ in books)
    assert found.stale is not bool(books)


def test_it_ends_where_the_known_levels_of_a_venue_end() -> None:
    """What that venue has beyond is unknown; one with fewer levels has no more."""
    short = venue("short", [("100", "1"), ("98", "1")], [], levels=2)
    thin = venue("thin", [("99", "1")], [])
    long = venue("long", [("100", "2"), ("97", "2")], [])
    found = depth("btcusdt", [short, thin, long])

    assert [each.price for each in found.bids] == ["100", "99", "98"]


def test_a_crossed_market_is_shown_and_an_inverted_book_left_out() -> None:
    """Between venues it is common; within one it is an error."""
    low = venue("low", [("99", "1")], [("100", "1")])
    high = venue("high", [("101", "1")], [("102", "1")])
    inverted = venue("inverted", [("105", "1")], [("90", "1")])

    assert depth("btcusdt", [low, high]).crossed
    assert not depth("btcusdt", [low]).crossed
    assert depth("btcusdt", [low, inverted]).left_out == [LeftOut("inverted", INVERTED)]
    assert depth("btcusdt", [inverted]).reason == NONE_COUNTS
    assert depth("btcusdt", [venue("empty", [], [])]).stale is False


def test_what_is_compared_shortened_and_lost() -> None:
    """Ages do not count as changes; of the first levels each part has as many."""
    found = depth("btcusdt", [venue("one", [("3", "1"), ("2", "1")], [("4", "1"), ("5", "1")])])
    book = found.venues[0]
    later = depth("btcusdt", [VenueDepth("one", None, 900, LEVELS, book.bids, book.asks)])
    first = shortened(found, 1)

    assert without_ages(found) == without_ages(later)
    assert ([each.price for each in first.bids], [each.price for each in first.asks]) == (["3"], ["4"])
    assert first.venues == [venue("one", [("3", "1")], [("4", "1")], 1)]
    assert lost("btcusdt", "gone") == Depth("btcusdt", True, "gone", [], [], False, [], [])
