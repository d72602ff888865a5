"""The book: the newest quote per instrument and venue, merged from updates."""

from __future__ import annotations

from collections import Counter

from msgspec import UNSET

from crypto_stream.market.channels import Channel, Channels
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote, day_change
from crypto_stream.market.sequence import Sequence, TradeSequence

# After this silence a fast channel without times (Binance bookTicker) is considered older than the slow one.
_UNTIMED_VALID_NS = 1_000_000_000
# The venue chooses the names of channels, so their number per instrument is bounded.
_MAX_CHANNELS = 20


class Entry:
    """The newest values of one instrument at one source; written by `SourceBook` only.

    `received_ns` is when the newest accepted event arrived and `moved_ns` when price, bid or ask last changed
    (the first value is not a change), both on the monotonic clock. `channels` has such times per channel.
    `price_…` and `top_…` describe the event that the price and the top of book came from.
    """

    __slots__ = (
        "ask",
        "ask_size",
        "bid",
        "bid_size",
        "channels",
        "high_24h",
        "low_24h",
        "moved_ns",
        "open_24h",
        "price",
        "price_channel",
        "price_ns",
        "price_slow",
        "price_time",
        "received_ns",
        "sequences",
        "time",
        "top_channel",
        "top_ns",
        "top_slow",
        "top_time",
        "trade_sequences",
        "volume_24h",
    )

    def __init__(self, gives: set[Channel] | None = None) -> None:
        """Start empty; `gives` collects the channels that the source has."""
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
        self.channels = Channels(gives)
        self.trade_sequences: dict[str, TradeSequence] = {}

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
        """Compose the quote that is published.

        The fields are passed by position: with as many keywords it takes seven times as long.
        """
        percent = absolute = None
        if self.price is not None and self.open_24h is not None:
            percent, absolute = day_change(self.price, self.open_24h)
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
            percent,
            absolute,
            self.time,
            received,
            published,
            seq,
            stale,
            instrument.synthetic,
        )


class SourceBook:
    """One source's part of the book.

    `gives` contains the channels that the source ever delivered, for any instrument. A symbol in `awaited`
    moves to `arrived` with its next accepted event: this spares failover from polling all instruments, and
    costs other events only one set lookup. `dropped` counts rejected events by channel.
    """

    def __init__(self) -> None:
        self.gives: set[Channel] = set()
        self.awaited: set[str] = set()
        self.arrived: set[str] = set()
        self.entries: dict[str, Entry] = {}
        self.dropped: Counter[str] = Counter()
        self.received_ns: int | None = None

    def apply(self, event: Update | Trade, received_ns: int, generation: int = 0) -> bool:
        """Merge one event; return False, and count it, if it is not newer than its channel's last one.

        A trade that arrives out of order is accepted once, but changes the price only if its time is newer.
        """
        symbol = event.instrument.symbol
        entry = self.entries.get(symbol)
        if entry is None:
            entry = self.entries[symbol] = Entry(self.gives)
        if isinstance(event, Trade):
            if not self._apply_trade(entry, event, received_ns, generation):
                return False
            entry.channels.observe(event, received_ns, generation)
        else:
            channel = event.channel
            sequence = entry.sequences.get(channel)
            if sequence is None:
                if len(entry.sequences) >= _MAX_CHANNELS:
                    return self._drop("other")
                sequence = entry.sequences[channel] = Sequence()
            if not sequence.accepts(event.key, generation, received_ns):
                return self._drop(channel)
            if event.price is UNSET and not event.slow:
                _merge_top(entry, event, received_ns)  # by far the most frequent event: only the top of book
                entry.channels.observe_top(event, received_ns, generation)
            else:
                _merge(entry, event, received_ns)
                entry.channels.observe(event, received_ns, generation)
        entry.received_ns = self.received_ns = received_ns
        time = event.time
        if time is not None and (entry.time is None or time > entry.time):
            entry.time = time
        if symbol in self.awaited:
            self.awaited.discard(symbol)
            self.arrived.add(symbol)
        return True

    def _apply_trade(self, entry: Entry, trade: Trade, received_ns: int, generation: int) -> bool:
        channel = trade.channel
        sequence = entry.trade_sequences.get(channel)
        if sequence is None:
            if len(entry.trade_sequences) >= _MAX_CHANNELS:
                return self._drop("other")
            sequence = entry.trade_sequences[channel] = TradeSequence()
        arrival = sequence.judge(trade.key, generation, received_ns)
        if arrival == "old":
            return self._drop(channel)
        if arrival == "newer" or _is_later(trade.time, entry.price_time):
            _merge_price(entry, trade, trade.price, received_ns, slow=False)
        return True

    def _drop(self, channel: str) -> bool:
        self.dropped[channel] += 1
        return False

    def forget(self, symbol: str) -> None:
        """Forget an instrument that is no longer carried."""
        self.entries.pop(symbol, None)
        self.awaited.discard(symbol)
        self.arrived.discard(symbol)

    def retract_trade(self, symbol: str) -> None:
        """Do not count the trade just applied as activity of its channel: it was too late for its bar."""
        if entry := self.entries.get(symbol):
            entry.channels.retract_trade()


class Book:
    """The newest quote per (source, instrument)."""

    def __init__(self) -> None:
        self._sources: dict[str, SourceBook] = {}

    def of(self, source: str) -> SourceBook:
        """Return the part of `source`, creating it at first use."""
        part = self._sources.get(source)
        if part is None:
            part = self._sources[source] = SourceBook()
        return part

    def entry(self, source: str, symbol: str) -> Entry | None:
        """Return the entry of `symbol` at `source`, or None if there is none yet."""
        part = self._sources.get(source)
        return part.entries.get(symbol) if part else None


def _is_newer(time: int | None, held: int | None) -> bool:
    """Return whether an event of another channel is newer; within one channel its key has decided already."""
    return time is None or held is None or time >= held


def _is_later(time: int | None, held: int | None) -> bool:
    """Return whether a trade whose id is not the newest has a later time nevertheless."""
    return time is not None and held is not None and time > held


def _slow_wins(time: int | None, held: int | None, held_ns: int, received_ns: int) -> bool:
    """Return whether the slow ticker is newer than what a fast channel delivered.

    The venue's times decide; if one has none, a second of silence of the fast channel does.
    """
    if time is not None and held is not None:
        return time > held
    return received_ns - held_ns > _UNTIMED_VALID_NS


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
