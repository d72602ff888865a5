"""A viewer's subscription: symbols, interval, whole quotes or deltas, topics. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from crypto_stream.market.index import series_name, symbol_of_series

INTERVALS_MS = (0, 100, 250, 500, 1000, 2000, 5000)


def round_up(interval_ms: int) -> int:
    """Return the next longer interval that is served, or the longest one."""
    return next((served for served in INTERVALS_MS if served >= interval_ms), INTERVALS_MS[-1])


class Symbols(NamedTuple):
    """A set of symbols: those in `names`, or, with `everything`, all others, future ones included."""

    everything: bool = False
    names: frozenset[str] = frozenset()

    def plus(self, other: Symbols) -> Symbols:
        """Return the union."""
        if self.everything and other.everything:
            return Symbols(True, self.names & other.names)
        if self.everything:
            return Symbols(True, self.names - other.names)
        if other.everything:
            return Symbols(True, other.names - self.names)
        return Symbols(False, self.names | other.names)

    def minus(self, other: Symbols) -> Symbols:
        """Return the difference."""
        if self.everything and other.everything:
            return Symbols(False, other.names - self.names)
        if self.everything:
            return Symbols(True, self.names | other.names)
        if other.everything:
            return Symbols(False, self.names & other.names)
        return Symbols(False, self.names - other.names)

    def has(self, symbol: str) -> bool:
        """Return whether `symbol` is in the set."""
        return (symbol in self.names) != self.everything

    def among(self, positions: Mapping[str, int]) -> list[str]:
        """List those of the known symbols that are in the set, in the order of their `positions`.

        A set of a few names costs nothing for all the symbols that are not in it.
        """
        if self.everything:
            return [symbol for symbol in positions if symbol not in self.names]
        return sorted((symbol for symbol in self.names if symbol in positions), key=positions.__getitem__)


EVERYTHING = Symbols(True)


class Subscription(NamedTuple):
    """What a viewer gets; viewers with equal subscriptions share a channel.

    `topics` apply to every symbol, each with a variant (`("candles", "1m")`, or "index:1m" for bars of its
    index) or ""; `others` are topics that do not belong to instruments, with their keys.
    """

    symbols: Symbols
    interval_ms: int = 250
    delta: bool = False
    topics: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    @property
    def watches(self) -> bool:
        """Whether it includes more than quotes, which the engine must be asked for."""
        return bool(self.topics or self.others)

    def keys(self, positions: Mapping[str, int]) -> list[tuple[str, str]]:
        """List the (topic, key) pairs of the known symbols, grouped by symbol, then those of `others`."""
        of_each = [
            (topic, _key(symbol, part))
            for symbol in (self.symbols.among(positions) if self.topics else ())
            for topic, part in self.topics
        ]
        return [*of_each, *self.others]


def _key(symbol: str, part: str) -> str:
    if not part:
        return symbol
    of_index = symbol_of_series(part)
    return f"{symbol}/{part}" if of_index is None else f"{series_name(symbol)}/{of_index}"
