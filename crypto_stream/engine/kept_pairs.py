"""The pairs that were chosen from lists or asked for, kept over restarts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crypto_stream.market.choices import Chosen
from crypto_stream.market.instruments import Instrument


class KeptPair(msgspec.Struct, frozen=True):
    """A chosen pair, and the sources that carried it; `asked`: by a request, not by the setting."""

    symbol: str
    base: str | None
    quote: str | None
    sources: list[str]
    asked: bool = False

    def chosen(self, known: Sequence[str]) -> Chosen:
        """Return it for a start with the `known` sources; if none of its own is left, each may carry it."""
        sources = frozenset(self.sources).intersection(known)
        return Chosen(Instrument(self.symbol, self.base, self.quote), sources or frozenset(known))


class KeptPairs(msgspec.Struct):
    """What a start needs of the previous run.

    `words` is the setting `pairs` that the pairs were chosen by; `removed` are the symbols that it chose, but
    a request removed; `largest`: each `top:N` of it has been resolved, which happens once.
    """

    words: list[str] = []
    pairs: list[KeptPair] = []
    removed: list[str] = []
    largest: bool = False

    def encode(self) -> str:
        """Return it as text to store."""
        return msgspec.json.encode(self).decode()

    def add(self, pairs: Sequence[KeptPair]) -> None:
        """Keep pairs, instead of what was known of them."""
        new = {pair.symbol: pair for pair in pairs}
        self.pairs = [*(each for each in self.pairs if each.symbol not in new), *new.values()]
        self.removed = [symbol for symbol in self.removed if symbol not in new]

    def remove(self, symbols: Sequence[str]) -> None:
        """Keep that pairs were removed, so that the setting does not choose them again."""
        gone = set(symbols)
        self.pairs = [each for each in self.pairs if each.symbol not in gone]
        self.removed = list(dict.fromkeys([*self.removed, *symbols]))


def restored(text: str | None, words: Sequence[str]) -> KeptPairs:
    """Return what was stored; if the setting has changed since, only what was asked for."""
    try:
        found = msgspec.json.decode(text or "{}", type=KeptPairs)
    except msgspec.MsgspecError:
        found = KeptPairs()
    if found.words != list(words):
        found = KeptPairs(list(words), [each for each in found.pairs if each.asked])
    return found
