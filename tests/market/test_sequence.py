"""Order by the venue's own keys: nothing twice, nothing backwards, a count begun anew is followed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.sequence import Sequence, TradeSequence

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


def test_a_count_that_begins_anew_within_a_connection_is_followed_after_5_s() -> None:
    """A key that jumped ahead, or a count begun anew, silences nothing for longer."""
    sequence = Sequence()
    sequence.accepts(2**62, 1, 0)
    taken = [sequence.accepts(key, 1, key * S) for key in range(1, 20)]

    assert taken == [False] * 5 + [True] * 14


def test_stray_old_keys_within_a_connection_stay_old() -> None:
    """While newer keys come in between, what lies behind them is old, however long that goes on."""
    sequence = Sequence()
    taken = []
    for step in range(60):
        assert sequence.accepts(1000 + step, 1, step * S)
        taken.append(sequence.accepts(step, 1, step * S + 1))

    assert not any(taken)


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


def judged(sequence: TradeSequence, *keys: int, generation: int = 1, at: int = 0) -> list[str]:
    """Return what each key is, all at one moment."""
    return [sequence.judge(key, generation, at) for key in keys]


def test_trades_out_of_order_are_taken_once() -> None:
    """Ids 1, 3, 2, 4 are four trades; what comes again is none."""
    sequence = TradeSequence()

    assert judged(sequence, 1, 3, 2, 4, 2, 3, 5) == ["newer", "newer", "late", "newer", "old", "old", "newer"]


def test_a_trades_id_that_jumps_ahead_costs_no_trade() -> None:
    """The ids that follow are late for 5 s, then the count is followed; each is taken once."""
    sequence = TradeSequence()
    judged(sequence, *range(1000, 1400))
    judged(sequence, 2**62)
    after = [sequence.judge(key, 1, (key - 1400) * S) for key in range(1400, 1412)]
    again = judged(sequence, *range(1395, 1412), at=20 * S)

    assert after == ["late"] * 5 + ["newer"] * 7
    assert set(again) == {"old"}


def test_ids_that_begin_anew_are_followed() -> None:
    """After 5 s; then again each is taken once, in whatever order."""
    sequence = TradeSequence()
    judged(sequence, *range(10_000, 11_000))
    early = [sequence.judge(key, 1, key * S) for key in (1, 3, 5)]
    late = [sequence.judge(key, 1, (key + 5) * S) for key in (7, 9, 8, 9, 10)]

    assert early == ["old"] * 3
    assert late == ["newer", "newer", "late", "old", "newer"]


@given(st.permutations(range(1, 60)))
def test_any_order_of_arrival_takes_each_trade_once(keys: list[int]) -> None:
    """As many as the window remembers may come in any order, each of them twice."""
    sequence = TradeSequence()
    taken = [key for key in (*keys, *keys) if sequence.judge(key, 1, 0) != "old"]

    assert sorted(taken) == list(range(1, 60))
