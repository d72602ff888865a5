"""Compose the feed: which instruments there are, which sources carry them, and the sources' connections."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial

from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.errors import SettingError
from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.facts import FailoverTimes
from crypto_stream.feed.failover import Failover
from crypto_stream.feed.failover_loop import FailoverLoop
from crypto_stream.feed.guard import JumpGuard, reference_of_bar
from crypto_stream.feed.live_prices import LivePrices
from crypto_stream.feed.names import Names
from crypto_stream.feed.reconnect import ReconnectingSource
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.sources import Recording, Source
from crypto_stream.feed.split import ManagedSource, SplitSource
from crypto_stream.feed.standby import Standby
from crypto_stream.feed.validator import EventValidator
from crypto_stream.market.bars import Bar
from crypto_stream.market.book import Book
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.index import IndexRule, series_name
from crypto_stream.market.instruments import Instrument, Instruments, few, is_synthetic, pair
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)


def wanted_pairs(settings: Settings, sources: Sequence[Source]) -> list[Instrument]:
    """Return the configured real pairs; none if there are only recordings and `pairs` was not set."""
    venues = [source for source in sources if source.carries is None and not isinstance(source, Recording)]
    if not venues and not settings.explicit_pairs:
        return []
    pairs = Instruments()
    for text in settings.pairs:
        try:
            pairs.add(pair(text))
        except ValueError as error:
            raise SettingError(f"pairs: {error}") from None
    return list(pairs.values())


def carried_by(source: Source, pairs: Sequence[Instrument], *, only_pairs: bool) -> list[Instrument]:
    """Return what `source` carries: its own instruments, its recording's, or `pairs`; minus `without`."""
    carried = list(pairs) if source.carries is None else list(source.carries)
    if isinstance(source, Recording):
        carried = [each for each in source.scan() if not is_synthetic(each.symbol)]
        if only_pairs:
            wanted = {instrument.symbol for instrument in pairs}
            carried = [instrument for instrument in carried if instrument.symbol in wanted]
    return [instrument for instrument in carried if instrument.symbol not in source.without]


def allocate(
    wanted: Mapping[str, Sequence[Instrument]], capacities: Mapping[str, int | None]
) -> dict[str, list[Instrument]]:
    """Reduce what each source carries to its capacity, preferring instruments no earlier source carries.

    Raises SettingError if an instrument fits into no source.
    """
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
    symbols = {each.symbol for instruments in wanted.values() for each in instruments}
    if symbols - covered:
        limits = ", ".join(f"{name} carries {most}" for name, most in capacities.items() if most is not None)
        raise SettingError(f"pairs: {len(symbols)} are too many: {limits}")
    return carried


class Composition:
    """The feed's parts, connected and ready to run."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[Source],
        *,
        pin: str | None,
        bans: Mapping[str, int],
        remember_ban: Callable[[str, int], None],
        recorder: Recorder | None = None,
        clock: EngineClock | None = None,
    ) -> None:
        """Determine instruments and chains from `sources`; `pin` and `bans` are those of the previous run."""
        pairs = wanted_pairs(settings, sources)
        self.clock = clock or EngineClock(MachineClocks())
        self.book = Book()
        self._last_prices: dict[str, str] = {}
        self.instruments = Instruments(pairs)
        self.accepted: list[Callable[[str, Update | Trade], None]] = []
        wanted = {
            source.name: carried_by(source, pairs, only_pairs=settings.explicit_pairs) for source in sources
        }
        self.carried = allocate(wanted, {source.name: source.limits.max_instruments for source in sources})
        self._left_out = {name: _left_out(name, wanted[name], self.carried[name]) for name in wanted}
        chains = self._build_chains(pairs, sources)
        limits = FailoverTimes(
            _ns(settings.stale_after), _ns(settings.quiet_after), _ns(settings.failback_after)
        )
        synthetic = [source.name for source in sources if source.synthetic]
        self.guard = JumpGuard(self.book, settings.jump_guard)
        self.failover = Failover(chains, self.book, limits, always=synthetic, guard=self.guard)
        standby = Standby(self.failover.chains.values(), settings.standby, limits.failback_after_ns)
        self.sources = list(sources)
        self.names: dict[str, Names] = {}
        connections = {
            source.name: self._connections(
                self._session_config(settings, source, self.carried[source.name], recorder),
                remember_ban,
                bans.get(source.name, 0),
            )
            for source in self.sources
        }
        self.loop = FailoverLoop(connections, self.failover, standby, pin if pin in connections else None)
        self.live_prices = LivePrices(self.failover, self.book, self.loop.sources, limits)
        self.index_rule = IndexRule(settings.index_min, Decimal(str(settings.index_band)))

    @property
    def series(self) -> list[str]:
        """The names of all series of bars: the instruments, and the indexes that enough sources can form."""
        chains = self.failover.chains
        indexed = (symbol for symbol, chain in chains.items() if len(chain) >= self.index_rule.minimum)
        return [*self.instruments, *(series_name(each) for each in indexed if not is_synthetic(each))]

    def _build_chains(self, pairs: Sequence[Instrument], sources: Sequence[Source]) -> dict[str, list[str]]:
        """Register what the sources carry; return the sources of each instrument in order of preference."""
        chains: dict[str, list[str]] = {instrument.symbol: [] for instrument in pairs}
        for source in sources:
            known = [self._register(each, source.name) for each in self.carried[source.name]]
            self.carried[source.name] = known
            for instrument in known:
                chains.setdefault(instrument.symbol, []).append(source.name)
        return chains

    def _register(self, instrument: Instrument, source: str) -> Instrument:
        """Return the instrument as published; raise SettingError if only some sources call it synthetic."""
        known = self.instruments.get(instrument.symbol)
        if known is not None and known.synthetic != instrument.synthetic:
            raise SettingError(f"pairs: {known.symbol} is real for one source and synthetic for {source}")
        return self.instruments.add(instrument)

    def restore_bars(self, last_bars: Mapping[str, Bar]) -> None:
        """Continue from the newest stored bar of each instrument; to be called before anything runs."""
        self.restore_prices(last_bars)
        now_ns, now_ms = time.monotonic_ns(), self.clock.now_ms()
        for symbol, bar in last_bars.items():
            if not is_synthetic(symbol):
                at_ns = now_ns - max(0, now_ms - bar.time) * 1_000_000
                self.guard.restore(symbol, reference_of_bar(bar.source, bar.close, at_ns))

    def restore_prices(self, last_bars: Mapping[str, Bar]) -> None:
        """Let sources that generate prices, and have not begun, continue from the newest stored bars."""
        self._last_prices.update((symbol, bar.close) for symbol, bar in last_bars.items())

    def _connections(
        self, config: SessionConfig, remember_ban: Callable[[str, int], None], banned_until_ms: int
    ) -> ManagedSource:
        """Create as many reconnecting connections to a source as its instruments need."""
        size = config.source.limits.instruments or len(config.carried) or 1
        parts = [config.carried[at : at + size] for at in range(0, len(config.carried), size)]
        first = ReconnectingSource(
            config._replace(carried=parts[0] if parts else config.carried), remember_ban, banned_until_ms
        )
        rest = [
            ReconnectingSource(config._replace(carried=part), remember_ban, banned_until_ms, first)
            for part in parts[1:]
        ]
        return SplitSource([first, *rest]) if rest else first

    def _session_config(
        self, settings: Settings, source: Source, carried: Sequence[Instrument], recorder: Recorder | None
    ) -> SessionConfig:
        known = {instrument.symbol for instrument in carried}
        watched = [pair(source.busy)] if source.busy and source.busy not in known else []
        named = Names(source.name, source.venue_id, [*carried, *watched], source.names)
        self.names[source.name] = named
        return SessionConfig(
            source=source,
            carried=carried,
            watched=watched,
            names=named,
            book=self.book.of(source.name),
            validator=EventValidator(
                self.book.of(source.name),
                real_time=source.is_real_time and not source.synthetic,
                synthetic=source.synthetic,
            ),
            counts=Counter(),
            accepted=partial(self._on_accepted, source.name),
            changed=self._on_changed,
            seed=settings.seed,
            last_price=partial(self._last_price, source.name),
            now_ms=self.clock.now_ms,
            stale_after_ns=_ns(settings.stale_after),
            first_host_retry_ns=_ns(settings.quiet_after),
            ack_ns=_ns(settings.ack_timeout),
            connect_s=settings.connect_timeout,
            recorder=recorder,
            left_out=self._left_out[source.name],
        )

    def _last_price(self, source: str, symbol: str) -> str | None:
        entry = self.book.entry(source, symbol)
        return self._last_prices.get(symbol) if entry is None else entry.price

    def _on_changed(self) -> None:
        self.loop.changed()

    def _on_accepted(self, source: str, event: Update | Trade) -> None:
        for listener in self.accepted:
            listener(source, event)


def _left_out(source: str, wanted: Sequence[Instrument], carried: Sequence[Instrument]) -> list[str]:
    """Return, and log, the instruments that exceed a source's capacity."""
    known = {instrument.symbol for instrument in carried}
    left = [instrument.symbol for instrument in wanted if instrument.symbol not in known]
    if left:
        extra = {"source": source, "carries": len(carried), "left_out": len(left), "symbols": few(left)}
        log.warning("more pairs than a venue can carry, leaving the rest to other sources", extra=extra)
    return left


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
