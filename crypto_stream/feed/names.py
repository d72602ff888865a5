"""What one venue calls our instruments: by the pair, by its own list, and by what a person said.

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

_MOST_FOUND = 10_000  # ids of a recording that are remembered


def read_without(text: str, setting: str) -> frozenset[str]:
    """Read a list of pairs, by symbol; SettingError names what is none."""
    try:
        return frozenset(pair(word).symbol for word in text.split(",") if word.strip())
    except ValueError as error:
        raise SettingError(f"{setting}: {error}") from None


def read_names(text: str, setting: str) -> dict[str, str]:
    """Read `OURS=THEIRS,...` of currencies; SettingError names what is none."""
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
    """What a venue's names of currencies are here, where a person said that some are called otherwise."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._ours = {theirs: ours for ours, theirs in names.items()}
        # What it calls as we call ours, which has another name there, is another coin.
        self._others = names.keys() - self._ours.keys()

    def ours(self, base: str, quote: str) -> tuple[str, str] | None:
        """Return a pair by our names; None where one of its currencies is another coin."""
        base, quote = base.upper(), quote.upper()
        if base in self._others or quote in self._others:
            return None
        return self._ours.get(base, base), self._ours.get(quote, quote)


class Names:
    """The venue's ids of instruments, and back.

    `by_id` is what a handler's reader looks ids up in: the same object for good, so that what the venue's
    list tells later counts at once. A pair that only the list knows has no id before.
    """

    def __init__(
        self,
        source: str,
        venue_id: Callable[[Instrument], str | None],
        instruments: Sequence[Instrument],
        names: Mapping[str, str],
    ) -> None:
        """Name `instruments` at the venue `source`, which calls currencies as `names` says.

        Raises SettingError where two of them would have one id.
        """
        self.by_id: dict[str, Instrument] = {}
        self._ids: dict[str, str] = {}
        self._instruments = {each.symbol: each for each in instruments}
        self._by_pair = {(each.base, each.quote): each for each in instruments if each.base and each.quote}
        self._currencies = _Currencies(names)
        for instrument in instruments:
            named = venue_id(renamed(instrument, names))
            if named is None:
                continue
            if (other := self.by_id.get(named)) is not None and other.symbol != instrument.symbol:
                setting = f"CRYPTO_STREAM_{source.upper()}_NAMES"
                raise SettingError(f"{setting}: two pairs would both be {named} there; leave one out")
            self._name(instrument, named)

    @property
    def symbols(self) -> frozenset[str]:
        """Of which instruments it knows."""
        return frozenset(self._instruments)

    def id_of(self, symbol: str) -> str | None:
        """Tell what the venue calls an instrument; None where that is not known."""
        return self._ids.get(symbol)

    def take(self, listed: Sequence[Listed]) -> dict[str, Listed]:
        """Learn ids from the venue's whole list; return what it says of our instruments, by symbol."""
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
        self._ids[instrument.symbol] = named
        self.by_id[named] = instrument


class Discovered(Mapping[str, Instrument]):
    """The instruments of a recording, by the venue's id: made as they come up, in that order."""

    def __init__(
        self,
        pair_of: Callable[[str], tuple[str, str] | None],
        names: Mapping[str, str],
        known: Mapping[str, Instrument],
    ) -> None:
        """Read ids by `pair_of`, name currencies as we do, and take `known` instruments as they are."""
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
            if len(self._found) >= _MOST_FOUND:
                self._found.clear()
            self._found[venue_id] = self._known.get(symbol) or Instrument(symbol, base, quote)
        return self._found[venue_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def renamed(instrument: Instrument, names: Mapping[str, str]) -> Instrument:
    """Return the instrument with its currencies named as `names` says."""
    base, quote = instrument.base, instrument.quote
    if not names or base is None or quote is None or not {base, quote} & names.keys():
        return instrument
    base, quote = names.get(base, base), names.get(quote, quote)
    return Instrument(fold(base + quote), base, quote, instrument.synthetic)
