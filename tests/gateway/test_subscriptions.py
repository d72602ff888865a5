"""Sets of symbols with "all", and the supported intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.gateway.delivery.subscriptions import EVERYTHING, INTERVALS_MS, Symbols, round_up

UNIVERSE = ["a", "b", "c", "later"]
SETS = st.builds(Symbols, st.booleans(), st.frozensets(st.sampled_from(UNIVERSE)))


@given(SETS, SETS)
def test_symbols_behave_like_sets(left: Symbols, right: Symbols) -> None:
    """Union and difference agree with Python's own sets in every universe."""
    ours, theirs = set(left.among(UNIVERSE)), set(right.among(UNIVERSE))

    assert set(left.plus(right).among(UNIVERSE)) == ours | theirs
    assert set(left.minus(right).among(UNIVERSE)) == ours - theirs


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
