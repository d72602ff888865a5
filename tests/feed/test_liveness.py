"""Whether a connection is live or stale, by the clock alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.liveness import Liveness

S = 1_000_000_000


def opened() -> Liveness:
    """Return the liveness of a connection opened at 0 s that is stale after 5 s."""
    liveness = Liveness(5 * S)
    liveness.opened(0)
    return liveness


def test_an_attempt_is_never_silent() -> None:
    """Until a connection is open its venue cannot send anything: the attempt has its own time limit."""
    liveness = Liveness(5 * S)

    assert liveness.state == "connecting"
    assert not liveness.is_silent(100 * S)
    assert not liveness.is_overdue(100 * S)


def test_data_makes_live_and_silence_stale_and_as_much_again_overdue() -> None:
    """Only changes are reported; data makes a stale connection live again."""
    liveness = opened()
    changes = [liveness.acknowledged(), liveness.data(1 * S), liveness.data(2 * S), liveness.acknowledged()]
    silent = [liveness.is_silent(7 * S - 1), liveness.is_silent(7 * S), liveness.silence(all_refused=False)]
    overdue = [liveness.is_overdue(12 * S - 1), liveness.is_overdue(12 * S)]
    state, reason = liveness.state, liveness.reason
    back = liveness.data(13 * S)

    assert changes == [True, True, False, False]
    assert silent == [False, True, True]
    assert overdue == [False, True]
    assert (state, reason) == ("stale", "no data for 5 s")
    assert back
    assert (liveness.state, liveness.reason, liveness.live_ns) == ("live", None, 12 * S)


@pytest.mark.parametrize(
    ("acknowledged", "all_refused", "reason"),
    [
        (True, False, "no data for 5 s"),
        (False, False, "neither data nor acknowledgement for 5 s"),
        (False, True, "every instrument refused, and no data for 5 s"),
    ],
)
def test_the_reason_says_what_is_missing(acknowledged: bool, all_refused: bool, reason: str) -> None:
    """A venue that acknowledged but sends nothing differs from one that does not answer, or refuses."""
    liveness = opened()
    if acknowledged:
        liveness.acknowledged()
    liveness.silence(all_refused=all_refused)

    assert liveness.reason == reason


def test_answers_postpone_staleness_only_until_the_first_data() -> None:
    """A venue that processes many subscriptions is not silent; one that only repeats answers is."""
    liveness = opened()
    liveness.answered(4 * S)
    before = liveness.is_silent(8 * S)
    liveness.data(8 * S)
    liveness.answered(12 * S)

    assert not before
    assert liveness.is_silent(13 * S)


@given(
    st.lists(st.tuples(st.integers(0, 4 * S), st.sampled_from(["data", "answer", "acknowledged", "look"])))
)
def test_live_and_stale_follow_from_the_time_of_the_last_data(steps: list[tuple[int, str]]) -> None:
    """Checked often, a connection is stale after 5 s without data, and live again with the next."""
    liveness, now, data, heard = opened(), 0, None, 0
    for pause, what in steps:
        now += pause
        if what == "data":
            liveness.data(now)
            data = heard = now
        elif what == "answer":
            liveness.answered(now)
            heard = heard if data is not None else now
        elif what == "acknowledged":
            liveness.acknowledged()
        elif liveness.is_silent(now):
            assert now - heard >= 5 * S
            liveness.silence(all_refused=False)
        else:
            assert liveness.state == "stale" or now - heard < 5 * S
        assert (liveness.state == "live") <= (data is not None)
        assert liveness.is_overdue(now) == (liveness.state == "stale" and now - heard >= 10 * S)
