"""The best bid and ask over several sources: examples, and a recomputation with fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.best import NONE_COUNTS, Best, BestSide, Share, best, lost, without_ages
from crypto_stream.market.prices import INVERTED, LeftOut, Prices, SourcePrices


def top(
    source: str, bid: str | None, ask: str | None, size: str | None = "1", age_ms: int = 5
) -> SourcePrices:
    """Make a source with a top of book only."""
    return SourcePrices(source, bid=bid, bid_size=size, ask=ask, ask_size=size, top_age_ms=age_ms)


def of(*live: SourcePrices, left_out: tuple[LeftOut, ...] = ()) -> Best:
    """Return the best of these sources."""
    return best(Prices("btcusdt", live, left_out))


def test_the_best_of_each_side_with_everyone_who_has_it() -> None:
    """Prices are compared as numbers; sizes are summed exactly; the text is that of the preferred source."""
    found = of(
        top("one", "100.10", "100.30", "1.25", 7),
        top("two", "100.1", "100.4", "0.000000000000000000000000000001", 9),
        top("three", "99", "100.20", None, 11),
        left_out=(LeftOut("four", "no data for 5 s"),),
    )

    assert found == Best(
        symbol="btcusdt",
        stale=False,
        reason=None,
        bid=BestSide(
            "100.10",
            "1.250000000000000000000000000001",
            [Share("one", "1.25", 7), Share("two", "0.000000000000000000000000000001", 9)],
        ),
        ask=BestSide("100.20", None, [Share("three", None, 11)]),
        spread_bps="9.99",
        crossed=False,
        sources=["one", "two", "three"],
        left_out=[LeftOut("four", "no data for 5 s")],
    )


# How far apart, whether crossed.
CROSSINGS = [
    ((("one", "100", "101"), ("two", "102", "103")), "-98.52", True),
    ((("one", "100", "101"), ("two", "101", "102")), "0.00", True),
    ((("one", "100", "100"),), "0.00", False),  # locked by itself: no two sources are involved
    ((("one", "100", "100"), ("two", "100", "101")), "0.00", True),
    ((("one", "100", "101"), ("two", "99", "102")), "99.50", False),
    ((("one", None, "101"), ("two", "102", None)), "-98.52", True),
    ((("one", "100", None),), None, False),
    ((("one", "-2", "-1"),), None, False),  # synthetic walks may be below 0
]


@pytest.mark.parametrize(("tops", "spread", "crossed"), CROSSINGS)
def test_crossed_sources_are_shown(
    tops: tuple[tuple[str, str | None, str | None], ...], spread: str | None, crossed: bool
) -> None:
    """A bid at or above another source's ask is neither hidden nor corrected."""
    found = of(*(top(*each) for each in tops))

    assert (found.spread_bps, found.crossed) == (spread, crossed)
    assert found.sources == [each[0] for each in tops]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (top("odd", "101", "100"), INVERTED),
        (top("odd", None, None), "no top of book"),
        (top("odd", "0.00", "0"), "no top of book"),
        (top("odd", "100", "101", "0"), "no top of book"),
        (top("odd", "0", "101", "0"), "no top of book"),
        (SourcePrices("odd", price="100"), "no top of book"),
    ],
)
def test_what_is_no_top_of_book_takes_no_part(odd: SourcePrices, reason: str) -> None:
    """The source is named with the reason; the others are not affected."""
    sane = top("sane", "99", "102")
    found, alone = of(odd, sane), of(odd)

    assert found.left_out == [LeftOut("odd", reason)]
    assert (found.bid, found.ask, found.sources) == (of(sane).bid, of(sane).ask, ["sane"])
    assert (alone.stale, alone.reason, alone.bid, alone.ask) == (True, NONE_COUNTS, None, None)


def test_one_empty_side_leaves_the_other() -> None:
    """Some venues send 0 for it."""
    found = of(top("one", "0.00000000", "101"), top("two", "99", "102"))

    assert (found.bid and found.bid.price, found.ask and found.ask.price) == ("99", "101")


def test_what_is_shown_while_the_engine_is_unreachable_has_no_price() -> None:
    """It would be too old to act on."""
    found = lost("btcusdt", "the engine is unreachable")

    assert (found.symbol, found.stale, found.reason) == ("btcusdt", True, "the engine is unreachable")
    assert (found.bid, found.ask, found.sources) == (None, None, [])


def test_ages_alone_are_no_change() -> None:
    """A value is sent again only if anything else differs."""
    one, other = (of(top("one", "100", "101", age_ms=age)) for age in (5, 900))

    assert one != other
    assert without_ages(one) == without_ages(other) != without_ages(of(top("one", "100", "102")))


NUMBERS = st.one_of(
    st.none(),
    st.just("0"),
    st.decimals("0.00000001", "5", places=8).map(str),
    st.integers(1, 5).map(lambda number: f"{number}.0"),
)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=6))
def test_it_is_what_fractions_say(tops: list[tuple[str | None, ...]]) -> None:
    """Recomputed from the definition: the extreme price of each side, and everyone who has it."""
    live = [
        SourcePrices(str(at), bid, bid_size, ask, ask_size, at)
        for at, (bid, bid_size, ask, ask_size) in enumerate(tops)
    ]
    found = of(*live)
    usable: dict[str, tuple[Fraction | None, Fraction | None]] = {}
    for each in live:
        bid, ask = (
            None
            if text is None or Fraction(text) == 0 or (size is not None and Fraction(size) == 0)
            else Fraction(text)
            for text, size in ((each.bid, each.bid_size), (each.ask, each.ask_size))
        )
        wrong = bid is not None and ask is not None and bid > ask
        if (bid is not None or ask is not None) and not wrong:
            usable[each.source] = (bid, ask)
    highest = max((bid for bid, _ in usable.values() if bid is not None), default=None)
    lowest = min((ask for _, ask in usable.values() if ask is not None), default=None)

    assert found.sources == list(usable)
    assert {one.source for one in found.left_out} == {each.source for each in live} - usable.keys()
    for side, price, at in ((found.bid, highest, 0), (found.ask, lowest, 1)):
        assert (side is None) == (price is None)
        if side is None:
            continue
        have = [source for source, both in usable.items() if both[at] == price]
        assert Fraction(side.price) == price
        assert [share.source for share in side.sources] == have
        sizes = [share.size for share in side.sources]
        known = None if None in sizes else sum(Fraction(size) for size in sizes if size is not None)
        assert (None if side.size is None else Fraction(side.size)) == known
    if highest is None or lowest is None:
        assert (found.spread_bps, found.crossed) == (None, False)
    else:
        exact = (lowest - highest) / ((lowest + highest) / 2) * 10_000
        assert found.spread_bps is not None
        assert abs(Fraction(found.spread_bps) - exact) <= Fraction("0.005")
        assert Decimal(found.spread_bps).as_tuple().exponent == -2
        involved = {source for source, both in usable.items() if both[0] == highest or both[1] == lowest}
        assert found.crossed == (highest >= lowest and len(involved) > 1)
