"""When to try again: jittered delays, the venue's connect budget, what a refused upgrade means."""

from __future__ import annotations

import bisect
import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.backoff import Backoff
from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.handler import Budget
from crypto_stream.feed.retry import ConnectBudget, refusal

NOW_S = datetime(2026, 10, 21, 7, 27, tzinfo=UTC).timestamp()
VENUES_DATE = "Wed, 21 Oct 2026 07:27:50 GMT"
BOUNDS = [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_bounds_double_up_to_a_minute() -> None:
    """The longest possible delays are 0.5 s, doubled up to 60 s."""
    backoff = Backoff(0.5, 60.0)

    assert [backoff.next_delay() for _ in BOUNDS] == BOUNDS


@given(st.integers(0, 2**32), st.lists(st.booleans(), max_size=30))
def test_delays_have_full_jitter_and_begin_anew_after_data(seed: int, resets: list[bool]) -> None:
    """Every delay lies between 0 and its bound; a reset begins at the first bound again."""
    backoff = Backoff(0.5, 60.0, random.Random(seed).random)
    step = 0
    for reset in resets:
        if reset:
            backoff.reset()
            step = 0
        delay = backoff.next_delay()
        bound = BOUNDS[min(step, len(BOUNDS) - 1)]
        step += 1

        assert 0 <= delay < bound


def test_jitter_uses_the_whole_span() -> None:
    """Many clients cut at once come back spread over the whole span, not at its end."""
    draws = random.Random(1)
    delays = [Backoff(0.5, 60.0, draws.random).next_delay() for _ in range(200)]

    assert min(delays) < 0.05
    assert max(delays) > 0.45


@given(
    st.integers(1, 5),
    st.integers(1, 20),
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
)
def test_no_window_holds_more_attempts_than_the_budget(
    attempts: int, seconds: int, pauses: list[int]
) -> None:
    """Whoever waits as told never makes more attempts in any window than allowed, nor waits too long."""
    budget = ConnectBudget(Budget(attempts, float(seconds)))
    now, made = 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait = budget.delay(now)
        before = len(made) - bisect.bisect_right(made, now - seconds)
        assert (wait > 0) == (before >= attempts)
        now += wait
        assert budget.delay(now) == 0
        budget.spend(now)
        made.append(now)

    for moment in made:
        assert sum(moment - seconds < other <= moment for other in made) <= attempts


@pytest.mark.parametrize(
    ("status", "headers", "seconds", "next_host", "breaker"),
    [
        (429, {}, 30, False, False),
        (429, {"Retry-After": "35"}, 35, False, False),
        (418, {}, 120, False, True),
        (418, {"Retry-After": "600"}, 600, False, True),
        (403, {}, 120, True, True),
        (403, {"Retry-After": "7"}, 7, True, True),
        (451, {}, 600, True, False),
        (503, {"Retry-After": "12"}, 12, False, False),
        (418, {"Retry-After": "9" * 400}, 3 * 24 * 3600, False, True),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60, False, False),
        (429, {"Retry-After": "Wed, 21 Oct 2026 08:28:00 +0100"}, 60, False, False),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": VENUES_DATE}, 10, False, False),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "soon"}, 60, False, False),
        (418, {"Retry-After": "Sat, 21 Oct 2028 07:28:00 GMT"}, 3 * 24 * 3600, False, True),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:26:00 GMT"}, 30, False, False),
        (429, {"Retry-After": "Wed, 21 Oct 99999 07:28:00 GMT"}, 30, False, False),
        (429, {"Retry-After": "tomorrow"}, 30, False, False),
        (429, {"Retry-After": "-5"}, 30, False, False),
        (429, {"Retry-After": "٣"}, 30, False, False),
        (429, {"Retry-After": "0"}, 30, False, False),
    ],
)
def test_refusals_that_say_when_to_come_back(
    status: int, headers: dict[str, str], seconds: float, next_host: bool, breaker: bool
) -> None:
    """A stated time is obeyed, up to three days; without one each status has its own."""
    error = refusal(status, headers, NOW_S)

    assert isinstance(error, RetryLaterError)
    assert (error.seconds, error.next_host, error.breaker) == (seconds, next_host, breaker)
    assert str(status) in str(error)


@given(st.text(), st.text(), st.sampled_from([429, 503]))
def test_whatever_a_venue_says_of_time_is_read_or_left(after: str, date: str, status: int) -> None:
    """Nonsense never stops a feed, and never for longer than three days."""
    error = refusal(status, {"Retry-After": after, "Date": date}, NOW_S)

    assert not isinstance(error, RetryLaterError) or 0 < error.seconds <= 3 * 24 * 3600


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503])
def test_other_refusals_are_ordinary_failures(status: int) -> None:
    """What says nothing of time is tried again with the usual delays."""
    error = refusal(status, {}, NOW_S)

    assert type(error) is VenueError
    assert str(error) == f"HTTP {status} instead of a WebSocket"
