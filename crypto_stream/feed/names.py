"""A venue's ids of our instruments: derived from the pair, from its own list, or configured.

[binance.names]
NEIRO = "NEIROCTO"
[okx]
without = ["NEIRO-USDT"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from crypto_stream.errors import SettingError
from crypto_stream.feed.handler import Listed
from crypto_stream.market.instruments import Instrument, fold, pair

_MAX_FOUND = 10_000  # cached ids of a recording


def read_without(text: str, setting: str) -> frozenset[str]:
    """Parse a list of pairs into symbols; raise SettingError if one is not a pair."""
    try:
        return frozenset(pair(word).symbol for word in text.split(",") if word.strip())
    except ValueError as error:
        raise SettingError(f"{setting}: {error}") from None


def read_names(text: str, setting: str) -> dict[str, str]:
    """Parse `OURS=THEIRS,...` of currencies; raise SettingError if an item is invalid."""
    names: dict[str, str] = {}
    for word in filter(None, (each.strip() for each in text.split(","))):
        ours, _, theirs = (part.strip().upper() for part in word.partition("="))
        if not (ours.isalnum() and theirs.isalnum()):
            raise SettingError(f"{setting}: {word!r} is not allowed: write NEIRO=NEIROCTO, ours first")
        names[ours] = theirs
    if twice := sorted(their for their in set(names.values()) if list(names.values()).count(their) > 1):
        raise SettingError(f"{setting}: {twice[0]} stands for two currencies; give each its own")
    return names


class _Currencies:
    """Translates a venue's names of currencies into ours, as configured."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._ours = {theirs: ours for ours, theirs in names.items()}
        # A currency that we rename is another coin if the venue uses our name for it.
        self._others = names.keys() - self._ours.keys()

    def ours(self, base: str, quote: str) -> tuple[str, str] | None:
        """Return a pair in our names; None if one of its currencies is another coin."""
        base, quote = base.upper(), quote.upper()
        if base in self._others or quote in self._others:
            return None
        return self._ours.get(base, base), self._ours.get(quote, quote)


class Names:
    """The venue's ids of instruments, and the reverse.

    Readers look ids up in `by_id`, which is updated in place, so that ids from the venue's list take effect
    at once. A pair known only from the list has no id before. `version` grows with each change, at least.
    """

    def __init__(
        self,
        source: str,
        venue_id: Callable[[Instrument], str | None],
        instruments: Sequence[Instrument],
        names: Mapping[str, str],
    ) -> None:
        """Determine the ids of `instruments` at the venue `source`; `names` maps our currencies to its names.

        Raises SettingError if two instruments would have the same id.
        """
        self.by_id: dict[str, Instrument] = {}
        self.version = 0
        self._source = source
        self._venue_id = venue_id
        self._names = names
        self._ids: dict[str, str] = {}
        self._instruments: dict[str, Instrument] = {}
        self._by_pair: dict[tuple[str | None, str | None], Instrument] = {}
        self._currencies = _Currencies(names)
        for instrument in instruments:
            self.add(instrument)

    def add(self, instrument: Instrument) -> None:
        """Add an instrument; raise SettingError if it would have the id of another one."""
        named = self._venue_id(renamed(instrument, self._names))
        other = None if named is None else self.by_id.get(named)
        if other is not None and other.symbol != instrument.symbol and other.symbol in self._instruments:
            setting = f"CRYPTO_STREAM_{self._source.upper()}_NAMES"
            raise SettingError(f"{setting}: two pairs would both be {named} there; remove one")
        self.version += 1
        self._instruments[instrument.symbol] = instrument
        if instrument.base and instrument.quote:
            self._by_pair[instrument.base, instrument.quote] = instrument
        if named is not None:
            self._name(instrument, named)

    def remove(self, symbol: str) -> None:
        """Remove an instrument, but not from `by_id`: its frames must remain readable until they end."""
        self.version += 1
        instrument = self._instruments.pop(symbol)
        self._by_pair.pop((instrument.base, instrument.quote), None)
        self._ids.pop(symbol, None)

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols of all instruments, with or without an id."""
        return frozenset(self._instruments)

    @property
    def unnamed(self) -> frozenset[str]:
        """The symbols of the instruments whose id is not known yet."""
        return frozenset(self._instruments.keys() - self._ids.keys())

    def id_of(self, symbol: str) -> str | None:
        """Return the venue's id of an instrument; None if unknown."""
        return self._ids.get(symbol)

    def markets(self, listed: Sequence[Listed]) -> dict[tuple[str, str], Listed]:
        """Return the entries of a venue's list by base and quote, both in our names."""
        pairs = ((self._currencies.ours(each.base, each.quote), each) for each in listed)
        return {pair: each for pair, each in pairs if pair is not None}

    def carries(self, symbol: str) -> bool:
        """Return whether this instrument is among them."""
        return symbol in self._instruments

    def learn(self, listed: Sequence[Listed]) -> dict[str, Listed]:
        """Learn ids from the venue's complete list; return its entries of our instruments, by symbol."""
        found: dict[str, Listed] = {}
        for each in listed:
            split = self._currencies.ours(each.base, each.quote)
            if split is None:
                continue
            base, quote = split
            unsplit = self._instruments.get(fold(base + quote))
            if unsplit is not None and unsplit.base is not None:
                unsplit = None  # another pair of this joined name
            if (instrument := self._by_pair.get((base, quote)) or unsplit) is not None:
                found[instrument.symbol] = each
                self._name(instrument, each.id)
        return found

    def _name(self, instrument: Instrument, named: str) -> None:
        if (before := self._ids.get(instrument.symbol)) is not None:
            self.by_id.pop(before, None)
        self.version += 1
        self._ids[instrument.symbol] = named
        self.by_id[named] = instrument


class Discovered(Mapping[str, Instrument]):
    """The instruments of a recording, by the venue's id; created on first lookup, in that order."""

    def __init__(
        self,
        pair_of: Callable[[str], tuple[str, str] | None],
        names: Mapping[str, str],
        known: Mapping[str, Instrument],
    ) -> None:
        """Parse ids with `pair_of`, translate currencies, and use `known` instruments where they exist."""
        self._pair_of = pair_of
        self._known = known
        self._currencies = _Currencies(names)
        self._found: dict[str, Instrument] = {}

    def __getitem__(self, venue_id: str) -> Instrument:
        if venue_id not in self._found:
            theirs = self._pair_of(venue_id)
            split = None if theirs is None else self._currencies.ours(*theirs)
            if split is None:
                raise KeyError(venue_id)
            base, quote = split
            symbol = fold(base + quote)
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            self._found[venue_id] = self._known.get(symbol) or Instrument(symbol, base, quote)
        return self._found[venue_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def renamed(instrument: Instrument, names: Mapping[str, str]) -> Instrument:
    """Return the instrument with its currencies renamed according to `names`."""
    base, quote = instrument.base, instrument.quote
    if not names or base is None or quote is None or not {base, quote} & names.keys():
        return instrument
    base, quote = names.get(base, base), names.get(quote, quote)
    return Instrument(fold(base + quote), base, quote, instrument.synthetic)
