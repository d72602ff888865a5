"""Lines come out as they went in, however the bytes were cut; long ones and too many are noticed."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import VenueError
from crypto_stream.feed.bridge.lines import LineRate, LineSplitter

_MAX = 100


def _cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(each % (len(data) + 1) for each in at)})
    return [data[start:stop] for start, stop in pairwise(places)]


@given(
    st.lists(st.binary(max_size=_MAX - 1).filter(lambda line: b"\n" not in line), max_size=20),
    st.lists(st.integers(min_value=0), max_size=20),
)
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], at: list[int]) -> None:
    """Whatever the reads, the same lines are found, without blank ones."""
    splitter = LineSplitter(_MAX)
    found = [
        line for part in _cut(b"".join(line + b"\n" for line in lines), at) for line in splitter.feed(part)
    ]

    assert found == [line for line in lines if line.strip()]
    assert splitter.partial_bytes == 0


@given(st.binary(max_size=50), st.integers(min_value=0, max_value=60))
def test_an_incomplete_line_is_kept_and_counted(line: bytes, cut: int) -> None:
    """What has no end yet is no line."""
    text = line.replace(b"\n", b"x") + b"y"
    splitter = LineSplitter(_MAX)

    assert splitter.feed(text[:cut]) == splitter.feed(text[cut:]) == []
    assert splitter.partial_bytes == len(text)
    assert splitter.feed(b"\n") == [text]


@pytest.mark.parametrize("parts", [[b"x" * _MAX + b"\n"], [b"x" * 60, b"x" * 41], [b"ok\n" + b"x" * 101]])
def test_a_line_that_is_too_long_is_refused(parts: list[bytes]) -> None:
    """Its end, which may never come, is not waited for."""
    *before, last = parts
    splitter = LineSplitter(_MAX)
    for part in before:
        splitter.feed(part)
    with pytest.raises(VenueError, match="a line of more than 100 bytes"):
        splitter.feed(last)


def test_the_longest_line_is_accepted() -> None:
    """The end of the line counts."""
    assert LineSplitter(_MAX).feed(b"x" * 99 + b"\n") == [b"x" * 99]


def test_the_rate_is_counted_per_second() -> None:
    """A new second begins with none."""
    rate = LineRate(10)

    assert [rate.exceeds(5, 1.0), rate.exceeds(5, 1.9), rate.exceeds(1, 1.9)] == [False, False, True]
    assert [rate.exceeds(10, 2.0), rate.exceeds(1, 2.5)] == [False, True]
