"""Compose the feed: which instruments there are, which sources carry them, and the sources' connections."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from decimal import Decimal
from functools import partial

from crypto_stream.engine.allocation import (
    allocate,
    allocation,
    carried_by,
    carries_pairs,
    left_out,
    named_pairs,
    unique,
)
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
from crypto_stream.feed.sources import Source
from crypto_stream.feed.split import Capacity, SplitSource
from crypto_stream.feed.standby import Standby
from crypto_stream.feed.validator import EventValidator
from crypto_stream.market.bars import Bar
from crypto_stream.market.book import Book
from crypto_stream.market.choices import Chosen
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.index import IndexRule, series_name
from crypto_stream.market.instruments import Instrument, Instruments, is_synthetic, pair
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)


class Composition:
    """The feed's parts, ready to run; `session_configs`: what the connections of each source share."""

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
        pairs: Sequence[Chosen] | None = None,
    ) -> None:
        """Determine instruments and chains from `sources`; `pin` and `bans` are those of the previous run.

        `pairs` are the chosen ones, by default those that the settings name. Raises SettingError if a source
        has no room for one that may be carried by any.
        """
        pairs = unique(named_pairs(settings, sources) if pairs is None else pairs)
        self.clock = clock or EngineClock(MachineClocks())
        self.book = Book()
        self._last_prices: dict[str, str] = {}
        self.accepted: list[Callable[[str, Update | Trade], None]] = []
        allocated = allocation(pairs, sources, only_pairs=settings.explicit_pairs)
        self.carried, self._left_out = allocated.carried, allocated.left_out
        self.instruments = Instruments(allocated.pairs)
        chains = self._build_chains(allocated.pairs, sources)
        limits = FailoverTimes(
            _ns(settings.stale_after), _ns(settings.quiet_after), _ns(settings.failback_after)
        )
        synthetic = [source.name for source in sources if source.synthetic]
        self.guard = JumpGuard(self.book, settings.jump_guard)
        self.failover = Failover(chains, self.book, limits, always=synthetic, guard=self.guard)
        standby = Standby(self.failover.chains.values(), settings.standby, limits.failback_after_ns)
        self.sources = list(sources)
        self.names: dict[str, Names] = {}
        self.session_configs = {
            source.name: self._session_config(settings, source, recorder) for source in self.sources
        }
        connections = {
            name: self._connections(config, remember_ban, bans.get(name, 0))
            for name, config in self.session_configs.items()
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

    def add(self, chosen: Sequence[Chosen]) -> list[str]:
        """Add pairs while the feed runs; return the symbols of those that some source has room for."""
        new: list[Chosen] = []
        for each in chosen:
            named = self.instruments.named(each.instrument)
            if named.symbol not in self.instruments:
                new.append(Chosen(self.instruments.add(named), each.sources))
        sources = [source for source in self.sources if carries_pairs(source)]
        wanted = {source.name: carried_by(source, new, only_pairs=True) for source in sources}
        rooms = {source.name: self.loop.sources[source.name].room for source in sources}
        chains: dict[str, list[str]] = {each.instrument.symbol: [] for each in new}
        for name, fitting in allocate(wanted, rooms).items():
            for instrument in self._carry(name, fitting):
                chains[instrument.symbol].append(name)
            self._left_out[name] += left_out(name, wanted[name], fitting)
        for symbol, chain in chains.items():
            if chain:
                self.loop.add(symbol, chain)
        self._forget({symbol for symbol, chain in chains.items() if not chain})
        return [symbol for symbol, chain in chains.items() if chain]

    def replace_pairs(self, chosen: Sequence[Chosen]) -> None:
        """Carry these pairs instead of the present ones; the sources' own instruments remain."""
        wanted = {self.instruments.named(each.instrument).symbol for each in chosen}
        own = {source.name for source in self.sources if not carries_pairs(source)}
        chains = self.failover.chains.items()
        self.remove({symbol for symbol, chain in chains if symbol not in wanted and own.isdisjoint(chain)})
        for name in self.loop.sources:
            self.use_room(name)
        self.add(chosen)
        for each in chosen:
            symbol = self.instruments.named(each.instrument).symbol
            if each.sources and symbol in self.instruments:
                self.extend(symbol, each.sources)

    def extend(self, symbol: str, names: Collection[str]) -> None:
        """Let further sources carry a pair, as far as they have room for it."""
        instrument, chain = self.instruments[symbol], self.failover.chains[symbol]
        barred = {source.name for source in self.sources if symbol in source.without}
        new = [name for name in names if name not in chain and name not in barred]
        new = [name for name in new if self.loop.sources[name].room != 0]
        new = [name for name in new if self._carry(name, [instrument])]
        if new:
            self._lengthen(symbol, new)

    def remove(self, symbols: Set[str]) -> None:
        """Remove pairs while the feed runs; `use_room` is to be called after all that leave together.

        Their last prices are retained in case they are added again.
        """
        leaving: dict[str, set[str]] = {source.name: set() for source in self.sources}
        for symbol in symbols:
            self.guard.retain(symbol)
            for name in self.failover.chains[symbol]:
                leaving[name].add(symbol)
            self.loop.remove(symbol)
        for source in self.sources:
            if leaving[source.name]:
                self._drop(source, leaving[source.name])
        self._forget(symbols)

    def _carry(self, name: str, instruments: Sequence[Instrument]) -> list[Instrument]:
        """Let a source carry more; leave out, and log, what it would confuse with another pair."""
        managed, names = self.loop.sources[name], self.names[name]
        fitting: list[Instrument] = []
        for instrument in instruments:
            try:
                names.add(instrument)
                fitting.append(instrument)
            except SettingError as error:
                extra = {"source": name, "symbol": instrument.symbol, "reason": str(error)}
                log.warning("a venue cannot carry a pair", extra=extra)
        self.carried[name] += fitting
        managed.listing.added(fitting)
        managed.add(fitting)
        return fitting

    def _lengthen(self, symbol: str, new: Collection[str]) -> None:
        """Add sources, which carry the instrument already, to its chain."""
        chain = self.failover.chains[symbol]
        self.loop.extend(symbol, [name for name in self.loop.sources if name in (*chain, *new)])

    def _drop(self, source: Source, symbols: Set[str]) -> None:
        """Let a source carry instruments no longer."""
        managed, names, carried = (
            self.loop.sources[source.name], self.names[source.name], self.carried[source.name]
        )  # fmt: skip
        managed.remove(list(symbols))
        for symbol in symbols:
            names.remove(symbol)
            self.book.of(source.name).forget(symbol)
        managed.listing.removed(symbols)
        carried[:] = [each for each in carried if each.symbol not in symbols]
        for symbol, watched in self._watched(source).items():
            if symbol in symbols:
                names.add(watched)
                managed.listing.added([watched])
                managed.watch(watched)

    def _forget(self, symbols: Set[str]) -> None:
        for symbol in symbols:
            self.instruments.remove(symbol)
        for left in self._left_out.values():
            left[:] = [symbol for symbol in left if symbol not in symbols]

    def use_room(self, name: str) -> list[str]:
        """Let a source carry what it had no room for before, and return that."""
        left, managed, used = self._left_out[name], self.loop.sources[name], list[str]()
        while left and managed.room != 0:  # what it would confuse with another pair takes none of it
            part = left[: managed.room]
            del left[: len(part)]
            new = [self.instruments[each] for each in part if name not in self.failover.chains[each]]
            for instrument in self._carry(name, new):
                self._lengthen(instrument.symbol, [name])
            used += part
        return used

    def restore_bars(self, last_bars: Mapping[str, Bar]) -> None:
        """Continue from the newest stored bar of each instrument; to be called before it is served."""
        now_ns, now_ms = time.monotonic_ns(), self.clock.now_ms()
        for symbol, bar in last_bars.items():
            self._last_prices[symbol] = bar.close
            if not is_synthetic(symbol):
                at_ns = now_ns - max(0, now_ms - bar.time) * 1_000_000
                self.guard.restore(symbol, reference_of_bar(bar.source, bar.close, at_ns))

    def _connections(
        self, config: SessionConfig, remember_ban: Callable[[str, int], None], banned_until_ms: int
    ) -> SplitSource:
        """Create as many reconnecting connections to a source as its instruments need."""
        source = config.source

        def open_one(
            instruments: Sequence[Instrument], first: ReconnectingSource | None
        ) -> ReconnectingSource:
            part = {each.symbol: each for each in instruments}
            own = config._replace(carried=part, watched=self._watched(source))
            return ReconnectingSource(own, remember_ban, banned_until_ms, first)

        capacity = Capacity(source.limits.instruments, source.limits.connections)
        return SplitSource(open_one, self.carried[source.name], capacity)

    def _watched(self, source: Source) -> dict[str, Instrument]:
        """Return a source's busy instrument, unless it carries that."""
        busy = pair(source.busy) if source.busy else None
        if busy is None or any(each.symbol == busy.symbol for each in self.carried[source.name]):
            return {}
        return {busy.symbol: busy}

    def _session_config(self, settings: Settings, source: Source, recorder: Recorder | None) -> SessionConfig:
        watched = self._watched(source).values()
        named = Names(source.name, source.venue_id, [*self.carried[source.name], *watched], source.names)
        self.names[source.name] = named
        return SessionConfig(
            source=source,
            carried={},
            watched={},
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


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
