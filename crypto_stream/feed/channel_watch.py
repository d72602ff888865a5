"""Detect missing channels: judge instruments whose data arrived or whose deadline passed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from crypto_stream.deadlines import Deadlines
from crypto_stream.feed.facts import Facts, FailoverTimes
from crypto_stream.feed.missing_channels import (
    DESCRIPTIONS,
    SEVERITY,
    MissingChannel,
    OtherSource,
    missing_channels,
    overdue,
    recheck_times,
)
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.channels import CHANNELS, Channel

_CHECKS = 5  # rounds within `stale_after`
_TRADES: frozenset[Channel] = frozenset({"trades"})  # expected of every source: bars are made of them


class Round(NamedTuple):
    """The inputs of one round.

    `chains` maps symbols to their sources. `is_live(source, symbol)` returns whether a source counts,
    `comparable(symbol, source, other)` whether the two may be the same coin.
    """

    now_ns: int
    facts: Facts
    chains: Mapping[str, Sequence[str]]
    is_live: Callable[[str, str], bool]
    comparable: Callable[[str, str, str], bool]


class _LiveSource(NamedTuple):
    """A source that is live for an instrument, and the channels expected of it."""

    entry: Entry
    begun_ns: int
    live_since_ns: int
    expected: list[Channel]


class ChannelWatch:
    """Find missing channels; `missing` maps (source, symbol) to each one and since when it is missing.

    `overdue` contains instruments with a channel that has been silent for so long that any event may show it
    to be missing; their events are awaited at all their sources. Each other instrument has a deadline: when
    its first channel becomes overdue.
    """

    def __init__(self, book: Book, limits: FailoverTimes) -> None:
        self.missing: dict[tuple[str, str], dict[Channel, int]] = {}
        self.overdue: set[str] = set()
        self._book = book
        self._limits = limits
        self._found_ns: dict[tuple[str, str, Channel], int] = {}
        self._checked_ns: int | None = None
        self._channel_counts: dict[str, int] = {}  # source → number of channels it was known to deliver
        self._marked: set[str] = set()
        self._deadlines: Deadlines[str] = Deadlines()

    def severity(self, source: str, symbol: str) -> int:
        """Return how serious the missing channels are; 0 if none is missing."""
        return sum(SEVERITY[channel] for channel in self.missing.get((source, symbol), ()))

    def since(self, source: str, symbol: str, channel: Channel) -> int | None:
        """Return since when a channel has been missing; None if it is not."""
        return self.missing.get((source, symbol), {}).get(channel)

    def describe(self, source: str, symbol: str) -> str | None:
        """Return which channels are missing, in words; None if none is."""
        found = self.missing.get((source, symbol))
        return ", ".join(DESCRIPTIONS[channel] for channel in CHANNELS if channel in found) if found else None

    def descriptions(self, source: str) -> dict[str, str]:
        """Return which channels of which symbols a source does not deliver, in words."""
        return {symbol: self.describe(of, symbol) or "" for of, symbol in self.missing if of == source}

    def mark(self, symbols: Iterable[str]) -> None:
        """Have these judged in the next round."""
        self._marked.update(symbols)

    def forget(self, symbol: str, chain: Sequence[str]) -> None:
        """Discard everything about `symbol`."""
        self.overdue.discard(symbol)
        self._marked.discard(symbol)
        self._deadlines.discard(symbol)
        for source in chain:
            for channel in self.missing.pop((source, symbol), ()):
                del self._found_ns[source, symbol, channel]

    def has_resumed(self, source: str, symbol: str) -> bool:
        """Return whether a missing channel has delivered data since it was found missing."""
        key, entry = (source, symbol), self._book.entry(source, symbol)
        return entry is not None and any(
            entry.channels.last_ns(channel) > self._found_ns[*key, channel]
            for channel in self.missing.get(key, ())
        )

    def clear_resumed(self, symbol: str, chain: Sequence[str], facts: Facts) -> dict[tuple[str, str], int]:
        """Remove channels of `symbol` that delivered data since, or whose source has reconnected.

        Returns, for each source with no missing channel left, when it delivered that data.
        """
        complete: dict[tuple[str, str], int] = {}
        for source in chain if self.missing else ():
            key = (source, symbol)
            if (found := self.missing.get(key)) is None:
                continue
            entry, begun_ns = self._book.entry(source, symbol), facts[source].of(symbol).unbroken_since_ns
            for channel in list(found):
                found_ns = self._found_ns[*key, channel]
                data_ns = entry.channels.last_ns(channel) if entry else 0
                if data_ns > found_ns or begun_ns > found_ns:
                    del found[channel], self._found_ns[*key, channel]
                    complete[key] = max(data_ns, complete.get(key, 0))
            if not found:
                del self.missing[key]
        return {key: data_ns for key, data_ns in complete.items() if key not in self.missing}

    def check(self, this: Round) -> list[MissingChannel]:
        """Judge what was marked or is due, a few times per `stale_after`; return newly missing channels."""
        checked_ns = self._checked_ns
        if checked_ns is not None and this.now_ns - checked_ns < self._limits.stale_after_ns // _CHECKS:
            return []
        self._checked_ns = this.now_ns
        self._mark_new_channels(this.chains)
        marked, self._marked = self._marked, set()
        marked.update(self._deadlines.due(this.now_ns))
        newly_missing: list[MissingChannel] = []
        for symbol in marked:
            if found := self._judge(symbol, this):
                self._marked.add(symbol)  # the others may now be judged without its trades
                newly_missing += found
        return newly_missing

    def _mark_new_channels(self, chains: Mapping[str, Sequence[str]]) -> None:
        """Expect of all instruments of a source what it delivers of one."""
        for source, known in self._channel_counts.items():
            if known != (count := len(self._book.of(source).gives)):
                self._channel_counts[source] = count
                self._marked.update(symbol for symbol, chain in chains.items() if source in chain)

    def _judge(self, symbol: str, this: Round) -> list[MissingChannel]:
        chain = this.chains.get(symbol, ())
        live = {
            name: self._live(name, symbol, entry, this)
            for name in chain
            if this.is_live(name, symbol) and (entry := self._book.entry(name, symbol)) is not None
        }
        newly_missing: list[MissingChannel] = []
        self.overdue.discard(symbol)
        for name, (entry, begun_ns, _, expected) in live.items():
            if overdue(entry, this.now_ns, begun_ns, self._limits, expected):
                self.overdue.add(symbol)
                others = _OtherSources(partial(self._others, name, symbol, live, this))
                found = missing_channels(entry, others, this.now_ns, begun_ns, self._limits, expected)
                newly_missing += self._record(name, symbol, found, this.now_ns)
        self._plan(symbol, live.values(), this.now_ns)
        if symbol in self.overdue:
            for name in chain:
                self._book.of(name).awaited.add(symbol)
        return newly_missing

    def _live(self, name: str, symbol: str, entry: Entry, this: Round) -> _LiveSource:
        connection = this.facts[name].of(symbol)
        return _LiveSource(
            entry, connection.unbroken_since_ns, connection.live_since_ns, self._expected(name, symbol)
        )

    def _record(
        self, name: str, symbol: str, found: Mapping[Channel, int], now_ns: int
    ) -> list[MissingChannel]:
        for channel, since_ns in found.items():
            self.missing.setdefault((name, symbol), {})[channel] = since_ns
            self._found_ns[name, symbol, channel] = now_ns
        return [MissingChannel(name, symbol, channel, since_ns) for channel, since_ns in found.items()]

    def _plan(self, symbol: str, live: Collection[_LiveSource], now_ns: int) -> None:
        """Have `symbol` judged again when the passing of time alone may change the result."""
        pauses = [pause for each in live if (pause := each.entry.channels.pause_ns) is not None]
        next_ns = min(
            (
                at_ns
                for entry, begun_ns, _, expected in live
                for at_ns in recheck_times(entry, pauses, begun_ns, self._limits, expected)
                if at_ns > now_ns
            ),
            default=None,
        )
        if next_ns is not None:
            self._deadlines.add(symbol, next_ns)

    def _others(
        self, name: str, symbol: str, live: Mapping[str, _LiveSource], this: Round
    ) -> Iterator[OtherSource]:
        for other, (entry, _, live_since_ns, _) in live.items():
            if other != name:
                yield OtherSource(
                    entry,
                    live_since_ns,
                    self.since(other, symbol, "trades") is None,
                    partial(this.comparable, symbol, name, other),
                )

    def _expected(self, source: str, symbol: str) -> list[Channel]:
        """List the channels to judge: trades and all that the source ever delivered, unless missing."""
        gives = self._book.of(source).gives
        self._channel_counts.setdefault(source, len(gives))
        missing = self.missing.get((source, symbol), ())
        return [
            channel
            for channel in CHANNELS
            if (channel in gives or channel in _TRADES) and channel not in missing
        ]


class _OtherSources:
    """The sources to compare with, created lazily in each iteration: most are not needed."""

    def __init__(self, find: Callable[[], Iterator[OtherSource]]) -> None:
        self._find = find

    def __iter__(self) -> Iterator[OtherSource]:
        return self._find()
