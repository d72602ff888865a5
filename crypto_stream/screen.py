"""Quotes and sources as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from crypto_stream.market.best import Best, BestSide
from crypto_stream.market.quotes import Quote


class Columns(NamedTuple):
    """The headings of a table, and the widths of its columns in log lines, which cannot be measured."""

    headings: Sequence[str]
    widths: Sequence[int]


QUOTES = Columns(("SYMBOL", "PRICE", "BID", "ASK", "SOURCE", "AGE", ""), (12, 14, 14, 14, 12, 7, 5))
BEST = Columns(
    ("SYMBOL", "BID", "SIZE", "FROM", "ASK", "SIZE", "FROM", "BPS", ""),
    (12, 14, 14, 16, 14, 14, 16, 8, 7),
)
_RIGHT = {
    "PRICE",
    "BID",
    "ASK",
    "AGE",
    "SIZE",
    "BPS",
    "AMOUNT",
    "FILLED",
    "AVERAGE",
    "HELD",
    "BOUGHT",
    "SOLD",
    "AT",
    "PROFIT",
}
_NOTHING = "-"


def age_text(age_ms: int | None) -> str:
    """Return an age in a readable form: 0.4 s, 12 s, 3 min, 2 h."""
    if age_ms is None:
        return _NOTHING
    seconds = max(age_ms, 0) / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def cells(quote: Quote, now_ms: int) -> tuple[str, ...]:
    """Return a quote's row in a table of QUOTES."""
    age = None if quote.received is None else now_ms - quote.received
    return (
        quote.symbol,
        _number(quote.price),
        _number(quote.bid),
        _number(quote.ask),
        quote.source or _NOTHING,
        age_text(age),
        "stale" if quote.stale else "",
    )


def best_cells(best: Best) -> tuple[str, ...]:
    """Return the row of a best bid and ask in a table of BEST."""
    word = "stale" if best.stale else "crossed" if best.crossed else ""
    return (best.symbol, *_side_cells(best.bid), *_side_cells(best.ask), best.spread_bps or _NOTHING, word)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose columns fit their contents; numbers are right-aligned."""
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [_line(headings, line, widths) for line in lines]


def log_line(columns: Columns, row: Sequence[str], now_ms: int) -> str:
    """Return a changed row as one line of a log."""
    time = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%H:%M:%S")
    return f"{time}  {_line(columns.headings, row, columns.widths)}"


def log_heading(columns: Columns) -> str:
    """Return the headings above the lines of `log_line`."""
    return f"{'TIME UTC':8}  {_line(columns.headings, columns.headings, columns.widths)}"


def screenful(columns: Columns, rows: Iterable[Sequence[str]], status: str, height: int) -> str:
    """Return the text that redraws the whole terminal without flicker: status, and as many rows as fit."""
    lines = [status, *table(columns.headings, rows)]
    hidden = len(lines) - (height - 2)  # one line for the "… more" note, one for the cursor
    if hidden > 1:
        lines = [*lines[:-hidden], f"… and {hidden} more; name the ones to see"]
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"


def _side_cells(side: BestSide | None) -> tuple[str, str, str]:
    if side is None:
        return _NOTHING, _NOTHING, _NOTHING
    return _number(side.price), _number(side.size), "+".join(share.source for share in side.sources)


def _number(text: str | None) -> str:
    """Return a venue's number as people read it: without an exponent, and a dash for none."""
    if not text:
        return _NOTHING
    return f"{Decimal(text):f}" if "e" in text.lower() else text


def _line(headings: Sequence[str], words: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        word.rjust(width) if heading in _RIGHT else word.ljust(width)
        for heading, word, width in zip(headings, words, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()
