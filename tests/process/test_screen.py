"""Quotes as text: columns line up, ages are readable, what is stale says so."""

from __future__ import annotations

import pytest

from crypto_stream import screen
from crypto_stream.market.quotes import Quote


def _quote(symbol: str, price: str | None = "1.50", *, stale: bool = False) -> Quote:
    return Quote(
        symbol=symbol, base=None, quote=None, source="okx" if price else None, price=price,
        bid=None, bid_size=None, ask=None, ask_size=None,
        open_24h=None, high_24h=None, low_24h=None, volume_24h=None, change_24h=None,
        change_abs_24h=None, time=None, received=1_000 if price else None,
        published=1_000, seq=1, stale=stale, synthetic=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("age_ms", "text"),
    [
        (None, "-"),
        (-5, "0.0 s"),
        (440, "0.4 s"),
        (61_000, "61 s"),
        (600_000, "10 min"),
        (86_400_000, "24 h"),
    ],
)
def test_ages_are_written_as_people_say_them(age_ms: int | None, text: str) -> None:
    """An age has the unit that fits it."""
    assert screen.age_text(age_ms) == text


def test_a_screenful_has_columns_and_marks_what_is_stale() -> None:
    """Numbers stand on the right, a missing one is a dash, a stale quote says so."""
    painted = screen.screenful([_quote("btcusdt"), _quote("x", None, stale=True)], 1_500, "here", 24)
    lines = painted.removeprefix("\x1b[H").removesuffix("\x1b[J").replace("\x1b[K", "").splitlines()

    assert lines == [
        "here",
        "SYMBOL   PRICE  BID  ASK  SOURCE    AGE",
        "btcusdt   1.50    -    -  okx     0.5 s",
        "x            -    -    -  -           -  stale",
    ]


def test_lines_name_the_zone_of_their_times() -> None:
    """Times are UTC wherever it runs, and the heading says so over them."""
    line, heading = screen.log_line(_quote("btcusdt"), 3_600_000), screen.log_heading()

    assert heading.startswith("TIME UTC  SYMBOL")
    assert line.startswith("01:00:00  btcusdt")


@pytest.mark.parametrize("count", [7, 8, 9, 100])
def test_a_screenful_never_scrolls(count: int) -> None:
    """However many quotes there are, the lines fit the terminal, and the rest is counted."""
    painted = screen.screenful([_quote(f"s{number}") for number in range(count)], 1_500, "here", 12)
    lines = painted.count("\n")
    hidden = int(painted.split("… and ")[1].split()[0]) if "… and " in painted else 0

    assert lines < 12
    assert lines - 2 - bool(hidden) + hidden == count
