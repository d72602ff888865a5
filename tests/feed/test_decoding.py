"""Helpers of handlers: steps, first levels, prices of trades, compressed frames, requests by topic."""

from __future__ import annotations

import gzip

import pytest
from msgspec import Raw

from crypto_stream.feed.handler import (
    Topic,
    Wanted,
    best,
    by_topic,
    exact_price,
    gunzip,
    nanoseconds,
    step,
)
from crypto_stream.market.instruments import pair


@pytest.mark.parametrize(("places", "text"), [(0, "1"), (2, "0.01"), (8, "0.00000001"), (None, "")])
def test_a_number_of_decimals_is_a_step(places: int | None, text: str) -> None:
    """Without an exponent; none if it is not stated."""
    assert step(places) == text


def test_the_first_level_is_the_best() -> None:
    """An empty side has none; a number that is none is an error."""
    assert best([("100.10", "2"), ("100", "3")]) == ("100.10", "2")
    assert best([]) == (None, None)
    with pytest.raises(ValueError, match="'NaN'"):
        best([("NaN", "2")])


def test_a_trade_has_a_price() -> None:
    """As the venue wrote it; null is an error."""
    assert exact_price(Raw(b"1.50e2")) == "1.50e2"
    for text in (b"null", b"", b'"1"'):
        with pytest.raises(ValueError, match=r"price|number"):
            exact_price(Raw(text))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-08-09T21:05:48.229198328Z", 1786309548_229198328),
        ("2026-08-09T21:05:48.2299999999Z", None),
        ("2026-08-09T21:05:48.229999999Z", 1786309548_229999999),
        ("2026-08-09T21:05:48.5Z", 1786309548_500000000),
        ("2026-08-09T23:05:48+02:00", 1786309548_000000000),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-08-09T21:05:48.229", None),
        ("2026-02-30T21:05:48Z", None),
        ("2026-08-09T21:05:4\uff18Z", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_time_has_all_its_nanoseconds(text: str, ns: int | None) -> None:
    """Nothing is rounded; a time without a zone may be any."""
    if ns is not None:
        assert nanoseconds(text) == ns
        return
    with pytest.raises(ValueError, match=r"."):
        nanoseconds(text)


def test_gzip_data_is_decompressed_up_to_a_bound() -> None:
    """A small frame can contain a gigabyte; damaged and incomplete ones are errors, too."""
    packed = gzip.compress(b'{"ping":1}')

    assert gunzip(packed) == b'{"ping":1}'
    for frame in (gzip.compress(b"x" * 2_000_000), packed[:-4], b"no gzip", b""):
        with pytest.raises(ValueError, match=r"."):
            gunzip(frame)


def test_requests_are_made_topic_by_topic() -> None:
    """In the order of the names; what the venue does not have is left out."""
    topics: list[Topic] = ["day", "trades", "top"]
    wanted = [Wanted(name, pair("BTC-USD"), topic) for name in ("a", "b") for topic in topics]
    names: dict[Topic, str] = {"top": "book", "trades": "trade"}

    assert [(each.id, name) for each, name in by_topic(wanted, names)] == [
        ("a", "book"), ("b", "book"), ("a", "trade"), ("b", "trade"),
    ]  # fmt: skip
