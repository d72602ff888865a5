"""Sets of symbols with "all", and the supported intervals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.gateway.subscriptions import (
    EVERYTHING,
    INTERVALS_MS,
    Subscription,
    Symbols,
    round_up,
)

UNIVERSE = {"c": 0, "a": 1, "later": 2, "b": 3}
SETS = st.builds(Symbols, st.booleans(), st.frozensets(st.sampled_from([*UNIVERSE, "unknown"])))


@given(SETS, SETS)
def test_symbols_behave_like_sets(left: Symbols, right: Symbols) -> None:
    """Union and difference agree with Python's own sets in every universe."""
    ours, theirs = set(left.among(UNIVERSE)), set(right.among(UNIVERSE))

    assert set(left.plus(right).among(UNIVERSE)) == ours | theirs
    assert set(left.minus(right).among(UNIVERSE)) == ours - theirs


@given(SETS)
def test_symbols_are_listed_in_the_order_of_the_instruments(symbols: Symbols) -> None:
    """Each known symbol of the set is listed once, at its place; unknown ones are left out."""
    assert symbols.among(UNIVERSE) == [symbol for symbol in UNIVERSE if symbols.has(symbol)]


class Unread(dict[str, int]):
    """A mapping that may not be read from one end to the other."""

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("every known symbol was looked at")


def test_a_few_symbols_cost_nothing_for_all_others() -> None:
    """They are looked up among the known ones."""
    few = Symbols(False, frozenset({"b", "a", "unknown"}))

    assert few.among(Unread(UNIVERSE)) == ["a", "b"]
    assert Subscription(few, topics=(("best", ""),)).keys(Unread(UNIVERSE)) == [("best", "a"), ("best", "b")]


def test_all_includes_future_symbols_but_not_excluded_ones() -> None:
    """`all` minus one symbol is everything else, future instruments included."""
    rest = EVERYTHING.minus(Symbols(False, frozenset({"btcusdt"})))

    assert rest.has("an instrument of tomorrow")
    assert not rest.has("btcusdt")


@pytest.mark.parametrize(
    ("asked", "served"), [(0, 0), (1, 100), (100, 100), (101, 250), (1000, 1000), (5000, 5000), (99999, 5000)]
)
def test_intervals_are_rounded_up(asked: int, served: int) -> None:
    """The next supported interval is used, the longest for anything longer."""
    assert round_up(asked) == served
    assert served in INTERVALS_MS
