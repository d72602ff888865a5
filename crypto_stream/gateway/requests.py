"""The subscribe and unsubscribe requests of viewers, parsed and validated. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from crypto_stream.errors import RefusedError
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.subscriptions import EVERYTHING, Subscription, Symbols, round_up
from crypto_stream.gateway.topics import OF_SYMBOLS, TOPICS
from crypto_stream.market.bars import INTERVALS
from crypto_stream.market.index import symbol_of_series
from crypto_stream.market.instruments import LONGEST, fold

# Instruments for which one viewer may watch topics: each costs the engine messages.
MAX_WATCHED = 20
# Symbols that one viewer may name before the instruments are known.
MAX_UNKNOWN = 1_000

_TOO_MANY = f"candles and topics are served for at most {MAX_WATCHED} symbols"


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `subscribe`."""

    symbols: list[str] | Literal["all"]
    interval_ms: Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)] = 250
    delta: bool = False
    candles: str | None = None
    venues: bool = False
    topics: list[str] = []


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload of `unsubscribe`."""

    symbols: list[str] | Literal["all"]


_Payload = TypeVar("_Payload", Subscribe, Unsubscribe)


def parse_subscribe(
    mirror: Mirror, present: Subscription | None, payload: tuple[object, ...]
) -> Subscription:
    """Return the viewer's new subscription after a `subscribe`; RefusedError if it is invalid."""
    ask = _read(Subscribe, payload)
    if ask.candles is not None and (symbol_of_series(ask.candles) or ask.candles) not in INTERVALS:
        known = ", ".join(INTERVALS)
        raise RefusedError("unknown_interval", f"candles must be null, one of {known}, or index: before one")
    if ask.interval_ms != int(ask.interval_ms):  # some languages write 1000 as 1000.0
        raise RefusedError("bad_payload", "interval_ms must be a whole number of milliseconds")
    symbols = _symbols(mirror, ask.symbols)
    if present is not None:
        if present.symbols.everything:
            symbols = _as_spelled(mirror, present.symbols, symbols)
        symbols = present.symbols.plus(symbols)
    _check_unknown(mirror, symbols)
    named = {text for text in ask.topics if text in OF_SYMBOLS} | ({"venues"} if ask.venues else set())
    topics = [(name, "") for name in OF_SYMBOLS if name in named]
    topics += [("candles", ask.candles)] if ask.candles else []
    if topics and len(symbols.among(mirror.catalogue.positions)) > MAX_WATCHED:
        raise RefusedError("too_many_symbols", _TOO_MANY)
    others = tuple(sorted({_other(text) for text in ask.topics if text not in OF_SYMBOLS}))
    if len(others) > MAX_WATCHED:
        raise RefusedError("too_many_topics", f"at most {MAX_WATCHED} topics")
    return Subscription(symbols, round_up(int(ask.interval_ms)), ask.delta, tuple(topics), others)


def parse_unsubscribe(
    mirror: Mirror, present: Subscription | None, payload: tuple[object, ...]
) -> Subscription:
    """Return what remains of the viewer's subscription after an `unsubscribe`; RefusedError if invalid."""
    symbols = _symbols(mirror, _read(Unsubscribe, payload).symbols)
    present = present or Subscription(Symbols())
    if not present.symbols.everything:
        symbols = _as_spelled(mirror, present.symbols, symbols)
    remaining = present.symbols.minus(symbols)
    _check_unknown(mirror, remaining)
    return present._replace(symbols=remaining)


def resolve(mirror: Mirror, wanted: Subscription) -> tuple[Subscription, dict[str, Any] | None]:
    """Resolve a subscription accepted before the instruments were known.

    Return what can be served, and a refusal for the rest, or None if nothing is refused.
    """
    names: set[str] = set()
    unknown = []
    for text in wanted.symbols.names:
        found = mirror.catalogue.find(text)
        if found is not None:
            names.add(found.symbol)
        elif not wanted.symbols.everything:
            unknown.append(text)
    wanted = wanted._replace(symbols=Symbols(wanted.symbols.everything, frozenset(names)))
    if wanted.topics and len(wanted.symbols.among(mirror.catalogue.positions)) > MAX_WATCHED:
        return wanted._replace(topics=()), _refused("too_many_symbols", [], _TOO_MANY)
    if not unknown:
        return wanted, None
    return wanted, _refused(
        "unknown_symbol", sorted(unknown), f"no instrument {', '.join(sorted(unknown)[:5])}"
    )


def _as_spelled(mirror: Mirror, present: Symbols, wanted: Symbols) -> Symbols:
    """Spell symbols that are taken out of `present.names` as they stand there.

    Until the instruments are known, `BTC/USDT` and `btcusdt` are two names of one, but `arb-usd` and `arbusd`
    may be two instruments. In doubt the viewer gets more: a name that is subscribed to exactly as written is
    the only one that goes; of those that are not to be served, all that look alike go.
    """
    if mirror.epoch is not None:
        return wanted
    alike: dict[str, set[str]] = {}
    for text in present.names:
        alike.setdefault(fold(text), set()).add(text)
    names: set[str] = set()
    for text in wanted.names:
        exact = text in present.names and not present.everything
        names |= {text} if exact else alike.get(fold(text), {text})
    return wanted._replace(names=frozenset(names))


def _check_unknown(mirror: Mirror, symbols: Symbols) -> None:
    if mirror.epoch is None and len(symbols.names) > MAX_UNKNOWN:
        text = f'until the engine is connected, name at most {MAX_UNKNOWN} symbols, or "all"'
        raise RefusedError("too_many_symbols", text)


def _other(text: str) -> tuple[str, str]:
    """Parse `TOPIC/KEY` of a topic whose keys are not symbols."""
    topic, _, key = text.partition("/")
    if topic not in TOPICS or TOPICS[topic].of_instruments or not 0 < len(key) <= LONGEST:
        keyed = [f"{name}/…" for name, served in TOPICS.items() if not served.of_instruments]
        known = ", ".join([*OF_SYMBOLS, *keyed])
        raise RefusedError("unknown_topic", f"no topic {text[:40]!r}; there are: {known}")
    return topic, key


def _refused(code: str, symbols: list[str], reason: str) -> dict[str, Any]:
    return {"code": code, "symbols": symbols, "reason": reason}


def _read(kind: type[_Payload], payload: tuple[object, ...]) -> _Payload:
    if len(payload) != 1:
        raise RefusedError("bad_payload", f"send one object, not {len(payload)} values")
    try:
        return msgspec.convert(payload[0], kind)
    except msgspec.ValidationError as error:
        text = str(error)
        if text.endswith("`$.symbols`"):  # msgspec's message mentions only one of the two types
            text = 'symbols must be a list of symbols or "all"'
        raise RefusedError("bad_payload", text) from None


def _symbols(mirror: Mirror, wanted: list[str] | Literal["all"]) -> Symbols:
    if isinstance(wanted, str):
        return EVERYTHING
    if mirror.epoch is None:
        too_long = next((text for text in wanted if not 0 < len(text) <= LONGEST), None)
        if too_long is not None:
            raise RefusedError("unknown_symbol", f"no instrument {too_long[:40]!r}")
        return Symbols(False, frozenset(text.strip().casefold() for text in wanted))
    found = set()
    for text in wanted:
        instrument = mirror.catalogue.find(text)
        if instrument is None:
            near = mirror.catalogue.near(text)
            meant = f"; did you mean {', '.join(near)}?" if near else ""
            raise RefusedError("unknown_symbol", f"no instrument {text[:40]!r}{meant}")
        found.add(instrument.symbol)
    return Symbols(False, frozenset(found))
