"""The one price of a source, and who is far from the others: examples, and recomputations with fractions."""

from __future__ import annotations

import statistics
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.prices import (
    Priced,
    Sides,
    SourcePrices,
    far_from_median,
    median,
    only_side,
    priced,
    sides,
    weighted_median,
)

POSITIVE = st.decimals("0.0001", "99999", places=4)


@pytest.mark.parametrize(
    ("prices", "found"),
    [
        (SourcePrices("x", "99", "1", "102", "1", 5, "7", 9), ("100.5", "mid", 5)),
        (SourcePrices("x", "99", None, "102", None, 5, "7", 9), ("100.5", "mid", 5)),
        (SourcePrices("x", "99", "0", "102", "1", 5, "7", 9), ("7", "trade", 9)),
        (SourcePrices("x", "0", "1", "102", "1", 5, "7", 9), ("7", "trade", 9)),
        (SourcePrices("x", None, None, "102", "1", 5, "7", 9), ("7", "trade", 9)),
        (SourcePrices("x", "99", "1", "102", "0.0", 5, None, None), None),
        (SourcePrices("x", "102", "1", "99", "1", 5, "7", 9), None),  # its trades are no better than its book
        (SourcePrices("x", "-2", "1", "-1", "1", 5, "-1", 9), None),
        (SourcePrices("x", price="0"), None),
        (SourcePrices("x"), None),
    ],
)
def test_the_price_of_a_source_is_its_middle_or_its_last_trade(
    prices: SourcePrices, found: tuple[str, str, int] | None
) -> None:
    """With the age of what it comes from."""
    one = priced(prices)

    assert (one and (one.price, one.by, one.age_ms)) == (found and (Decimal(found[0]), *found[1:]))


def test_an_empty_side_is_no_side() -> None:
    """Zero, in any form, as price or size; a size that is not known says nothing."""
    assert sides(SourcePrices("x", "1.50", "0.000", "1.60", None)) == Sides(None, Decimal("1.6"))
    assert sides(SourcePrices("x", "0e-8", "1", None, "1")) == Sides(None, None)
    assert not sides(SourcePrices("x", "2", "0", "1", "1")).inverted
    assert not sides(SourcePrices("x", "1", "1", "1", "1")).inverted
    assert sides(SourcePrices("x", "2", "1", "1", "1")).inverted


@given(st.lists(POSITIVE, max_size=8), st.sampled_from(["0.01", "1", "5", "100"]))
def test_far_from_the_median_is_what_fractions_say(numbers: list[Decimal], percent: str) -> None:
    """The distance is compared exactly: the very edge is not far."""
    candidates = [Priced(str(at), number, "mid", 0) for at, number in enumerate(numbers)]
    found = far_from_median(candidates, Decimal(percent))
    exact = [Fraction(number) for number in numbers]

    for at, number in enumerate(exact):
        centre = statistics.median(exact)
        assert (str(at) in found) == (abs(number - centre) / centre > Fraction(percent) / 100)
    assert all("from the median" in reason for reason in found.values())


@pytest.mark.parametrize(
    ("prices", "found"),
    [
        (SourcePrices("x", "99", "1", "102", "1", 5, "7", 9), None),
        (SourcePrices("x", "99", "1", None, None, 5, "7", 9), "99"),
        (SourcePrices("x", "99", "1", "102", "0", 5, "7", 9), "99"),
        (SourcePrices("x", "0", "1", "102", "1", 5, "7", 9), "102"),
        (SourcePrices("x", price="7"), None),
    ],
)
def test_the_only_side_of_a_book(prices: SourcePrices, found: str | None) -> None:
    """The other one is empty."""
    one = only_side(prices)

    assert (one and one.price) == (found and Decimal(found))


def test_others_are_judged_but_do_not_decide() -> None:
    """Three prices at 100 make the median; however many others there are, they are not part of it."""
    candidates = [Priced(name, Decimal(100), "mid", 0) for name in ("a", "b", "c")]
    others = [Priced(name, Decimal(104 if name == "near" else 900), "mid", 0) for name in ("near", *"defg")]

    assert far_from_median(candidates, Decimal(5), others).keys() == {*"defg"}
    assert far_from_median([], Decimal(5), others) == {}


def test_the_reason_has_round_numbers() -> None:
    """At most five digits, no exponent, also of very small prices."""
    prices = {"a": "0.0000012", "b": "0.0000012", "c": "0.00000123456789", "d": "0.000012"}
    found = far_from_median(
        [Priced(name, Decimal(text), "mid", 0) for name, text in prices.items()], Decimal(5)
    )

    assert found == {"d": "its price 0.000012 is 885.8 % from the median 0.0000012173"}


@given(st.lists(POSITIVE, min_size=1, max_size=9))
def test_the_median_is_exact(numbers: list[Decimal]) -> None:
    """Of an even number the exact middle of the two central ones."""
    assert Fraction(median(numbers)) == statistics.median([Fraction(number) for number in numbers])


@given(st.lists(st.tuples(POSITIVE, st.integers(1, 9)), min_size=1, max_size=8))
def test_a_weight_of_n_counts_as_n_equal_numbers(weighed: list[tuple[Decimal, int]]) -> None:
    """The weighted median is the median of each number repeated as often as it weighs."""
    repeated = [Fraction(number) for number, weight in weighed for _ in range(weight)]
    found = weighted_median([(number, Decimal(weight)) for number, weight in weighed])

    assert Fraction(found) == statistics.median(repeated)
