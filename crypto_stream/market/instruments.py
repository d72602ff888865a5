"""Instruments and the rules of their symbols."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

# Currencies that pairs are quoted in; the usual ones of the venues.
_QUOTE_NAMES = """
FDUSD BFUSD USDT USDC BUSD TUSD USDS USDP USDD PYUSD RLUSD USD1 EURI BIDR BVND IDRT BKRW DAI UST
BTC ETH BNB SOL TRX XRP DOT DOGE OKB OKT PAX VAI
USD EUR GBP TRY BRL RUB AUD UAH NGN ZAR PLN RON ARS JPY MXN COP CZK IDR CHF CAD KRW AED SGD HKD
"""
# Well-known bases: they decide between two readings of a joined form (BNB/USD, not BN/BUSD).
_BASE_NAMES = """
ADA LTC BCH LINK AVAX ATOM UNI ETC XLM FIL NEAR APT ARB OP SUI TON SHIB PEPE BAT BNT DASH ZEC XMR EOS NEO
XTZ VET ALGO AAVE MKR COMP SNX CRV MANA SAND GRT ENJ ZRX KNC OMG QTUM WAVES STORJ HNT FTM MATIC POL
"""
# Letters of a symbol, its marks included.
LONGEST = 80
# Known keys that a search for similar ones looks at, at most, and how alike they must be (1: equal).
_LOOKED_AT = 500
_JUDGED = 30
_ALIKE = 0.4
_SYNTHETIC = re.compile(r"ticker_?\d\d|eurusd|eurrub|usdrub")
_QUOTES = frozenset(_QUOTE_NAMES.split())
_BASES = _QUOTES | frozenset(_BASE_NAMES.split())


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """Name one thing that is traded; `base` and `quote` are None where the symbol cannot be split."""

    symbol: str
    base: str | None
    quote: str | None
    synthetic: bool = False


# Told what came and what went.
Listener = Callable[[Sequence[Instrument], Sequence[Instrument]], None]


def fold(text: str) -> str:
    """Bring any usual spelling (`BTC-USDT`, `btc_usdt`, `Ticker_00`) to the key it is looked up by."""
    return text.strip().casefold().replace("-", "").replace("/", "").replace("_", "")


def likely(text: str) -> str:
    """Return the symbol that `text` spells, as far as that can be said before any instrument is known."""
    key = fold(text)
    return f"ticker_{key[6:]}" if key.startswith("ticker") and is_synthetic(key) else key


def split_symbol(symbol: str) -> tuple[str | None, str | None]:
    """Split a joined pair (`btcusdt`) into base and quote (`BTC`, `USDT`), or into two None.

    A joined form carries no mark where the base ends: known quote currencies decide, the reading with a
    well-known base first, then the longest quote. What this gets wrong is written `BASE-QUOTE`.
    """
    upper = symbol.upper()
    readings = [(upper[:at], upper[at:]) for at in range(1, len(upper)) if upper[at:] in _QUOTES]
    known = [reading for reading in readings if reading[0] in _BASES]
    return next(iter(known or readings), (None, None))


def few(symbols: Sequence[str]) -> str:
    """Write symbols for a line of a log: the first ten, and a mark where there are more."""
    return ",".join(symbols[:10]) + ",…" * (len(symbols) > 10)


def is_synthetic(symbol: str) -> bool:
    """Say whether `symbol` is synthetic for good: no venue ever serves it."""
    return _SYNTHETIC.fullmatch(symbol) is not None


def pair(text: str) -> Instrument:
    """Make the instrument of a real pair as a person writes it: `btcusdt`, `BTC-USDT`, `BTC/USDT`.

    Raises ValueError for text that cannot name a pair.
    """
    symbol = fold(text)
    if not symbol or len(symbol) > 40 or not symbol.isalnum():
        raise ValueError(f"{text!r} is no pair; write one like btcusdt or BTC-USDT, of at most 40 letters")
    if is_synthetic(symbol) or is_synthetic(text.strip().lower()):
        raise ValueError(f"{text!r} is a synthetic instrument; it is there with the synthetic source")
    for mark in "-/_":
        base, found, quote = text.strip().upper().partition(mark)
        if found and base and quote and not any(other in quote for other in "-/_"):
            return Instrument(symbol, base, quote)
    return Instrument(symbol, *split_symbol(symbol))


class Instruments(Mapping[str, Instrument]):
    """The instruments there are, by symbol; whoever needs to know when one comes or goes listens.

    The identity of a pair is its base and its quote. Its symbol is both, joined; where another pair has that
    symbol already (AR/BUSD and ARB/USD), the later one's is dashed: `arb-usd`.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Begin with `instruments`, in the given order."""
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

    def add(self, instrument: Instrument) -> Instrument:
        """Add an instrument where it is not there yet, and return it with the symbol that it has here."""
        identity = _identity(instrument)
        if (known := self._symbols.get(identity)) is not None:
            return self._by_symbol[known]
        if instrument.symbol in self._by_symbol:
            dashed = "-".join(part.lower() for part in identity)
            instrument = msgspec.structs.replace(instrument, symbol=dashed)
        self._symbols[identity] = instrument.symbol
        self._by_symbol[instrument.symbol] = instrument
        self._tell([instrument], [])
        return instrument

    def remove(self, symbol: str) -> None:
        """Remove an instrument; one that is not there changes nothing."""
        if (instrument := self._by_symbol.pop(symbol, None)) is not None:
            del self._symbols[_identity(instrument)]
            self._tell([], [instrument])

    def _tell(self, came: list[Instrument], went: list[Instrument]) -> None:
        for listener in self.listeners:
            listener(came, went)


def _identity(instrument: Instrument) -> tuple[str, str]:
    """Return base and quote; of what cannot be split, and of a synthetic instrument, its symbol alone."""
    if instrument.synthetic or instrument.base is None or instrument.quote is None:
        return instrument.symbol, ""
    return instrument.base, instrument.quote


class Catalogue:
    """Hold the known instruments; look them up by any usual spelling."""

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        """Keep `instruments` in the given order; the first of two with one joined symbol is found by it."""
        self._by_key: dict[str, Instrument] = {}
        for instrument in instruments:
            key = fold(instrument.symbol)
            self._by_key.setdefault(instrument.symbol if key in self._by_key else key, instrument)
        self._by_part: dict[str, list[str]] = {}
        self._size: dict[str, int] = {}
        for key in self._by_key:
            parts = _parts(key)
            self._size[key] = len(parts)
            for part in parts:
                self._by_part.setdefault(part, []).append(key)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, text: str) -> Instrument | None:
        """Find the instrument that `text` spells, or None; the exact symbol goes before other spellings."""
        return self._by_key.get(text.strip().casefold()) or self._by_key.get(fold(text))

    def near(self, text: str, most: int = 5) -> list[str]:
        """List up to `most` known symbols that look like `text`, best first.

        Strangers may ask for anything: what it costs is bounded, however many instruments there are.
        """
        parts = _parts(fold(text[:100])[:40])
        common: Counter[str] = Counter()
        left = _LOOKED_AT
        rarest = sorted(parts, key=lambda part: (len(self._by_part.get(part, ())), part))
        for keys in (self._by_part.get(part, []) for part in rarest):
            common.update(keys[:left])
            left -= len(keys)
            if left <= 0:
                break
        # Rare letters choose who is looked at whole.
        alike = {
            key: 2 * len(parts & _parts(key)) / (len(parts) + self._size[key])
            for key, _ in common.most_common(_JUDGED)
        }
        best = sorted((key for key, by in alike.items() if by >= _ALIKE), key=lambda key: (-alike[key], key))
        return [self._by_key[key].symbol for key in best[:most]]


def _parts(key: str) -> set[str]:
    """Cut a key into its pairs of neighbouring letters, its two ends included."""
    ended = f"^{key}$"
    return {ended[at : at + 2] for at in range(len(ended) - 1)}
