"""Orders that walk the book: level by level, each displayed size once, by exact sums."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.ladder import Level
from crypto_stream.market.orders import Side, TimeInForce
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.matching import Arrival, Fill, Market
from crypto_stream.orders.walking import Taken
from tests.orders.house import a_quote
from tests.orders.walkers import ASKS, book, order

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK = TimeInForce


def quoted(price: str = "100", size: str | None = "1", source: str = "one") -> Market:
    """Make a market with an ask."""
    market = Market()
    market.quoted(ask(price, size, source))
    return market


def ask(price: str, size: str | None, source: str = "one") -> Quote:
    """Make a quote with this ask."""
    return a_quote(source=source, ask=price, ask_size=size)


def said(fills: list[Fill]) -> list[tuple[str, str]]:
    """List how much traded at which price."""
    return [(str(fill.amount), str(fill.price)) for fill in fills]


def test_a_market_order_pays_what_it_would_have_paid() -> None:
    """The published top first, then level by level; the last one as far as it is needed."""
    arrival = quoted().arrive(order("3.25"), book())

    assert said(arrival.fills) == [("1", "100"), ("2", "101"), ("0.25", "102.5")]
    assert arrival.refused is None


def test_a_sell_is_the_mirror_image() -> None:
    """It walks the bids downwards, as far as its limit."""
    market = Market()
    market.quoted(a_quote(bid="100", bid_size="1"))
    bids: list[Level] = [("100", "1"), ("99", "1"), ("97", "5")]
    arrival = market.arrive(order("4", "98", SELL), book([], bids))

    assert said(arrival.fills) == [("1", "100"), ("1", "99")]
    assert arrival.refused == "no more liquidity"


def test_a_limit_order_walks_to_its_limit_and_rests() -> None:
    """What rests trades with published quotes."""
    market = quoted()
    arrival = market.arrive(order("9", "101", time_in_force=GTC), book())
    later = market.quoted(ask("100.5", "4"))

    assert said(arrival.fills) == [("1", "100"), ("2", "101")]
    assert said(later) == [("4", "100.5")]


def test_fill_or_kill_counts_the_levels() -> None:
    """All of it or nothing."""
    killed = quoted().arrive(order("3.6", "102.5", time_in_force=FOK), book())
    filled = quoted().arrive(order("3.5", "102.5", time_in_force=FOK), book())

    assert killed == Arrival([], "not enough liquidity at this price")
    assert sum(fill.amount for fill in filled.fills) == Decimal("3.5")


def test_no_level_is_traded_twice_until_its_size_changes() -> None:
    """Neither behind the top nor once it is the top itself, nor as a level behind a better top again."""
    market = quoted()
    first = market.arrive(order("2"), book())
    second = market.arrive(order("2"), book())
    as_top = market.quoted(ask("101", "2.0")) or market.arrive(order("1"), book(ASKS[1:])).fills
    better = market.quoted(ask("100", "1")) or market.arrive(order("9", "101"), book()).fills
    changed = market.arrive(order("9", "101"), book([("100", "1"), ("101", "3")])).fills

    assert said(first.fills) == [("1", "100"), ("1", "101")]
    assert said(second.fills) == [("1", "101"), ("0.5", "102.5"), ("0.5", "104")]
    assert said(as_top) == [("1", "104")]
    assert said(better) == [("1", "100")]  # the book without it showed that it was gone
    assert said(changed) == [("3", "101")]


def test_a_level_that_was_gone_is_a_new_one() -> None:
    """A worse top shows that the venue has none of the better levels any more."""
    market = quoted()
    market.arrive(order("2"), book())
    market.quoted(ask("102.5", "0.5"))
    market.quoted(ask("101", "2"))

    assert said(market.arrive(order("9"), None).fills) == [("2", "101")]


def test_of_very_many_levels_the_newest_are_remembered() -> None:
    """The memory is bounded; what was taken last is what might be displayed again."""
    taken, size = Taken(), Decimal(2)
    for price in range(1, 1001):
        taken.note("one", Decimal(price), size, Decimal(1))
    remaining = [taken.remaining("one", Decimal(price), size) for price in range(1, 1001)]

    assert remaining == [size] * 600 + [Decimal(1)] * 400


def test_what_the_top_traded_is_no_level_again() -> None:
    """A size of which a part was taken at the top moves behind a better price."""
    market = quoted("101", "2")
    market.arrive(order("2"), book(ASKS[1:]))
    market.quoted(ask("100", "1"))
    arrival = market.arrive(order("9", "102.5"), book())

    assert said(arrival.fills) == [("1", "100"), ("0.5", "102.5")]


def test_without_the_book_of_the_serving_source_only_the_top_trades() -> None:
    """Nor for an order that may not walk, nor behind an unknown size, which is unlimited."""
    top = [("1", "100")]

    assert said(quoted().arrive(order("3"), None).fills) == top
    assert said(quoted().arrive(order("3"), book(source="two")).fills) == top
    assert said(quoted().arrive(order("3", walks=False), book()).fills) == top
    assert said(quoted(size=None).arrive(order("3"), book()).fills) == [("3", "100")]


def test_a_book_is_looked_at_only_if_the_top_is_not_enough() -> None:
    """Most orders are smaller; behind a top at or above its limit nothing is for this one."""
    market = quoted()

    assert market.book_of(order("3")) == "one"
    assert market.book_of(order("3", "100.1")) == "one"
    assert market.book_of(order("3", "100")) is None
    assert market.book_of(order("1")) is None
    assert market.book_of(order("3", "99")) is None
    assert market.book_of(order("3", walks=False)) is None
    assert quoted(size=None).book_of(order("3")) is None
    assert Market().book_of(order("3")) is None


def test_a_book_ahead_of_the_published_quote_does_not_improve_it() -> None:
    """Only what everybody could see is traded at the top; levels better than that are left alone."""
    ahead: list[Level] = [("99", "5"), *ASKS]

    assert said(quoted().arrive(order("3"), book(ahead)).fills) == [("1", "100"), ("2", "101")]


SIZES = st.integers(1, 5)
ORDERS = st.lists(st.tuples(SIZES, st.one_of(st.none(), st.integers(100, 108))), min_size=1, max_size=12)


@given(st.dictionaries(st.integers(100, 108), SIZES, min_size=1), ORDERS)
def test_together_orders_get_what_is_displayed_and_no_more(
    sizes: dict[int, int], orders: list[tuple[int, int | None]]
) -> None:
    """By a recomputation that takes each order's amount from the cheapest sizes left."""
    prices = sorted(sizes)
    market = quoted(str(prices[0]), str(sizes[prices[0]]))
    asks = [(str(price), str(sizes[price])) for price in prices]
    left = dict(sizes)
    for amount, limit in orders:
        got = market.arrive(order(str(amount), None if limit is None else str(limit)), book(asks)).fills
        expected, rest = [], amount
        for price in prices:
            take = min(rest, left[price]) if limit is None or price <= limit else 0
            if take:
                expected.append((str(take), str(price)))
                left[price] -= take
                rest -= take

        assert said(got) == expected
