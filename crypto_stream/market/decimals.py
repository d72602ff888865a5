"""Decimal numbers as text, the way venues write them and quotes keep them."""

from __future__ import annotations

import re
from decimal import Context, Decimal

# Longer ones are no prices; the bound keeps a venue's nonsense out of arithmetic and out of memory.
_LONGEST = 40
_ANY_FORM = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,2})?")

_PLAIN = r"[0-9]{1,20}\.[0-9]{1,19}"
_FOUR_PLAIN = re.compile(f"{_PLAIN} {_PLAIN} {_PLAIN} {_PLAIN}").fullmatch

_EXACT = Context(prec=200)  # of two numbers of at most 40 characters, exponents of two digits included

Text = str | None


def decimal_text(text: str) -> Text:
    """Return `text` unchanged if it is a finite decimal number, None if it is empty (a value not given).

    Accepted: `0.10`, `-3`, `5.`, `1e-8`, up to 40 characters. Raises ValueError for anything else, which
    includes `NaN`, `Infinity`, `1_0`, blanks and digits outside ASCII.
    """
    # Nearly every number of a venue passes the first test, at a third of the pattern's price.
    if text.replace(".", "", 1).isdecimal() and text.isascii() and len(text) <= _LONGEST:
        return text
    if not text:
        return None
    if len(text) <= _LONGEST and _ANY_FORM.fullmatch(text):
        return text
    raise ValueError(f"{text[:_LONGEST]!r} is no decimal number")


def price_of_trade(text: str) -> str:
    """Return `decimal_text`; without a price a trade says nothing: raises ValueError."""
    if price := decimal_text(text):
        return price
    raise ValueError("a trade without a price")


def difference(text: str, less: str) -> str:
    """Return `text` less `less`, to the last digit."""
    return f"{_EXACT.subtract(Decimal(text), Decimal(less)):f}"


def four_decimal_texts(bid: str, bid_size: str, ask: str, ask_size: str) -> tuple[Text, Text, Text, Text]:
    """Return four times `decimal_text`, cheaper: every change of a top of book comes through here."""
    if _FOUR_PLAIN(f"{bid} {bid_size} {ask} {ask_size}"):
        return bid, bid_size, ask, ask_size
    return decimal_text(bid), decimal_text(bid_size), decimal_text(ask), decimal_text(ask_size)
