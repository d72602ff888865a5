"""Instruments and the rules of their symbols."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

# The quote currencies that the venues commonly use.
_QUOTE_NAMES = """
FDUSD BFUSD USDT USDC BUSD TUSD USDS USDP USDD PYUSD RLUSD USD1 EURI BIDR BVND IDRT BKRW DAI UST
BTC ETH BNB SOL TRX XRP DOT DOGE OKB OKT PAX VAI
USD EUR GBP TRY BRL RUB AUD UAH NGN ZAR PLN RON ARS JPY MXN COP CZK IDR CHF CAD KRW AED SGD HKD
"""
# Well-known base currencies: they resolve joined symbols with two readings (BNB/USD, not BN/BUSD).
_BASE_NAMES = """
ADA LTC BCH LINK AVAX ATOM UNI ETC XLM FIL NEAR APT ARB OP SUI TON SHIB PEPE BAT BNT DASH ZEC XMR EOS NEO
XTZ VET ALGO AAVE MKR COMP SNX CRV MANA SAND GRT ENJ ZRX KNC OMG QTUM WAVES STORJ HNT FTM MATIC POL
"""
# Characters of a symbol, including separators.
LONGEST = 80
# A search for similar symbols counts matches in at most this many known ones,
_MAX_SCANNED = 500
# compares this many of them,
_MAX_COMPARED = 30
# and returns those with at least this similarity (1: equal).
_MIN_SIMILARITY = 0.4
_SYNTHETIC = re.compile(r"ticker_?\d\d|eurusd|eurrub|usdrub")
_QUOTES = frozenset(_QUOTE_NAMES.split())
_BASES = _QUOTES | frozenset(_BASE_NAMES.split())


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """Something that is traded; `base` and `quote` are None if the symbol cannot be split."""

    symbol: str
    base: str | None
    quote: str | None
    synthetic: bool = False


Listener = Callable[[Sequence[Instrument], Sequence[Instrument]], None]  # receives those added and removed


def fold(text: str) -> str:
    """Normalize any usual spelling (`BTC-USDT`, `btc_usdt`, `Ticker_00`) to the key for look-ups."""
    return text.strip().casefold().replace("-", "").replace("/", "").replace("_", "")


def split_symbol(symbol: str) -> tuple[str | None, str | None]:
    """Split a joined pair (`btcusdt`) into base and quote (`BTC`, `USDT`), or return two None.

    A joined symbol does not show where the base ends. It is split before a known quote currency, preferably
    after a well-known base, then before the longest quote. Write `BASE-QUOTE` for pairs that this gets wrong.
    """
    upper = symbol.upper()
    readings = [(upper[:at], upper[at:]) for at in range(1, len(upper)) if upper[at:] in _QUOTES]
    known = [reading for reading in readings if reading[0] in _BASES]
    return next(iter(known or readings), (None, None))


def few(symbols: Sequence[str]) -> str:
    """Return symbols for a log line: the first ten, and an ellipsis if there are more."""
    return ",".join(symbols[:10]) + ",…" * (len(symbols) > 10)


def is_synthetic(symbol: str) -> bool:
    """Return whether `symbol` is reserved for synthetic instruments, which no venue ever serves."""
    return _SYNTHETIC.fullmatch(symbol) is not None


def pair(text: str) -> Instrument:
    """Return the instrument for a real pair as users write it: `btcusdt`, `BTC-USDT`, `BTC/USDT`.

    Raises ValueError for text that cannot be a pair.
    """
    symbol = fold(text)
    if not symbol or len(symbol) > 40 or not symbol.isalnum():
        raise ValueError(f"{text!r} is not a pair; write one like btcusdt or BTC-USDT, of at most 40 letters")
    if is_synthetic(symbol) or is_synthetic(text.strip().lower()):
        raise ValueError(f"{text!r} is a synthetic instrument, which only the synthetic source carries")
    for separator in "-/_":
        base, found, quote = text.strip().upper().partition(separator)
        if found and base and quote and not any(other in quote for other in "-/_"):
            return Instrument(symbol, base, quote)
    return Instrument(symbol, *split_symbol(symbol))


class Instruments(Mapping[str, Instrument]):
    """All instruments, by symbol; `listeners` are called when one is added or removed.

    A pair is identified by its base and quote. Its symbol is both joined; if another pair has that symbol
    already (AR/BUSD and ARB/USD), the later one's is hyphenated: `arb-usd`.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Start with `instruments`, in the given order."""
        self.listeners: list[Listener] = []
        self._by_symbol: dict[str, Instrument] = {}
        self._symbols: dict[tuple[str, str], str] = {}
        for instrument in instruments:
            self.add(instrument)

    def __getitem__(self, symbol: str) -> Instrument:
        return self._by_symbol[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)

    def named(self, instrument: Instrument) -> Instrument:
        """Return an instrument with the symbol that it has, or would have, here."""
        identity = _identity(instrument)
        if (known := self._symbols.get(identity)) is not None:
            return self._by_symbol[known]
        if instrument.symbol not in self._by_symbol:
            return instrument
        hyphenated = "-".join(part.lower() for part in identity)
        return msgspec.structs.replace(instrument, symbol=hyphenated)

    def add(self, instrument: Instrument) -> Instrument:
        """Add an instrument unless it is known, and return it with the symbol it has here."""
        instrument = self.named(instrument)
        if instrument.symbol not in self._by_symbol:
            self._symbols[_identity(instrument)] = instrument.symbol
            self._by_symbol[instrument.symbol] = instrument
            self._notify([instrument], [])
        return instrument

    def remove(self, symbol: str) -> None:
        """Remove an instrument, if there is one with this symbol."""
        if (instrument := self._by_symbol.pop(symbol, None)) is not None:
            del self._symbols[_identity(instrument)]
            self._notify([], [instrument])

    def _notify(self, added: list[Instrument], removed: list[Instrument]) -> None:
        for listener in self.listeners:
            listener(added, removed)


def _identity(instrument: Instrument) -> tuple[str, str]:
    """Return base and quote, or only the symbol if it cannot be split or is synthetic."""
    if instrument.synthetic or instrument.base is None or instrument.quote is None:
        return instrument.symbol, ""
    return instrument.base, instrument.quote


class Catalogue:
    """The known instruments, to be looked up by any usual spelling; it never changes.

    `positions` are the symbols in the order of the instruments, each with its place.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Keep `instruments` in the given order; of two with the same joined symbol the first is found."""
        self._by_key: dict[str, Instrument] = {}
        for instrument in instruments:
            key = fold(instrument.symbol)
            self._by_key.setdefault(instrument.symbol if key in self._by_key else key, instrument)
        self._symbols = [instrument.symbol for instrument in self]
        self.positions = {symbol: at for at, symbol in enumerate(self._symbols)}
        self._by_part: dict[str, list[str]] = {}
        self._parts = {key: _parts(key) for key in self._by_key}
        for key, parts in self._parts.items():
            for part in parts:
                self._by_part.setdefault(part, []).append(key)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, text: str) -> Instrument | None:
        """Return the instrument that `text` means, or None; preferably the one that is split as in `text`."""
        exact = text.strip().casefold()
        hyphenated = exact.replace("/", "-").replace("_", "-")
        return self._by_key.get(exact) or self._by_key.get(hyphenated) or self._by_key.get(fold(text))

    def neighbours(self, symbol: str) -> tuple[str, str]:
        """Return the symbols before and after a known one, in their order; the first follows the last."""
        at = self.positions[symbol]
        return self._symbols[at - 1], self._symbols[(at + 1) % len(self._symbols)]

    def near(self, text: str, most: int = 5) -> list[str]:
        """Return up to `most` known symbols similar to `text`, best first.

        The cost is bounded, however many instruments there are and whatever clients ask for.
        """
        parts = _parts(fold(text[:100])[:40])
        common: Counter[str] = Counter()
        left = _MAX_SCANNED
        rarest = sorted(parts, key=lambda part: (len(self._by_part.get(part, ())), part))
        for keys in (self._by_part.get(part, []) for part in rarest):
            common.update(keys[:left])
            left -= len(keys)
            if left <= 0:
                break
        # Those that share the rarest letter pairs are compared (Dice coefficient).
        similarity = {
            key: 2 * len(parts & self._parts[key]) / (len(parts) + len(self._parts[key]))
            for key, _ in common.most_common(_MAX_COMPARED)
        }
        similar = [key for key, value in similarity.items() if value >= _MIN_SIMILARITY]
        similar.sort(key=lambda key: (-similarity[key], key))
        return [self._by_key[key].symbol for key in similar[:most]]


def _parts(key: str) -> set[str]:
    """Return a key's pairs of adjacent letters (bigrams), including its two ends."""
    delimited = f"^{key}$"
    return {delimited[at : at + 2] for at in range(len(delimited) - 1)}
