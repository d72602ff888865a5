"""Refused upgrades: how long to wait, and for which hosts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.refusals import refusal

NOW_S = datetime(2026, 10, 21, 7, 27, tzinfo=UTC).timestamp()
VENUES_DATE = "Wed, 21 Oct 2026 07:27:50 GMT"


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
def test_refusals_with_a_delay(
    status: int, headers: dict[str, str], seconds: float, next_host: bool, breaker: bool
) -> None:
    """A stated time is respected, up to three days; otherwise each status has its own."""
    error = refusal(status, headers, NOW_S)

    assert isinstance(error, RetryLaterError)
    assert (error.seconds, error.next_host, error.breaker) == (seconds, next_host, breaker)
    assert str(status) in str(error)


@given(st.text(), st.text(), st.sampled_from([429, 503]))
def test_any_retry_after_is_parsed_or_ignored(after: str, date: str, status: int) -> None:
    """Invalid values never stop a feed, and no value for longer than three days."""
    error = refusal(status, {"Retry-After": after, "Date": date}, NOW_S)

    assert not isinstance(error, RetryLaterError) or 0 < error.seconds <= 3 * 24 * 3600


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503])
def test_other_refusals_are_ordinary_failures(status: int) -> None:
    """Refusals without a time are retried with the usual delays."""
    error = refusal(status, {}, NOW_S)

    assert type(error) is VenueError
    assert str(error) == f"HTTP {status} instead of a WebSocket"
