"""Which channels of which instruments lack, judged where something came or fell due. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from crypto_stream.feed.channels import WEIGHT, WHAT, Lack, Other, lacks, overdue, turning_points
from crypto_stream.feed.deadlines import Deadlines
from crypto_stream.feed.facts import Facts, Limits
from crypto_stream.market.book import Book, Entry
from crypto_stream.market.channels import CHANNELS, Channel

_LOOKS = 5  # in the time after which a silent channel may be called so
_TRADES: frozenset[Channel] = frozenset({"trades"})  # owed by everybody: bars are made of them


class Round(NamedTuple):
    """What one round judges by.

    `chains` are the sources of each instrument. `is_live` says whether (source, symbol) counts,
    `comparable` whether of (symbol, source, other) one may tell something of the other.
    """

    now_ns: int
    facts: Facts
    chains: Mapping[str, Sequence[str]]
    is_live: Callable[[str, str], bool]
    comparable: Callable[[str, str, str], bool]


class _Live(NamedTuple):
    """A source that is live for an instrument: what it gave, since when it can, which channels it owes."""

    entry: Entry
    begun_ns: int
    live_since_ns: int
    owed: list[Channel]


class ChannelWatch:
    """Know which channels lack; `lacking` maps (source, symbol) to each of them and since when.

    `overdue` are the instruments of which a channel is silent for long, so that any event may decide: those
    are awaited at all their sources. All others have a deadline, when their first channel will be.
    """

    def __init__(self, book: Book, limits: Limits) -> None:
        """Begin with nothing lacking."""
        self.lacking: dict[tuple[str, str], dict[Channel, int]] = {}
        self.overdue: set[str] = set()
        self._book = book
        self._limits = limits
        self._noticed: dict[tuple[str, str, Channel], int] = {}
        self._looked_ns: int | None = None
        self._given: dict[str, int] = {}  # by source: how many channels it was known to have
        self._noted: set[str] = set()
        self._deadlines: Deadlines[str] = Deadlines()

    def weight(self, source: str, symbol: str) -> int:
        """Say how bad what lacks is; 0 where nothing does."""
        return sum(WEIGHT[channel] for channel in self.lacking.get((source, symbol), ()))

    def since(self, source: str, symbol: str, channel: Channel) -> int | None:
        """Tell since when a channel lacks, None where it does not."""
        return self.lacking.get((source, symbol), {}).get(channel)

    def why(self, source: str, symbol: str) -> str | None:
        """Say what lacks; None where nothing does."""
        found = self.lacking.get((source, symbol))
        return ", ".join(WHAT[channel] for channel in CHANNELS if channel in found) if found else None

    def whys(self, source: str) -> dict[str, str]:
        """Say of which symbols a source lacks what."""
        return {symbol: self.why(of, symbol) or "" for of, symbol in self.lacking if of == source}

    def note(self, symbols: Iterable[str]) -> None:
        """Judge these in the next round."""
        self._noted.update(symbols)

    def forget(self, symbol: str, chain: Sequence[str]) -> None:
        """Know nothing of `symbol` any more."""
        self.overdue.discard(symbol)
        self._noted.discard(symbol)
        self._deadlines.discard(symbol)
        for source in chain:
            for channel in self.lacking.pop((source, symbol), ()):
                del self._noticed[source, symbol, channel]

    def gave(self, source: str, symbol: str) -> bool:
        """Say whether one of the channels that lack gave data since that was noticed."""
        key, entry = (source, symbol), self._book.entry(source, symbol)
        return entry is not None and any(
            entry.channels.last_ns(channel) > self._noticed[*key, channel]
            for channel in self.lacking.get(key, ())
        )

    def forgive(self, symbol: str, chain: Sequence[str], facts: Facts) -> dict[tuple[str, str], int]:
        """Take out what gives data of `symbol` again, or had a new connection since.

        Return when those that are whole again gave their data.
        """
        whole: dict[tuple[str, str], int] = {}
        for source in chain if self.lacking else ():
            key = (source, symbol)
            if (found := self.lacking.get(key)) is None:
                continue
            entry, begun_ns = self._book.entry(source, symbol), facts[source].of(symbol).unbroken_since_ns
            for channel in list(found):
                noticed_ns = self._noticed[*key, channel]
                given_ns = entry.channels.last_ns(channel) if entry else 0
                if given_ns > noticed_ns or begun_ns > noticed_ns:
                    del found[channel], self._noticed[*key, channel]
                    whole[key] = max(given_ns, whole.get(key, 0))
            if not found:
                del self.lacking[key]
        return {key: given_ns for key, given_ns in whole.items() if key not in self.lacking}

    def look(self, this: Round) -> list[Lack]:
        """Judge what was noted or fell due, a few times in each `stale_after`; return what newly lacks."""
        looked_ns = self._looked_ns
        if looked_ns is not None and this.now_ns - looked_ns < self._limits.stale_after // _LOOKS:
            return []
        self._looked_ns = this.now_ns
        self._note_new_channels(this.chains)
        noted, self._noted = self._noted, set()
        noted.update(self._deadlines.due(this.now_ns))
        news: list[Lack] = []
        for symbol in noted:
            if found := self._judge(symbol, this):
                self._noted.add(symbol)  # who lacks trades tells nothing of the others' trades
                news += found
        return news

    def _note_new_channels(self, chains: Mapping[str, Sequence[str]]) -> None:
        """What a source gives of one instrument it owes of all."""
        for source, known in self._given.items():
            if known != (given := len(self._book.of(source).gives)):
                self._given[source] = given
                self._noted.update(symbol for symbol, chain in chains.items() if source in chain)

    def _judge(self, symbol: str, this: Round) -> list[Lack]:
        chain = this.chains.get(symbol, ())
        live = {
            name: self._live(name, symbol, entry, this)
            for name in chain
            if this.is_live(name, symbol) and (entry := self._book.entry(name, symbol)) is not None
        }
        news: list[Lack] = []
        self.overdue.discard(symbol)
        for name, (entry, begun_ns, _, owed) in live.items():
            if overdue(entry, this.now_ns, begun_ns, self._limits, owed):
                self.overdue.add(symbol)
                others = _Others(partial(self._others, name, symbol, live, this))
                found = lacks(entry, others, this.now_ns, begun_ns, self._limits, owed)
                news += self._keep(name, symbol, found, this.now_ns)
        self._plan(symbol, live.values(), this.now_ns)
        if symbol in self.overdue:
            for name in chain:
                self._book.of(name).awaited.add(symbol)
        return news

    def _live(self, name: str, symbol: str, entry: Entry, this: Round) -> _Live:
        line = this.facts[name].of(symbol)
        return _Live(entry, line.unbroken_since_ns, line.live_since_ns, self._owed(name, symbol))

    def _keep(self, name: str, symbol: str, found: Mapping[Channel, int], now_ns: int) -> list[Lack]:
        for channel, since_ns in found.items():
            self.lacking.setdefault((name, symbol), {})[channel] = since_ns
            self._noticed[name, symbol, channel] = now_ns
        return [Lack(name, symbol, channel, since_ns) for channel, since_ns in found.items()]

    def _plan(self, symbol: str, live: Collection[_Live], now_ns: int) -> None:
        """Have `symbol` judged again when time alone may change what was found."""
        pauses = [pause for each in live if (pause := each.entry.channels.pause_ns) is not None]
        next_ns = min(
            (
                at_ns
                for entry, begun_ns, _, owed in live
                for at_ns in turning_points(entry, pauses, begun_ns, self._limits, owed)
                if at_ns > now_ns
            ),
            default=None,
        )
        if next_ns is not None:
            self._deadlines.add(symbol, next_ns)

    def _others(self, name: str, symbol: str, live: Mapping[str, _Live], this: Round) -> Iterator[Other]:
        for other, (entry, _, live_since_ns, _) in live.items():
            if other != name:
                yield Other(
                    entry,
                    live_since_ns,
                    self.since(other, symbol, "trades") is None,
                    partial(this.comparable, symbol, name, other),
                )

    def _owed(self, source: str, symbol: str) -> list[Channel]:
        """List what a source owes and is not known to lack: trades, and what it ever gave of anything."""
        gives = self._book.of(source).gives
        self._given.setdefault(source, len(gives))
        lacking = self.lacking.get((source, symbol), ())
        return [
            channel
            for channel in CHANNELS
            if (channel in gives or channel in _TRADES) and channel not in lacking
        ]


class _Others:
    """Those whom a channel may be compared with, found anew each time somebody asks."""

    def __init__(self, find: Callable[[], Iterator[Other]]) -> None:
        """Ask nobody yet."""
        self._find = find

    def __iter__(self) -> Iterator[Other]:
        """Go through them."""
        return self._find()
