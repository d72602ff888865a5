"""Which pairs there are at the start, and which sources carry them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from crypto_stream.errors import SettingError
from crypto_stream.feed.sources import Recording, Source
from crypto_stream.market.choices import Choice, Chosen, Named, parse_choice
from crypto_stream.market.instruments import Instrument, Instruments, few, is_synthetic, pair
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)

# Instead of the default of the setting `pairs`, while no venue's list is known.
WITHOUT_LIST = ("btcusdt", "ethusdt", "xrpusdt")


class Allocation(NamedTuple):
    """What each source carries, and what it has no room for although others do; `pairs`: all there are."""

    carried: dict[str, list[Instrument]]
    left_out: dict[str, list[str]]
    pairs: list[Instrument]


def choices(settings: Settings) -> list[Choice]:
    """Parse the setting `pairs`; raise SettingError if a part of it is invalid."""
    try:
        return [parse_choice(text) for text in settings.pairs]
    except ValueError as error:
        raise SettingError(f"pairs: {error}") from None


def has_venues(sources: Sequence[Source]) -> bool:
    """Return whether any source carries the pairs of the settings."""
    return any(carries_pairs(source) for source in sources)


def carries_pairs(source: Source) -> bool:
    """Return whether a source carries whatever pairs are chosen, rather than instruments of its own."""
    return source.carries is None and not isinstance(source, Recording)


def named_pairs(settings: Settings, sources: Sequence[Source]) -> list[Chosen]:
    """Return the pairs that the settings name, or three by default.

    None if there are only recordings and `pairs` was not set.
    """
    if not settings.explicit_pairs:
        return [Chosen(pair(text)) for text in WITHOUT_LIST] if has_venues(sources) else []
    return [Chosen(each.instrument) for each in choices(settings) if isinstance(each, Named)]


def unique(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Leave out repeated pairs, and give each the symbol that it has among all."""
    pairs = Instruments()
    found: dict[str, Chosen] = {}
    for each in chosen:
        instrument = pairs.add(each.instrument)
        found.setdefault(instrument.symbol, Chosen(instrument, each.sources))
    return list(found.values())


def allocation(pairs: Sequence[Chosen], sources: Sequence[Source], *, only_pairs: bool) -> Allocation:
    """Determine what each source carries at the start; raise SettingError if a named pair fits nowhere.

    There is no pair from lists for which no source has room.
    """
    wanted = {source.name: carried_by(source, pairs, only_pairs=only_pairs) for source in sources}
    capacities = {source.name: source.limits.max_instruments for source in sources}
    carried = allocate(wanted, capacities)
    named = {each.instrument.symbol for each in pairs if each.sources is None}
    _check_room(wanted, carried, capacities, named)
    there = named.union(each.symbol for instruments in carried.values() for each in instruments)
    left = {name: left_out(name, wanted[name], carried[name]) for name in wanted}
    return Allocation(
        carried,
        {name: [symbol for symbol in symbols if symbol in there] for name, symbols in left.items()},
        [each.instrument for each in pairs if each.instrument.symbol in there],
    )


def carried_by(source: Source, chosen: Sequence[Chosen], *, only_pairs: bool) -> list[Instrument]:
    """Return what `source` carries: its own instruments, its recording's, or pairs; minus `without`."""
    if isinstance(source, Recording):
        carried = [each for each in source.scan() if not is_synthetic(each.symbol)]
        if only_pairs:
            wanted = {each.instrument.symbol for each in chosen}
            carried = [instrument for instrument in carried if instrument.symbol in wanted]
    elif source.carries is not None:
        carried = list(source.carries)
    else:
        carried = [each.instrument for each in chosen if each.sources is None or source.name in each.sources]
    return [instrument for instrument in carried if instrument.symbol not in source.without]


def allocate(
    wanted: Mapping[str, Sequence[Instrument]], capacities: Mapping[str, int | None]
) -> dict[str, list[Instrument]]:
    """Reduce what each source carries to its capacity, preferring instruments no earlier source carries."""
    carried: dict[str, list[Instrument]] = {}
    covered: set[str] = set()
    for name, instruments in wanted.items():
        capacity = capacities[name]
        if capacity is None or len(instruments) <= capacity:
            carried[name] = list(instruments)
        else:
            by_priority = sorted(instruments, key=lambda each: each.symbol in covered)  # a stable sort
            chosen = {each.symbol for each in by_priority[:capacity]}
            carried[name] = [each for each in instruments if each.symbol in chosen]
        covered.update(each.symbol for each in carried[name])
    return carried


def _check_room(
    wanted: Mapping[str, Sequence[Instrument]],
    carried: Mapping[str, Sequence[Instrument]],
    capacities: Mapping[str, int | None],
    named: Set[str],
) -> None:
    """Raise SettingError if a `named` instrument fits into no source."""
    symbols = {each.symbol for instruments in wanted.values() for each in instruments}
    left = symbols - {each.symbol for instruments in carried.values() for each in instruments}
    if left & named:
        limits = ", ".join(f"{name} carries {most}" for name, most in capacities.items() if most is not None)
        raise SettingError(f"pairs: {len(symbols)} are too many: {limits}")


def left_out(source: str, wanted: Sequence[Instrument], carried: Sequence[Instrument]) -> list[str]:
    """Return, and log, the instruments that exceed a source's capacity."""
    known = {instrument.symbol for instrument in carried}
    left = [instrument.symbol for instrument in wanted if instrument.symbol not in known]
    if left:
        extra = {"source": source, "carries": len(carried), "left_out": len(left), "symbols": few(left)}
        log.warning("more pairs than a venue can carry, leaving the rest to other sources", extra=extra)
    return left
