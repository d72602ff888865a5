"""Which pairs are chosen: by name, by pattern, or the largest of a venue's list. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from crypto_stream.market.decimals import decimal_text
from crypto_stream.market.instruments import Instrument, pair

Pair = tuple[str, str]  # base and quote, in upper case
MOST = 5_000  # pairs that one `top:N` may choose
_LARGEST = re.compile(r"top:([0-9]{1,6})(?:[-/]([a-z0-9]{1,20}))?", re.IGNORECASE)
_PATTERN = re.compile(r"[\w*]{1,40}(?:[-/_][\w*]{1,40})?")


class Chosen(NamedTuple):
    """A chosen pair and the sources that list it; None: each may carry it."""

    instrument: Instrument
    sources: frozenset[str] | None = None


class Named(NamedTuple):
    """One pair by its name."""

    instrument: Instrument


class Pattern(NamedTuple):
    """All listed pairs of a form: `*` stands for any letters; without `quote`, of base and quote joined."""

    base: str
    quote: str | None

    def matches(self, found: Pair) -> bool:
        """Return whether a pair has this form."""
        if self.quote is None:
            return fnmatchcase("".join(found), self.base)
        return fnmatchcase(found[0], self.base) and fnmatchcase(found[1], self.quote)


class Largest(NamedTuple):
    """The `most` pairs in one quote currency that have the highest volume of 24 hours."""

    most: int
    quote: str

    def of(self, volumes: Mapping[Pair, str]) -> list[Pair]:
        """Return the largest pairs, by their volume in the quote currency, largest first."""
        known = {found: _number(text) for found, text in volumes.items() if found[1] == self.quote}
        traded = sorted((found for found, volume in known.items() if volume), key=lambda each: -known[each])
        return traded[: self.most]


Choice = Named | Pattern | Largest


def parse_choice(text: str) -> Choice:
    """Parse `btcusdt`, `BTC-USDT`, `*-usdt`, `btc*`, `top:50`, `top:50-eur`; raise ValueError if wrong."""
    word = text.strip()
    if word.casefold().startswith("top:"):
        found = _LARGEST.fullmatch(word)
        if found is None or not 0 < int(found[1]) <= MOST:
            raise ValueError(f"{text!r} is not allowed: write top:20 or top:20-usdt, at most top:{MOST}")
        return Largest(int(found[1]), (found[2] or "USDT").upper())
    if "*" not in word:
        return Named(pair(word))
    if not _PATTERN.fullmatch(word):
        raise ValueError(f"{text!r} is not a pattern: write one like *-usdt, btc-* or *usdt")
    base, separator, quote = re.sub(r"[/_]", "-", word.upper()).partition("-")
    return Pattern(base, quote if separator else None)


def instruments_of(found: Iterable[Pair]) -> list[Instrument]:
    """Return the instruments of listed pairs, without those that cannot be ours: odd and synthetic names."""
    instruments: list[Instrument] = []
    for base, quote in found:
        with suppress(ValueError):
            one = pair(f"{base}-{quote}")
            if base.isalnum() and quote.isalnum() and (one.base, one.quote) == (base, quote):
                instruments.append(one)
    return instruments


def _number(text: str) -> Decimal:
    """Return a volume, 0 if it is missing or no number."""
    try:
        return Decimal(decimal_text(text) or 0)
    except ValueError:
        return Decimal(0)
