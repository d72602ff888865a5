"""What a person says of one source: which pairs it has not, and what it calls a currency that others call X.

[binance.names]
NEIRO = "NEIROCTO"
[okx]
without = ["NEIRO-USDT"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from crypto_stream.errors import SettingError
from crypto_stream.feed.source import (
    Event,
    InstrumentStatus,
    Listed,
    Refused,
    Request,
    Source,
    Trade,
    Update,
)
from crypto_stream.market.bars import Bar
from crypto_stream.market.instruments import Instrument, fold, pair

# What the venue names as we name something else: no symbol of ours is spelled so.
_FOREIGN = "?"


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


def ours(source: Source, found: Sequence[Instrument]) -> list[Instrument]:
    """Name the instruments of a recording as we do."""
    back = {theirs: ours for ours, theirs in source.names.items()}
    return [_renamed(instrument, back) for instrument in found]


def named(source: Source, carried: Sequence[Instrument]) -> Source:
    """Return `source` translating between our names of what it carries and its venue's, both ways."""
    theirs = {each.symbol: _renamed(each, source.names) for each in carried}
    changed = {symbol: their for symbol, their in theirs.items() if their.symbol != symbol}
    if not changed:
        return source
    taken = [their.symbol for their in theirs.values()]
    if twice := sorted(symbol for symbol in set(taken) if taken.count(symbol) > 1):
        setting = f"CRYPTO_STREAM_{source.name.upper()}_NAMES"
        raise SettingError(f"{setting}: two pairs would both be {twice[0]} there; leave one out")
    return _Naming(changed).of(source)


class _Naming:
    """Translate what goes to a handler and what comes from it; what is named alike passes unchanged."""

    def __init__(self, changed: Mapping[str, Instrument]) -> None:
        """Take the venue's instrument of each of our symbols that differs."""
        self._theirs = changed
        self._ours = {
            **{symbol: _FOREIGN + symbol for symbol in changed},
            **{their.symbol: symbol for symbol, their in changed.items()},
        }

    def of(self, source: Source) -> Source:
        """Wrap every function of `source` that names an instrument."""
        wrap: dict[str, Any] = {
            "parse": self._parse(source.parse) if source.parse else None,
            "subscribe": self._requests(source.subscribe) if source.subscribe else None,
            "unsubscribe": self._requests(source.unsubscribe) if source.unsubscribe else None,
            "instruments": self._listing(source.instruments) if source.instruments else None,
            "candles": self._candles(source.candles) if source.candles else None,
        }
        if url := source.url:
            wrap["url"] = lambda base, instruments: url(base, self._to(instruments))
        return msgspec.structs.replace(source, **wrap)

    def _to(self, instruments: Sequence[Instrument]) -> list[Instrument]:
        return [self._theirs.get(each.symbol, each) for each in instruments]

    def _parse(self, parse: Callable[[bytes], list[Event]]) -> Callable[[bytes], list[Event]]:
        def translated(frame: bytes) -> list[Event]:
            return [self._event(event) for event in parse(frame)]

        return translated

    def _event(self, event: Event) -> Event:
        if isinstance(event, (Update, Trade, Refused, InstrumentStatus)) and event.symbol in self._ours:
            return msgspec.structs.replace(event, symbol=self._ours[event.symbol])
        return event

    def _requests(
        self, make: Callable[[Sequence[Instrument]], list[Request]]
    ) -> Callable[[Sequence[Instrument]], list[Request]]:
        def translated(instruments: Sequence[Instrument]) -> list[Request]:
            return [
                request._replace(symbols=tuple(self._ours.get(each, each) for each in request.symbols))
                for request in make(self._to(instruments))
            ]

        return translated

    def _listing(self, fetch: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def translated(http: Any) -> dict[str, Listed]:
            listed: dict[str, Listed] = await fetch(http)
            return {self._ours.get(symbol, symbol): each for symbol, each in listed.items()}

        return translated

    def _candles(self, fetch: Callable[..., Any]) -> Callable[..., Any]:
        async def translated(http: Any, instrument: Instrument, interval: str) -> list[Bar]:
            bars: list[Bar] = await fetch(http, self._theirs.get(instrument.symbol, instrument), interval)
            return bars

        return translated


def _renamed(instrument: Instrument, names: Mapping[str, str]) -> Instrument:
    base, quote = instrument.base, instrument.quote
    if not names or base is None or quote is None or not {base, quote} & names.keys():
        return instrument
    base, quote = names.get(base, base), names.get(quote, quote)
    return Instrument(fold(base + quote), base, quote, instrument.synthetic)
