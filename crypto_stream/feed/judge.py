"""Whether what a source says can be true: bounds of keys, times and numbers, for every handler. Pure."""

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
_FINER_UNITS = (1_000, 1_000_000)  # of a ms: us, ns. Times in these units and of these years overlap nowhere
_LONGEST_NAME = 40
# A stamp further ahead than the source's clock usually is, and this, is wrong.
_AHEAD_MS = 5_000
# How far a source's clock is ahead of ours: the lower quartile of this many stamps, taken so far apart.
_STAMPS = 64
_ENOUGH_STAMPS = 8
_STAMP_EVERY_MS = 50
# A price this far outside its own venue's bid and ask of the last seconds is none.
_FARTHEST = 0.25
_TOP_STANDS_NS = 5_000_000_000

# No price or amount has more digits than 18 before the point and 20 behind it.
_DIGITS_BEFORE, _DIGITS_BEHIND = 18, 20
_PLAIN = rf"[0-9]{{1,{_DIGITS_BEFORE}}}(?:\.[0-9]{{0,{_DIGITS_BEHIND}}})?"
_plain = re.compile(_PLAIN).fullmatch
_four_plain = re.compile(" ".join([_PLAIN] * 4)).fullmatch
_any_form = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?").fullmatch
_NUMBERS = (
    *("price", "bid", "bid_size", "ask", "ask_size"),
    *("open_24h", "high_24h", "low_24h", "volume_24h"),
)


class Judge:
    """Judge the events of one source, over all its connections.

    `live`: its times are those of now, unlike a recording's. Prices of a synthetic source may be negative.
    What is refused is counted in `book.dropped`, by reason: bad_event, bad_key, bad_time, future, bad_number,
    bad_price.
    """

    def __init__(self, book: SourceBook, *, live: bool, synthetic: bool) -> None:
        """Take the source's clock to be ours until its stamps say otherwise."""
        self._book = book
        self._live = live
        self._synthetic = synthetic
        self._ahead_ms = 0
        self._stamps: deque[int] = deque(maxlen=_STAMPS)
        self._stamped_ms = 0

    def allow(self, event: Update | Trade, now_ms: int, received_ns: int) -> Update | Trade | None:
        """Return the event to take, perhaps without its price; None, and count, where it cannot be true.

        `now_ms` is our clock, `received_ns` the monotonic one of the book.
        """
        if type(event.time) is int and event.time >= _LAST_MS:
            event = _in_ms(event)
        wrong = self._wrong_frame(event, now_ms) or self._wrong_numbers(event)
        priced = wrong is None and not self._synthetic and isinstance(event.price, str)
        if priced and self._is_off(event, received_ns):
            wrong = "bad_price"
            if isinstance(event, Update) and event.slow:  # a day's figures may stand beside an old price
                self._book.dropped[wrong] += 1
                return msgspec.structs.replace(event, price=UNSET)
        if wrong is None:
            return event
        self._book.dropped[wrong] += 1
        return None

    def _wrong_frame(self, event: Update | Trade, now_ms: int) -> str | None:
        key, time, channel = event.key, event.time, event.channel
        if type(channel) is not str or not 0 < len(channel) <= _LONGEST_NAME:
            return "bad_event"
        if type(key) is not int or not 0 <= key <= _LARGEST_KEY:
            return "bad_key"
        if time is None:
            return None
        if type(time) is not int or not 0 <= time < _LAST_MS:
            return "bad_time"
        return "future" if self._live and self._is_future(time, now_ms) else None

    def _is_future(self, time: int, now_ms: int) -> bool:
        ahead = time - now_ms
        if not 0 <= now_ms - self._stamped_ms < _STAMP_EVERY_MS:
            self._stamped_ms = now_ms
            self._stamps.append(ahead)
            if len(self._stamps) >= _ENOUGH_STAMPS:
                # Old stamps say nothing of its clock, and a few wrong ones must not become the rule.
                self._ahead_ms = max(0, sorted(self._stamps)[len(self._stamps) // 4])
        return ahead > self._ahead_ms + _AHEAD_MS

    def _wrong_numbers(self, event: Update | Trade) -> str | None:
        if isinstance(event, Trade):
            price = event.price
            if not self._is_number(price) or not (event.size is None or self._is_number(event.size)):
                return "bad_number"
            return "bad_price" if not self._synthetic and Decimal(price) <= 0 else None
        if event.price is UNSET and not event.slow and _is_plain_top(event):
            return None  # by far the most frequent
        for name in _NUMBERS:
            value = getattr(event, name)
            if value is not None and value is not UNSET and not self._is_number(value):
                return "bad_number"
        priced = isinstance(event.price, str) and not self._synthetic
        return "bad_price" if priced and Decimal(str(event.price)) <= 0 else None

    def _is_number(self, text: object) -> bool:
        """Say whether `text` is a number of bearable length; below zero only where prices may be."""
        if type(text) is not str:
            return False
        if _plain(text):
            return True
        if not _any_form(text):
            return False
        number = Decimal(text)
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if number.adjusted() >= _DIGITS_BEFORE or exponent < -_DIGITS_BEHIND:
            return False
        return self._synthetic or number >= 0

    def _is_off(self, event: Update | Trade, received_ns: int) -> bool:
        """Say whether the price is far outside bid and ask of the same venue, where those are of now."""
        assert isinstance(event.price, str)
        entry = self._book.entries.get(event.symbol)
        if entry is None or received_ns - entry.top_ns > _TOP_STANDS_NS:
            return False
        at, top_at = event.time, entry.top_time  # where both are known, they must be of one moment too
        if at is not None and top_at is not None and abs(at - top_at) * 1_000_000 > _TOP_STANDS_NS:
            return False
        price, bid, ask = float(event.price), float(entry.bid or 0), float(entry.ask or 0)
        return (bid > 0 and price < bid * (1 - _FARTHEST)) or (ask > 0 and price > ask * (1 + _FARTHEST))


def _in_ms(event: Update | Trade) -> Update | Trade:
    """Bring a time in us or ns, and a key that is that time, to ms; what is neither stays as it is."""
    time = event.time
    for per_ms in _FINER_UNITS:
        if time is not None and _FIRST_MS * per_ms <= time < _LAST_MS * per_ms:
            key = event.key // per_ms if event.key == time else event.key
            return msgspec.structs.replace(event, time=time // per_ms, key=key)
    return event


def _is_plain_top(event: Update) -> bool:
    """Say cheaply whether bid and ask with their sizes are plain numbers."""
    bid, bid_size, ask, ask_size = event.bid, event.bid_size, event.ask, event.ask_size
    if isinstance(bid, str) and isinstance(bid_size, str) and isinstance(ask, str):
        return isinstance(ask_size, str) and bool(_four_plain(f"{bid} {bid_size} {ask} {ask_size}"))
    return False
