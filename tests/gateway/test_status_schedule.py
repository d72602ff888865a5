"""When `status` is sent: soon after a change, however often something changes, and regularly."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.messages import Beat, Quotes
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.status_schedule import StatusSchedule
from tests.gateway.engine import INSTRUMENTS, quote
from tests.gateway.test_mirror import SOURCE, full

TICK_S = 0.25


def darken(mirror: Mirror, at: int, stale: bool, now_s: float) -> None:
    """Make the quote of one instrument stale or live."""
    seq = mirror.seq + 1
    mirror.receive(Quotes(seq, [quote(INSTRUMENTS[at], seq, stale=stale)]), now_s)


def test_what_changes_after_a_quiet_second_is_sent_at_once() -> None:
    """A verdict, and a pin; without a change nothing is sent for five seconds."""
    mirror = full()
    schedule = StatusSchedule(mirror)

    quiet = [schedule.due(0.0), schedule.due(0.25), schedule.due(1.0), schedule.due(4.75)]
    darken(mirror, 0, True, 4.75)
    changed = [schedule.due(4.75), schedule.due(5.0)]
    mirror.receive(Beat(1, [SOURCE], "binance", 0.0), 6.0)
    pinned = [schedule.due(6.0), schedule.due(10.75), schedule.due(11.0)]

    assert quiet == [True, False, False, False]
    assert changed == [True, False]
    assert pinned == [True, False, True]


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 1), st.booleans())), max_size=80))
def test_at_most_once_a_second_and_never_older_than_that(changes: list[tuple[int, bool] | None]) -> None:
    """However often instruments become stale and live; what is shown last is what is true."""
    mirror = full()
    schedule = StatusSchedule(mirror)
    sent_s: list[float] = []
    shown = shown_s = None
    for tick, change in enumerate([*changes, None, None, None, None]):
        now_s = tick * TICK_S
        if change is not None:
            darken(mirror, *change, now_s)
        if schedule.due(now_s):
            sent_s.append(now_s)
            shown = mirror.verdict()
        if shown == mirror.verdict():
            shown_s = now_s
        assert shown_s is not None
        assert now_s - shown_s < 1.0

    assert shown == mirror.verdict()
    assert all(1.0 <= later - earlier <= 5.0 for earlier, later in pairwise(sent_s))
