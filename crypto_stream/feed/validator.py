"""Validate the events of all handlers: plausible keys, times, numbers and prices. Pure."""

from __future__ import annotations

import re
from collections import deque
from decimal import Decimal

import msgspec
from msgspec import UNSET

from crypto_stream.market.book import SourceBook
from crypto_stream.market.events import Trade, Update

_LARGEST_KEY = 2**63 - 1
_FIRST_MS, _LAST_MS = 1_000_000_000_000, 4_102_444_800_000  # the years 2001 and 2100
_FINER_UNITS = (
    1_000,
    1_000_000,
)  # per ms: us, ns. Within these years, times in different units do not overlap
_LONGEST_NAME = 40
# A timestamp is wrong if it is this much further ahead than the source's clock usually is.
_AHEAD_MS = 5_000
# How far a source's clock is ahead of ours: the lower quartile of this many timestamps, this far apart.
_TIMESTAMPS = 64
_ENOUGH_TIMESTAMPS = 8
_TIMESTAMP_EVERY_MS = 50
# A price this far outside its own venue's recent bid and ask is wrong.
_MAX_DISTANCE = 0.25
_TOP_VALID_NS = 5_000_000_000

# No price or amount has more than 18 digits before the decimal point and 20 after it.
_DIGITS_BEFORE, _DIGITS_AFTER = 18, 20
_SIMPLE = rf"[0-9]{{1,{_DIGITS_BEFORE}}}(?:\.[0-9]{{0,{_DIGITS_AFTER}}})?"
_simple = re.compile(_SIMPLE).fullmatch
_four_simple = re.compile(" ".join([_SIMPLE] * 4)).fullmatch
_any_form = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?").fullmatch
_NUMBERS = (
    "price",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
    "open_24h",
    "high_24h",
    "low_24h",
    "volume_24h",
)


class EventValidator:
    """Validate the events of one source, over all its connections.

    `real_time`: its times are not in the past, as a recording's are. Prices of a synthetic source may be
    negative. Dropped events are counted in `book.dropped` by reason: bad_event, bad_key, bad_time, future,
    bad_number, bad_price.
    """

    def __init__(self, book: SourceBook, *, real_time: bool, synthetic: bool) -> None:
        """Assume that the source's clock is correct until its timestamps show otherwise."""
        self._book = book
        self._real_time = real_time
        self._synthetic = synthetic
        self._ahead_ms = 0
        self._timestamps: deque[int] = deque(maxlen=_TIMESTAMPS)
        self._sampled_ms = 0

    def allow(self, event: Update | Trade, now_ms: int, received_ns: int) -> Update | Trade | None:
        """Return the event, perhaps without its price; return None, and count it, if it is implausible.

        `now_ms` is our clock, `received_ns` the monotonic one of the book.
        """
        if type(event.time) is int and event.time >= _LAST_MS:
            event = _in_ms(event)
        fault = self._fault_of_envelope(event, now_ms) or self._fault_of_numbers(event)
        priced = fault is None and not self._synthetic and isinstance(event.price, str)
        if priced and self._is_far_off(event, received_ns):
            fault = "bad_price"
            if (
                isinstance(event, Update) and event.slow
            ):  # 24 h figures may be right although their price is old
                self._book.dropped[fault] += 1
                return msgspec.structs.replace(event, price=UNSET)
        if fault is None:
            return event
        self._book.dropped[fault] += 1
        return None

    def _fault_of_envelope(self, event: Update | Trade, now_ms: int) -> str | None:
        key, time, channel = event.key, event.time, event.channel
        if type(channel) is not str or not 0 < len(channel) <= _LONGEST_NAME:
            return "bad_event"
        if type(key) is not int or not 0 <= key <= _LARGEST_KEY:
            return "bad_key"
        if time is None:
            return None
        if type(time) is not int or not 0 <= time < _LAST_MS:
            return "bad_time"
        return "future" if self._real_time and self._is_future(time, now_ms) else None

    def _is_future(self, time: int, now_ms: int) -> bool:
        ahead = time - now_ms
        if not 0 <= now_ms - self._sampled_ms < _TIMESTAMP_EVERY_MS:
            self._sampled_ms = now_ms
            self._timestamps.append(ahead)
            if len(self._timestamps) >= _ENOUGH_TIMESTAMPS:
                # Delayed timestamps are no evidence about its clock, and a few wrong ones must not dominate.
                self._ahead_ms = max(0, sorted(self._timestamps)[len(self._timestamps) // 4])
        return ahead > self._ahead_ms + _AHEAD_MS

    def _fault_of_numbers(self, event: Update | Trade) -> str | None:
        if isinstance(event, Trade):
            price = event.price
            if not self._is_number(price) or not (event.size is None or self._is_number(event.size)):
                return "bad_number"
            return "bad_price" if not self._synthetic and Decimal(price) <= 0 else None
        if event.price is UNSET and not event.slow and _is_simple_top(event):
            return None  # by far the most frequent
        for name in _NUMBERS:
            value = getattr(event, name)
            if value is not None and value is not UNSET and not self._is_number(value):
                return "bad_number"
        priced = isinstance(event.price, str) and not self._synthetic
        return "bad_price" if priced and Decimal(str(event.price)) <= 0 else None

    def _is_number(self, text: object) -> bool:
        """Return whether `text` is a number of reasonable length; negative only if synthetic."""
        if type(text) is not str:
            return False
        if _simple(text):
            return True
        if not _any_form(text):
            return False
        number = Decimal(text)
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if number.adjusted() >= _DIGITS_BEFORE or exponent < -_DIGITS_AFTER:
            return False
        return self._synthetic or number >= 0

    def _is_far_off(self, event: Update | Trade, received_ns: int) -> bool:
        """Return whether the price is far outside bid and ask of the same venue, if those are recent."""
        assert isinstance(event.price, str)
        entry = self._book.entries.get(event.symbol)
        if entry is None or received_ns - entry.top_ns > _TOP_VALID_NS:
            return False
        at, top_at = event.time, entry.top_time  # if both are known, they must be close as well
        if at is not None and top_at is not None and abs(at - top_at) * 1_000_000 > _TOP_VALID_NS:
            return False
        price, bid, ask = float(event.price), float(entry.bid or 0), float(entry.ask or 0)
        return (bid > 0 and price < bid * (1 - _MAX_DISTANCE)) or (
            ask > 0 and price > ask * (1 + _MAX_DISTANCE)
        )


def _in_ms(event: Update | Trade) -> Update | Trade:
    """Convert a time in us or ns, and a key equal to it, to ms."""
    time = event.time
    for per_ms in _FINER_UNITS:
        if time is not None and _FIRST_MS * per_ms <= time < _LAST_MS * per_ms:
            key = event.key // per_ms if event.key == time else event.key
            return msgspec.structs.replace(event, time=time // per_ms, key=key)
    return event


def _is_simple_top(event: Update) -> bool:
    """Return, cheaply, whether bid and ask with their sizes are simple numbers."""
    bid, bid_size, ask, ask_size = event.bid, event.bid_size, event.ask, event.ask_size
    if isinstance(bid, str) and isinstance(bid_size, str) and isinstance(ask, str):
        return isinstance(ask_size, str) and bool(_four_simple(f"{bid} {bid_size} {ask} {ask_size}"))
    return False
