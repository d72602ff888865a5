"""Put the feed together: which instruments there are, which sources carry them, and their lines."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.errors import SettingError
from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.facts import Limits
from crypto_stream.feed.failover import Failover
from crypto_stream.feed.failover_loop import FailoverLoop
from crypto_stream.feed.guard import JumpGuard, former
from crypto_stream.feed.judge import Judge
from crypto_stream.feed.names import Names
from crypto_stream.feed.reconnect import ReconnectingSource
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.sources import Recording, Source
from crypto_stream.feed.split import KeptSource, SplitSource
from crypto_stream.feed.standby import Standby
from crypto_stream.market.bars import Bar
from crypto_stream.market.book import Book
from crypto_stream.market.clock import EngineClock
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instrument, Instruments, few, is_synthetic, pair
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)


def wanted_pairs(settings: Settings, sources: Sequence[Source]) -> list[Instrument]:
    """Return the configured real pairs; recordings alone bring their own unless a person named pairs."""
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
    """Return what `source` carries: its own list, its recording's, or the pairs; less what it is without."""
    carried = list(pairs) if source.carries is None else list(source.carries)
    if isinstance(source, Recording):
        carried = [each for each in source.scan() if not is_synthetic(each.symbol)]
        if only_pairs:
            wanted = {instrument.symbol for instrument in pairs}
            carried = [instrument for instrument in carried if instrument.symbol in wanted]
    return [instrument for instrument in carried if instrument.symbol not in source.without]


def allotted(
    carried: Mapping[str, Sequence[Instrument]], most: Mapping[str, int | None]
) -> dict[str, list[Instrument]]:
    """Cut what each source carries to the most it can: first what nobody before it carries, then the rest.

    Raises SettingError for a pair that none has room for.
    """
    cut: dict[str, list[Instrument]] = {}
    covered: set[str] = set()
    for name, instruments in carried.items():
        room = most[name]
        if room is None or len(instruments) <= room:
            cut[name] = list(instruments)
        else:
            first = sorted(instruments, key=lambda each: each.symbol in covered)  # stable: as a person wrote
            kept = {each.symbol for each in first[:room]}
            cut[name] = [each for each in instruments if each.symbol in kept]
        covered.update(each.symbol for each in cut[name])
    wanted = {each.symbol for instruments in carried.values() for each in instruments}
    if wanted - covered:
        limits = ", ".join(f"{name} carries {room}" for name, room in most.items() if room is not None)
        raise SettingError(f"pairs: {len(wanted)} are too many: {limits}")
    return cut


class Assembly:
    """The feed's parts, ready to run."""

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
        """Read instruments and chains out of `sources`; `pin` and `bans` are what a former life left."""
        pairs = wanted_pairs(settings, sources)
        self.clock = clock or EngineClock(MachineClocks())
        self.book = Book()
        self._last_prices: dict[str, str] = {}
        self.instruments = Instruments(pairs)
        self.accepted: list[Callable[[str, Update | Trade], None]] = []
        chains: dict[str, list[str]] = {instrument.symbol: [] for instrument in pairs}
        wanted = {
            source.name: carried_by(source, pairs, only_pairs=settings.explicit_pairs) for source in sources
        }
        self.carried = allotted(wanted, {source.name: source.limits.most for source in sources})
        self._left_out = {name: _left_out(name, wanted[name], self.carried[name]) for name in wanted}
        for source in sources:
            known = [self._known(each, source.name) for each in self.carried[source.name]]
            self.carried[source.name] = known
            for instrument in known:
                chains.setdefault(instrument.symbol, []).append(source.name)
        limits = Limits(_ns(settings.stale_after), _ns(settings.quiet_after), _ns(settings.failback_after))
        synthetic = [source.name for source in sources if source.synthetic]
        self.guard = JumpGuard(self.book, settings.jump_guard)
        self.failover = Failover(chains, self.book, limits, always=synthetic, guard=self.guard)
        standby = Standby(self.failover.chains.values(), settings.standby, limits.failback_after)
        self.sources = list(sources)
        self.names: dict[str, Names] = {}
        lines = {
            source.name: self._kept(
                self._session_config(settings, source, self.carried[source.name], recorder),
                remember_ban,
                bans.get(source.name, 0),
            )
            for source in self.sources
        }
        self.board = FailoverLoop(lines, self.failover, standby, pin if pin in lines else None)

    def _known(self, instrument: Instrument, source: str) -> Instrument:
        """Return the instrument as published; SettingError where it is synthetic for one source alone."""
        known = self.instruments.get(instrument.symbol)
        if known is not None and known.synthetic != instrument.synthetic:
            raise SettingError(f"pairs: {known.symbol} is real for one source and synthetic for {source}")
        return self.instruments.add(instrument)

    def recall(self, last_bars: Mapping[str, Bar]) -> None:
        """Take the newest bar of each instrument that a former life left, before anything runs."""
        now_ns, now_ms = time.monotonic_ns(), self.clock.now_ms()
        for symbol, bar in last_bars.items():
            self._last_prices[symbol] = bar.close
            if not is_synthetic(symbol):
                at_ns = now_ns - max(0, now_ms - bar.time) * 1_000_000
                self.guard.restore(symbol, former(bar.source, bar.close, at_ns))

    def _kept(
        self, config: SessionConfig, remember_ban: Callable[[str, int], None], banned_until_ms: int
    ) -> KeptSource:
        """Keep a source connected, over as many connections as its instruments need."""
        at_once = config.source.limits.instruments or len(config.carried) or 1
        parts = [config.carried[at : at + at_once] for at in range(0, len(config.carried), at_once)]
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
            judge=Judge(
                self.book.of(source.name),
                live=source.of_now and not source.synthetic,
                synthetic=source.synthetic,
            ),
            counts=Counter(),
            accepted=partial(self._on_accepted, source.name),
            changed=self._on_changed,
            seed=settings.seed,
            last_price=partial(self._last_price, source.name),
            now_ms=self.clock.now_ms,
            stale_after_ns=_ns(settings.stale_after),
            look_again_ns=_ns(settings.quiet_after),
            ack_ns=_ns(settings.ack_timeout),
            connect_s=settings.connect_timeout,
            recorder=recorder,
            left_out=self._left_out[source.name],
        )

    def _last_price(self, source: str, symbol: str) -> str | None:
        entry = self.book.entry(source, symbol)
        return self._last_prices.get(symbol) if entry is None else entry.price

    def _on_changed(self) -> None:
        self.board.changed()

    def _on_accepted(self, source: str, event: Update | Trade) -> None:
        for listener in self.accepted:
            listener(source, event)


def _left_out(source: str, wanted: Sequence[Instrument], carried: Sequence[Instrument]) -> list[str]:
    """Name what a source has no room for, and say it."""
    known = {instrument.symbol for instrument in carried}
    left = [instrument.symbol for instrument in wanted if instrument.symbol not in known]
    if left:
        extra = {"source": source, "carries": len(carried), "left_out": len(left), "symbols": few(left)}
        log.warning("more pairs than a venue carries, the rest is left to the others", extra=extra)
    return left


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
