"""A book by its levels: the best of each side, what is forgotten after a loss, its bound."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.levels import Levels

CHANGES = st.lists(
    st.tuples(st.booleans(), st.integers(1, 20), st.one_of(st.none(), st.integers(1, 9))), max_size=60
)


@given(CHANGES)
def test_the_top_is_the_best_of_what_is_left(changes: list[tuple[bool, int, int | None]]) -> None:
    """Whatever was put, replaced and removed: the highest bid, the lowest ask, as they were last written."""
    levels = Levels()
    left: dict[bool, dict[int, int]] = {True: {}, False: {}}
    with levels.changing(whole=True):
        for is_bid, price, size in changes:
            levels.put(f"{price}.0", None if size is None else f"{size}", is_bid=is_bid)
            left[is_bid].pop(price, None)
            if size is not None:
                left[is_bid][price] = size
    bid, ask = max(left[True], default=None), min(left[False], default=None)

    assert levels.top() == (
        bid and f"{bid}.0", bid and f"{left[True][bid]}", ask and f"{ask}.0", ask and f"{left[False][ask]}",
    )  # fmt: skip


def test_a_level_keeps_its_text_and_is_known_by_its_value() -> None:
    """100 and 1E2 are the same level; what the venue wrote last is shown."""
    levels = Levels()
    with levels.changing(whole=True):
        levels.put("100", "1", is_bid=True)
        levels.put("1E2", "2.50", is_bid=True)

    assert levels.top() == ("1E2", "2.50", None, None)
    assert Decimal("1E2") == 100


def test_a_book_is_requested_once_until_it_arrives() -> None:
    """Also at first; a loss after it has arrived needs another request."""
    levels = Levels()
    first, again = levels.must_be_requested(), levels.must_be_requested()
    with levels.changing(whole=True):
        levels.put("1", "1", is_bid=True)
    while_known = levels.must_be_requested()
    levels.lose()
    after_loss = levels.must_be_requested()
    levels.lose()
    after_another = levels.must_be_requested()
    levels.request_again()
    at_last = levels.must_be_requested()

    assert (first, again, while_known) == (True, False, False)
    assert (after_loss, after_another, at_last) == (True, False, True)


def test_a_frame_that_fails_loses_the_book() -> None:
    """Half of its changes may have been made."""
    levels = Levels()
    with pytest.raises(ValueError, match="half"), levels.changing(whole=False):
        raise ValueError("half")

    assert not levels.known
    assert levels.must_be_requested()


def test_a_whole_book_replaces_everything() -> None:
    """Levels that it does not contain are gone."""
    levels = Levels()
    with levels.changing(whole=True):
        levels.put("1", "1", is_bid=True)
        levels.put("2", "1", is_bid=False)
    with levels.changing(whole=True):
        levels.put("3", "1", is_bid=False)

    assert levels.top() == (None, None, "3", "1")


def test_a_side_has_a_bound() -> None:
    """A venue that never removed a level would fill our memory."""
    levels = Levels()
    with levels.changing(whole=True):
        for price in range(1, 1_001):
            levels.put(f"{price}", "1", is_bid=True)
    with pytest.raises(ValueError, match="1000 levels"), levels.changing(whole=False):
        levels.put("1001", "1", is_bid=True)

    assert not levels.known
