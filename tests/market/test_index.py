"""The index: a table of attacks, properties, and a recomputation with fractions."""

from __future__ import annotations

import statistics
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crypto_stream.market.index import (
    Index,
    IndexRule,
    finest_tick,
    index,
    lost,
    round_to,
    series_name,
    symbol_of_series,
    weights,
    without_ages,
)
from crypto_stream.market.instruments import pair
from crypto_stream.market.prices import INVERTED, LeftOut, Prices, SourcePrices

RULE = IndexRule(3, Decimal(1))
NOW_MS = 1_700_000_000_000


def at(source: str, mid: str | Decimal, volume: str | None = "10", spread: str = "0.02") -> SourcePrices:
    """Make a source with this middle of bid and ask."""
    half = Decimal(spread) / 2
    bid, ask = Decimal(mid) - half, Decimal(mid) + half
    return SourcePrices(source, f"{bid:f}", "1", f"{ask:f}", "1", 5, f"{mid}", 9, volume)


def of(*live: SourcePrices, rule: IndexRule = RULE, left_out: tuple[LeftOut, ...] = ()) -> Index:
    """Return the index of these sources, in ticks of a cent."""
    return index(Prices("btcusdt", live, left_out), rule, ["0.1", "0.01"], NOW_MS)


def scaled(source: SourcePrices, factor: str) -> SourcePrices:
    """Multiply all prices of a source."""
    bid, ask, price = (
        f"{Decimal(text or 0) * Decimal(factor):f}" for text in (source.bid, source.ask, source.price)
    )
    return source._replace(bid=bid, ask=ask, price=price)


A, B, C, D, E = at("a", "100.00"), at("b", "100.10"), at("c", "99.90"), at("d", "100.05"), at("e", "99.95")
SWAPPED = A._replace(bid=A.ask, ask=A.bid)
EMPTY = SourcePrices("a", "0", "0", "0", "0", 5, "0", 5, "10")
FAR = "from the median"

# What the sources say, the index, who is left out, and a word of the reason why.
ATTACKS: dict[str, tuple[tuple[SourcePrices, ...], str | None, str, str]] = {
    "nothing is wrong": ((A, B, C, D, E), "100.00", "", ""),
    "one x 10": ((scaled(A, "10"), B, C, D, E), "100.00", "a", FAR),
    "one ÷ 10": ((scaled(A, "0.1"), B, C, D, E), "100.00", "a", FAR),
    "one of three x 10": ((scaled(A, "10"), B, C), None, "a", FAR),
    "one of four x 10": ((scaled(A, "10"), B, C, D), "100.05", "a", FAR),
    "one just outside the band": ((at("a", "101.10"), B, C, D, E), "100.00", "a", FAR),
    "one just inside the band": ((at("a", "100.90"), B, C, D, E), "100.05", "", ""),
    "sides swapped": ((SWAPPED, B, C, D, E), "100.00", "a", INVERTED),
    "crossed": ((at("a", "100", spread="-5"), B, C, D, E), "100.00", "a", INVERTED),
    "zero": ((EMPTY, B, C, D, E), "100.00", "a", "neither"),
    "nothing but a trade": ((SourcePrices("a", price="100.00"), B, C, D, E), "100.00", "", ""),
    "a wild trade": ((SourcePrices("a", price="5"), B, C, D, E), "100.00", "a", FAR),
    "all the volume": ((A._replace(volume="1e30"), B, C, D, E), "100.00", "", ""),
    "all the volume at the edge": ((at("a", "100.9", "1e30"), B, C, D, E), "100.10", "", ""),
    "two of five x 10": ((scaled(A, "10"), scaled(B, "10"), C, D, E), "99.95", "a b", FAR),
    "half of them x 10": ((scaled(A, "10"), scaled(B, "10"), C, D), None, "a b c d", FAR),
    "two against two": ((A, B, scaled(C, "2"), scaled(D, "2")), None, "a b c d", FAR),
    "half of them in different ways": (
        (scaled(A, "10"), scaled(B, "0.1"), C, D, at("e", "100"), at("f", "3000")),
        "100.00",
        "a b f",
        FAR,
    ),
    "two of three gone": ((A,), None, "", ""),
    "all gone": ((), None, "", ""),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    """The index is that of the sane sources, or it is stale; whoever is left out is named with the reason."""
    live, price, names, reason = ATTACKS[name]
    found = of(*live)

    assert found.price == price
    assert found.stale == (price is None) == (found.reason is not None)
    assert [one.source for one in found.left_out] == names.split()
    assert all(reason in one.reason for one in found.left_out)
    assert {one.source for one in found.constituents} == {one.source for one in live} - set(names.split())
    assert found.time == (None if price is None else NOW_MS)


def test_a_value_says_everything() -> None:
    """Each constituent's exact price, where it comes from, its weight and age."""
    trades = SourcePrices("t", price="100.000", price_age_ms=77, volume=None)
    found = of(
        at("a", "100.005", "2.50"), B, at("c", "99.9", "4"), trades, left_out=(LeftOut("x", "halted"),)
    )

    assert [(one.source, one.price, one.by, one.weight, one.age_ms) for one in found.constituents] == [
        ("a", "100.005", "mid", "2.5", 5),
        ("b", "100.1", "mid", "8.1", 5),  # nine tenths of 2.5 + 4 + 2.5
        ("c", "99.9", "mid", "4", 5),
        ("t", "100", "trade", "2.5", 77),  # its volume is unknown: it weighs as little as the lightest
    ]
    assert found.left_out == [LeftOut("x", "halted")]
    assert found.price == "100.00"


def test_below_the_minimum_the_reason_counts() -> None:
    """How many there are, and how many are needed."""
    assert of(A, B).reason == "2 sources are usable, 3 needed"
    assert of(A).reason == "1 source is usable, 3 needed"
    reason = of(A, B, scaled(C, "10")).reason
    assert reason == "2 sources are within 1 % of the median, 3 needed"
    assert of(A, rule=IndexRule(1, Decimal(1))).price == "100.00"


def test_the_last_value_of_an_unreachable_engine_is_stale() -> None:
    """Its price and time remain; whose they were says nothing any more."""
    found = lost(of(A, B, C), "the engine is unreachable")

    assert (found.price, found.time, found.stale) == ("100.00", NOW_MS, True)
    assert (found.reason, found.constituents, found.left_out) == ("the engine is unreachable", [], [])


def test_ages_alone_are_no_change() -> None:
    """Nor is the time."""
    later = index(Prices("btcusdt", [one._replace(top_age_ms=99) for one in (A, B, C)]), RULE, ["0.01"], 1)

    assert without_ages(later) == without_ages(of(A, B, C))
    assert without_ages(later) != without_ages(of(A, B, D))


def test_the_series_of_an_index_is_no_symbol() -> None:
    """Its name leads back to the symbol."""
    assert symbol_of_series(series_name("btcusdt")) == "btcusdt"
    assert symbol_of_series("btcusdt") is None
    with pytest.raises(ValueError, match="not a pair"):
        pair(series_name("btcusdt"))


@pytest.mark.parametrize(
    ("number", "tick", "rounded"),
    [
        ("100.005", "0.01", "100.00"),
        ("100.015", "0.01", "100.02"),
        ("100.0050000001", "0.01", "100.01"),
        ("100.25", "0.5", "100.0"),
        ("100.75", "0.5", "101.0"),
        ("7", "5", "5"),
        ("0.00000123456", "1e-8", "0.00000123"),
    ],
)
def test_rounding_goes_to_a_multiple_of_the_tick(number: str, tick: str, rounded: str) -> None:
    """A tie to the even multiple, and with all digits of the tick."""
    assert round_to(Decimal(number), Decimal(tick)) == rounded


@pytest.mark.parametrize(
    ("ticks", "tick"),
    [
        (["0.1", "0.01", "0.5"], "0.01"),
        (["0", "0.1"], "0.1"),
        (["5000", "0.1"], "0.1"),
        (["5000"], "0.001"),
        ([], "0.001"),
    ],
)
def test_the_finest_tick_counts(ticks: list[str], tick: str) -> None:
    """Without a plausible one, the digits that the sources' own numbers need."""
    assert finest_tick(ticks, ["100.25", "99.12500", "7"], Decimal(100)) == Decimal(tick)
    assert finest_tick([], ["1300", "200"], Decimal(1000)) == 1


POSITIVE = st.decimals("0.0001", "99999", places=4)
NEAR = st.decimals("99.6", "100.4", places=3)
VOLUMES = st.one_of(st.none(), st.just("0"), st.decimals("0.001", "1e9", places=3).map(str))


@given(st.lists(VOLUMES, min_size=3, max_size=8))
def test_no_source_has_half_of_the_weight(volumes: list[str | None]) -> None:
    """The heaviest is reduced, the others weigh what they say."""
    found = [Fraction(weight) for weight in weights(volumes)]
    known = [Fraction(volume) for volume in volumes if volume is not None and Fraction(volume) > 0]
    lightest = min(known, default=Fraction(1))
    said = [Fraction(volume or 0) or lightest for volume in volumes]

    assert all(0 < 2 * weight < sum(found) for weight in found)
    changed = [
        number for number, (before, after) in enumerate(zip(said, found, strict=True)) if before != after
    ]
    assert len(changed) <= 1
    assert all(said[number] == max(said) and found[number] >= sorted(said)[-2] for number in changed)


@given(
    st.lists(st.tuples(NEAR, VOLUMES), min_size=3, max_size=7),
    st.decimals("0.0001", "1000000", places=4),
    VOLUMES,
)
def test_one_source_moves_the_index_no_further_than_the_others_are_apart(
    sane: list[tuple[Decimal, str | None]], price: Decimal, volume: str | None
) -> None:
    """Whatever it says, and whatever volume it claims: the index lies between prices of the others."""
    others = [at(f"s{number}", mid, claimed) for number, (mid, claimed) in enumerate(sane)]
    found = of(at("bad", price, volume, spread="0.0001"), *others)

    assert found.price is not None
    tick = Decimal("0.01")
    assert min(mid for mid, _ in sane) - tick < Decimal(found.price) < max(mid for mid, _ in sane) + tick


@given(
    st.lists(st.tuples(st.one_of(NEAR, POSITIVE), VOLUMES), max_size=7),
    st.integers(1, 4),
    st.sampled_from(["0.1", "1", "50"]),
)
def test_it_is_what_fractions_say(sources: list[tuple[Decimal, str | None]], minimum: int, band: str) -> None:
    """Recomputed from the definition, with numbers of another kind; rounded once."""
    assume(all(price > Decimal("0.01") for price, _ in sources))
    found = of(
        *(at(str(number), price, volume, "0.0001") for number, (price, volume) in enumerate(sources)),
        rule=IndexRule(minimum, Decimal(band)),
    )
    known = {str(number): Fraction(price) for number, (price, _) in enumerate(sources)}
    if len(known) < minimum:
        assert found.price is None
        return
    centre = statistics.median(known.values())
    near = {
        name: price for name, price in known.items() if abs(price - centre) <= centre * Fraction(band) / 100
    }
    assert [one.source for one in found.constituents] == list(near)
    if len(near) < minimum:
        assert found.price is None
        return
    weighed = {one.source: Fraction(one.weight) for one in found.constituents}
    # The lower and the upper weighted median: half of the weight or more lies on either side.
    total = sum(weighed.values())
    lower = min(price for price in near.values() if 2 * _below(near, weighed, price) >= total)
    upper = max(
        price for price in near.values() if 2 * (total - _below(near, weighed, price, equal=False)) >= total
    )
    exact = (lower + upper) / 2
    assert found.price is not None
    assert abs(Fraction(found.price) - exact) <= Fraction(1, 200)


def _below(
    prices: dict[str, Fraction], weighed: dict[str, Fraction], price: Fraction, *, equal: bool = True
) -> Fraction:
    """Sum the weights of all prices below `price`, of those equal to it too if `equal`."""
    counted = [name for name, one in prices.items() if one < price or (equal and one == price)]
    return sum((weighed[name] for name in counted), Fraction(0))
