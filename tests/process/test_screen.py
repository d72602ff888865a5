"""Quotes as text: columns line up, ages are readable, what is stale says so."""

from __future__ import annotations

import pytest

from crypto_stream import screen
from crypto_stream.market.best import Best, BestSide, Share
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
    rows = [screen.cells(quote, 1_500) for quote in (_quote("btcusdt"), _quote("x", None, stale=True))]
    painted = screen.screenful(screen.QUOTES, rows, "here", 24)
    lines = painted.removeprefix("\x1b[H").removesuffix("\x1b[J").replace("\x1b[K", "").splitlines()

    assert lines == [
        "here",
        "SYMBOL   PRICE  BID  ASK  SOURCE    AGE",
        "btcusdt   1.50    -    -  okx     0.5 s",
        "x            -    -    -  -           -  stale",
    ]


@pytest.mark.parametrize(
    ("price", "shown"), [("9.121E-7", "0.0000009121"), ("1.16538e8", "116538000"), ("1.50", "1.50")]
)
def test_numbers_have_no_exponent(price: str, shown: str) -> None:
    """Some venues write small and large ones with one; otherwise they stay as sent."""
    best = Best("x", False, None, BestSide(price, price, []), None, None, False, [], [])

    assert screen.cells(_quote("x", price), 1_500)[1] == shown
    assert screen.best_cells(best)[1:3] == (shown, shown)


def test_lines_name_the_zone_of_their_times() -> None:
    """Times are UTC wherever it runs, and the heading says so over them."""
    row = screen.cells(_quote("btcusdt"), 3_600_000)
    line = screen.log_line(screen.QUOTES, row, 3_600_000)
    heading = screen.log_heading(screen.QUOTES)

    assert heading.startswith("TIME UTC  SYMBOL")
    assert line.startswith("01:00:00  btcusdt")


def test_a_best_bid_and_ask_names_who_has_them() -> None:
    """Several sources may share a price; a crossed market says so, an empty side is a dash."""
    bid = BestSide("100.1", "3.5", [Share("okx", "1.5", 5), Share("kraken", "2", 7)])
    ask = BestSide("100.05", None, [Share("binance", None, 5)])
    crossed = Best("btcusdt", False, None, bid, ask, "-5.00", True, ["okx", "kraken", "binance"], [])
    gone = Best("ethusdt", True, "no source is live", None, None, None, False, [], [])

    assert screen.table(screen.BEST.headings, map(screen.best_cells, (crossed, gone))) == [
        "SYMBOL     BID  SIZE  FROM           ASK  SIZE  FROM       BPS",
        "btcusdt  100.1   3.5  okx+kraken  100.05     -  binance  -5.00  crossed",
        "ethusdt      -     -  -                -     -  -            -  stale",
    ]
    assert len(screen.BEST.headings) == len(screen.BEST.widths)


@pytest.mark.parametrize("count", [7, 8, 9, 100])
def test_a_screenful_never_scrolls(count: int) -> None:
    """However many quotes there are, the lines fit the terminal, and the rest is counted."""
    rows = [screen.cells(_quote(f"s{number}"), 1_500) for number in range(count)]
    painted = screen.screenful(screen.QUOTES, rows, "here", 12)
    lines = painted.count("\n")
    hidden = int(painted.split("… and ")[1].split()[0]) if "… and " in painted else 0

    assert lines < 12
    assert lines - 2 - bool(hidden) + hidden == count
