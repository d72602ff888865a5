"""The book: the newest quote per instrument and venue, merged from updates."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from msgspec import UNSET

from crypto_stream.market.channels import Channels
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote, change_percent

# An untimed fast channel (Binance bookTicker) is taken for older than the slow ticker after this long.
_UNTIMED_STANDS_NS = 1_000_000_000
# A later connection whose keys stay below the old ones for this long: the venue began its count anew.
_RESET_AFTER_NS = 5_000_000_000


_NOT_BEHIND = (0, 0)


class Sequence:
    """Judge order within one (source, instrument, channel) by the venue's own growing key."""

    __slots__ = ("_behind", "_behind_since", "_generation", "_key")

    def __init__(self) -> None:
        """Start before everything: the first key is always new."""
        self._key: int | None = None
        self._generation = 0
        # The newest (generation, key) of a later connection that stays behind.
        self._behind = _NOT_BEHIND
        self._behind_since = 0

    def accepts(self, key: int, generation: int, received_ns: int) -> bool:
        """Say whether `key` is newer than all before it, and remember it.

        `generation` numbers the source's connections. A later connection continues the old keys, unless its
        own grow for 5 s and stay behind them: then the venue has reset its count and the new one is followed.
        """
        held = self._key
        if held is not None and key <= held and not self._was_reset(key, generation, received_ns):
            return False
        self._key = key
        self._generation = generation
        self._behind = _NOT_BEHIND
        return True

    def _was_reset(self, key: int, generation: int, received_ns: int) -> bool:
        if generation <= self._generation or key == self._key:
            return False
        seen_in, newest = self._behind
        if seen_in != generation:
            self._behind, self._behind_since = (generation, key), received_ns
            return False
        if key <= newest:  # a snapshot sent again is no count that grows
            return False
        self._behind = (generation, key)
        return received_ns - self._behind_since >= _RESET_AFTER_NS


class Entry:
    """What one source has said about one instrument; read by everybody, written only by `SourceBook`.

    `received_ns` is when the newest accepted event came and `moved_ns` when price, bid or ask last changed
    (what was not known before did not change), both on the monotonic clock. `channels` tells them apart.
    """

    __slots__ = (
        *("price", "bid", "bid_size", "ask", "ask_size", "time", "received_ns", "moved_ns", "sequences"),
        *("open_24h", "high_24h", "low_24h", "volume_24h"),
        *("price_time", "price_ns", "price_slow", "price_channel"),
        *("top_time", "top_ns", "top_slow", "top_channel", "channels"),
    )

    def __init__(self) -> None:
        """Know nothing."""
        self.price: str | None = None
        self.bid: str | None = None
        self.bid_size: str | None = None
        self.ask: str | None = None
        self.ask_size: str | None = None
        self.open_24h: str | None = None
        self.high_24h: str | None = None
        self.low_24h: str | None = None
        self.volume_24h: str | None = None
        self.time: int | None = None
        self.received_ns = 0
        self.moved_ns = 0
        self.price_time: int | None = None
        self.price_ns = 0
        self.price_slow = True
        self.price_channel = ""
        self.top_time: int | None = None
        self.top_ns = 0
        self.top_slow = True
        self.top_channel = ""
        self.sequences: dict[str, Sequence] = {}
        self.channels = Channels()

    def quote(
        self,
        instrument: Instrument,
        source: str | None,
        *,
        received: int | None,
        published: int,
        seq: int,
        stale: bool,
    ) -> Quote:
        """Compose the quote the outside sees."""
        return Quote(
            instrument.symbol,
            instrument.base,
            instrument.quote,
            source,
            self.price,
            self.bid,
            self.bid_size,
            self.ask,
            self.ask_size,
            self.open_24h,
            self.high_24h,
            self.low_24h,
            self.volume_24h,
            change_percent(self.price, self.open_24h),
            self.time,
            received,
            published,
            seq,
            stale,
            instrument.synthetic,
        )


class SourceBook:
    """One source's part of the book."""

    def __init__(self) -> None:
        """Start empty."""
        self.entries: dict[str, Entry] = {}
        self.dropped: Counter[str] = Counter()
        self.received_ns: int | None = None

    def apply(self, event: Update | Trade, received_ns: int, generation: int = 0) -> bool:
        """Merge one event; False when it was not newer than what its channel already gave (counted)."""
        entry = self.entries.get(event.symbol)
        if entry is None:
            entry = self.entries[event.symbol] = Entry()
        channel = event.channel
        sequence = entry.sequences.get(channel)
        if sequence is None:
            sequence = entry.sequences[channel] = Sequence()
        if not sequence.accepts(event.key, generation, received_ns):
            self.dropped[channel] += 1
            return False
        time = event.time
        if isinstance(event, Trade):
            _merge_price(entry, event, event.price, received_ns, slow=False)
        elif event.price is UNSET and not event.slow:
            _merge_top(entry, event, received_ns)  # by far the most frequent: the top of book alone
        else:
            _merge(entry, event, received_ns)
        entry.received_ns = self.received_ns = received_ns
        entry.channels.took(event, received_ns, generation)
        if time is not None and (entry.time is None or time > entry.time):
            entry.time = time
        return True

    def useless_trade(self, symbol: str) -> None:
        """Notice that the trade just applied came too late for its bar."""
        if entry := self.entries.get(symbol):
            entry.channels.useless_trade()


class Book:
    """The newest quote per (source, instrument)."""

    def __init__(self) -> None:
        """Start empty."""
        self._sources: dict[str, SourceBook] = {}

    def of(self, source: str) -> SourceBook:
        """Return the part of `source`, made at first use."""
        return self._sources.setdefault(source, SourceBook())

    def entry(self, source: str, symbol: str) -> Entry | None:
        """Return what `source` has said about `symbol`, or None."""
        part = self._sources.get(source)
        return part.entries.get(symbol) if part else None


def _is_newer(time: int | None, held: int | None) -> bool:
    """Say whether another channel's part gives way; within one channel the venue's key has decided."""
    return time is None or held is None or time >= held


def _slow_wins(time: int | None, held: int | None, held_ns: int, received_ns: int) -> bool:
    """Say whether the slow ticker is newer than a fast channel's part.

    Venue times decide; where the fast channel has none, a second of its silence does.
    """
    if time is not None and held is not None:
        return time > held
    return received_ns - held_ns > _UNTIMED_STANDS_NS


def _merge_price(
    entry: Entry, event: Update | Trade, price: str | None, received_ns: int, *, slow: bool
) -> None:
    time = event.time
    if slow and not entry.price_slow:
        if not _slow_wins(time, entry.price_time, entry.price_ns, received_ns):
            return
    elif event.channel != entry.price_channel and not _is_newer(time, entry.price_time):
        entry.price_slow = entry.price_slow and slow
        return
    if price != entry.price:
        entry.moved_ns = received_ns if entry.price is not None else entry.moved_ns
        entry.price = price
    entry.price_channel = event.channel
    entry.price_time, entry.price_ns, entry.price_slow = time, received_ns, slow


def _merge(entry: Entry, event: Update, received_ns: int) -> None:
    slow = event.slow
    if event.price is not UNSET:
        _merge_price(entry, event, event.price, received_ns, slow=slow)
    _merge_top(entry, event, received_ns)
    if slow:
        for name in ("open_24h", "high_24h", "low_24h", "volume_24h"):
            value = getattr(event, name)
            if value is not UNSET:
                setattr(entry, name, value)


def _merge_top(entry: Entry, event: Update, received_ns: int) -> None:
    bid, ask = event.bid, event.ask
    if bid is UNSET and ask is UNSET:
        return
    time, slow = event.time, event.slow
    if slow and not entry.top_slow:
        if not _slow_wins(time, entry.top_time, entry.top_ns, received_ns):
            return
    elif event.channel != entry.top_channel and not _is_newer(time, entry.top_time):
        return
    if bid is not UNSET:
        if bid != entry.bid:
            entry.moved_ns = received_ns if entry.bid is not None else entry.moved_ns
            entry.bid = bid
        entry.bid_size = None if event.bid_size is UNSET else event.bid_size
    if ask is not UNSET:
        if ask != entry.ask:
            entry.moved_ns = received_ns if entry.ask is not None else entry.moved_ns
            entry.ask = ask
        entry.ask_size = None if event.ask_size is UNSET else event.ask_size
    entry.top_channel = event.channel
    entry.top_time, entry.top_ns, entry.top_slow = time, received_ns, slow


def best(prices: list[tuple[str, str]], *, highest: bool) -> tuple[str, str] | tuple[None, None]:
    """Pick the best of (source, price text) pairs: the highest bid or the lowest ask; the first of equals.

    A price of zero is a venue's way of saying that this side of its book is empty.
    """
    found: tuple[str, str] | None = None
    for source, price in prices:
        mine = Decimal(price)
        if not mine:
            continue
        if found is None or (mine > Decimal(found[1]) if highest else mine < Decimal(found[1])):
            found = (source, price)
    return found or (None, None)
