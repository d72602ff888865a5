"""Order by the venue's own keys: nothing twice, nothing backwards, a count begun anew is followed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.book import Sequence

S = 1_000_000_000


def test_order_is_the_venues_own() -> None:
    """A key that is not greater than every one before is refused."""
    sequence = Sequence()
    accepted = [sequence.accepts(key, 1, 0) for key in (5, 5, 4, 6, 6, 100, 7, 101)]

    assert accepted == [True, False, False, True, False, True, False, True]


def test_new_connection_continues_the_keys() -> None:
    """What a new connection repeats of the old one is dropped; what is newer is taken at once."""
    sequence = Sequence()
    sequence.accepts(100, 1, 0)

    assert [sequence.accepts(key, 2, S) for key in (99, 100, 101)] == [False, False, True]


def test_new_connection_whose_keys_stay_behind_for_5_s_is_followed() -> None:
    """A venue that began its count anew is noticed after 5 s, and followed from there."""
    sequence = Sequence()
    sequence.accepts(1000, 1, 0)
    early = [sequence.accepts(key, 2, 10 * S + key * S) for key in range(1, 6)]
    late = [sequence.accepts(key, 2, 10 * S + key * S) for key in (6, 7)]

    assert early == [False] * 5
    assert late == [True, True]
    assert not sequence.accepts(7, 2, 30 * S)


def test_one_connection_never_resets_its_own_keys() -> None:
    """Old keys on the connection that gave newer ones stay old for ever."""
    sequence = Sequence()
    sequence.accepts(1000, 1, 0)

    assert not any(sequence.accepts(key, 1, key * S) for key in range(1, 60))


def test_repeats_on_a_new_connection_are_no_new_count() -> None:
    """A quiet instrument's snapshot sent again and again is the same old one, however long it goes on."""
    sequence = Sequence()
    sequence.accepts(1000, 1, 0)
    same = [sequence.accepts(1000, 2, at * S) for at in range(1, 60)]
    older = [sequence.accepts(900, 3, at * S) for at in range(60, 120)]
    each_connection = [sequence.accepts(900, at, at * S) for at in range(120, 130)]

    assert not any(same + older + each_connection)


def test_older_connection_never_resets_the_keys() -> None:
    """While two connections overlap, only the newer one may begin the count anew."""
    sequence = Sequence()
    sequence.accepts(10, 1, 0)
    sequence.accepts(1000, 2, S)

    assert not any(sequence.accepts(key, 1, key * S) for key in range(11, 60))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 4 * S)), max_size=40))
def test_accepted_keys_grow(arrivals: list[tuple[int, int]]) -> None:
    """Within 5 s no order of arrival over any number of connections lets a key through twice or backwards."""
    sequence = Sequence()
    accepted = [key for number, (key, at) in enumerate(arrivals) if sequence.accepts(key, number // 5, at)]

    assert accepted == sorted(set(accepted))
