"""Query parameters: unknown ones are refused by name, times are accepted in several formats."""

from __future__ import annotations

import pytest
from flask import Flask

from crypto_stream.gateway.web.parameters import parse_time, query_parameters
from crypto_stream.gateway.web.problems import ProblemError

NOON = 1_769_860_800_000  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        (str(NOON), NOON),
        ("0", 0),
        ("1000", 1000),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00z", NOON),
        ("2026-01-31T12:00", NOON),
        ("2026-01-31 12:00:00", NOON),
        ("2026-01-31T12:00:00.250Z", NOON + 250),
        ("2026-01-31T14:00:00+02:00", NOON),
        ("2026-01-31T14:00:00 02:00", NOON),
        ("2026-01-31T07:00:00-0500", NOON),
        ("2026-01-31", NOON - 43_200_000),
    ],
)
def test_a_time_is_ms_or_iso_8601(text: str, ms: int) -> None:
    """A plus that a query turned into a space is understood; without a zone it is UTC."""
    assert parse_time("from", text) == ms


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1769860800", "seconds"),
        ("1769860800000000", "microseconds"),
        ("1769860800000000000", "nanoseconds"),
        ("2026-02-30", "not a time"),
        ("2026-01-31T25:00", "not a time"),
        ("yesterday", "whole number"),
        ("-1", "whole number"),
        ("", "whole number"),
    ],
)
def test_a_time_in_seconds_is_refused_with_a_hint(text: str, said: str) -> None:
    """Instead of an empty response."""
    with pytest.raises(ProblemError, match=said) as refused:
        parse_time("to", text)

    assert (refused.value.status, refused.value.more) == (400, {"parameter": "to"})


def test_unknown_parameters_are_refused_by_name_and_the_underscore_is_ignored() -> None:
    """The refusal lists the known ones."""
    app = Flask(__name__)
    with app.test_request_context("/?_=17&limit=5"):
        assert query_parameters({"limit"}) == {"limit": "5"}
    with app.test_request_context("/?symbols=a,b"), pytest.raises(ProblemError, match="/courses/SYMBOL"):
        query_parameters()
    with app.test_request_context("/?lmit=5"), pytest.raises(ProblemError, match="known: limit") as refused:
        query_parameters({"limit"})

    assert refused.value.more == {"parameter": "lmit"}
