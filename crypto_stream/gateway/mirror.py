"""The gateway's copy of the engine's newest state. Pure: callers pass the time (monotonic seconds)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Any

import msgspec

from crypto_stream.bus.interface import SILENCE_S
from crypto_stream.bus.messages import (
    Beat,
    HistoryCounts,
    InstrumentsChanged,
    OrderCounts,
    Quotes,
    RulesChanged,
    Snapshot,
    Switched,
    ToGateway,
    TopicUpdate,
)
from crypto_stream.gateway.subscriptions import EVERYTHING, Symbols
from crypto_stream.gateway.topics import Topics
from crypto_stream.gateway.trading_rules import TradingRules
from crypto_stream.gateway.verdict import UNREACHABLE, Verdict, judge
from crypto_stream.market.instruments import Catalogue
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus, Switch, Timeline

# Switches between sources that are kept; older ones are forgotten.
MAX_SWITCHES = 100
# The sources' ages are as the engine measured them; they grow here only once a beat is later than this.
_BEAT_MS = 2000
_FIELDS = Quote.__struct_fields__


class Mirror:
    """Quotes, sources and instruments as the engine sent them, or stale while it is unreachable.

    `quotes` are as shown to viewers, which may differ from what the engine sent last. Each change of a shown
    quote raises `version` and `versions[symbol]`, kept in the order of change, so that readers find what is
    new since the `version` they saw last; the same holds for `topics`. `version` changes with `seq`, too.
    `timeline` covers the engine's restarts up to the last snapshot, `switches` goes on to the present.
    """

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.seq = 0
        self.catalogue = Catalogue()
        self.pin: str | None = None
        self.timeline = Timeline(0)
        self.switches: deque[Switch] = deque(maxlen=MAX_SWITCHES)
        self.alive = False
        self.lag_ms: float | None = None
        self.version = 0
        self.quotes: dict[str, Quote] = {}
        self.versions: dict[str, int] = {}
        self.topics = Topics()
        self.trading_rules = TradingRules()
        self.history_trouble: str | None = None
        self.orders_trouble: str | None = None
        self.feed_troubles: list[str] = []
        self.bars_trouble: str | None = None
        self.clock_trouble: str | None = None
        self.order_counts: OrderCounts | None = None
        self.history_counts: HistoryCounts | None = None
        self.followers: int | None = None
        self._verdict: Verdict | None = None
        self._received: dict[str, Quote] = {}
        self._field_versions: dict[str, list[int]] = {}
        self._reasons: dict[str, str] = {}
        self._sources: list[SourceStatus] = []
        self._last_message_s = 0.0
        self._run: str | None = None
        # After an engine restart: symbols that were live before and are not yet live again. Until the
        # deadline they are shown as they were.
        self._recovering: set[str] = set()
        self._recovering_until_s = 0.0
        self._sources_s = 0.0

    def receive(self, message: ToGateway, now_s: float) -> bool:
        """Apply one message of the engine; True if the data set or the instruments have become other ones.

        Viewers must then start again from a snapshot. `InstrumentsChanged` says itself what is new.
        """
        before = (self.epoch, self.catalogue.positions.keys())  # in another order they are no other ones
        revived, self.alive = not self.alive, True
        if revived:
            self._verdict = None
        if (handle := self._HANDLERS.get(type(message))) is not None:
            handle(self, message, now_s)
        self._last_message_s = now_s
        if revived or isinstance(message, Snapshot):
            self._show(self._received.values())
        return isinstance(message, Snapshot) and (self.epoch, self.catalogue.positions.keys()) != before

    def engine_lost(self) -> bool:
        """Show everything as stale because the engine is unreachable; False if that was known."""
        if not self.alive:
            return False
        self.alive, self._verdict = False, None
        self._recovering.clear()
        self._show(self._received.values())
        self.version += 1
        self.topics.engine_lost(self.version)
        return True

    def check(self, now_s: float) -> bool:
        """Take the engine as lost after 5 s without a message; True if it was lost by this call."""
        return self.alive and now_s - self._last_message_s > SILENCE_S and self.engine_lost()

    def end_recovery(self, now_s: float) -> bool:
        """Show as stale what a restarted engine has not served in time; True if any quote changed."""
        if not self._recovering or now_s < self._recovering_until_s:
            return False
        before = self.version
        self._recovering.clear()
        self._show(self._received.values())
        return self.version != before

    def unseen_part(self, switch: Switch) -> Switch | None:
        """Leave out the symbols that viewers already see served by the new source; None if none remain.

        A restarted engine begins without sources, so it reports switches that change nothing for viewers.
        """

        def known(symbol: str) -> bool:
            shown = self.quotes.get(symbol)
            return shown is not None and not shown.stale and shown.source == switch.to

        if switch.from_ is not None or switch.to is None:
            return switch
        symbols = [symbol for symbol in switch.symbols if not known(symbol)]
        return msgspec.structs.replace(switch, symbols=symbols) if symbols else None

    def reason(self, symbol: str) -> str | None:
        """Return why the quote of `symbol` is stale; None while it is not."""
        quote = self.quotes.get(symbol)
        if quote is None or not quote.stale:
            return None
        return self._reasons.get(symbol) if self.alive else UNREACHABLE

    def rules(self, symbol: str) -> Rules:
        """Return the trading rules for orders in `symbol`: those of the source that serves its quote."""
        quote = self.quotes.get(symbol)
        return self.trading_rules.of(None if quote is None else quote.source, symbol)

    def listed(self, symbols: Symbols = EVERYTHING) -> list[Quote]:
        """List the shown quotes of `symbols` in the order of the instruments."""
        return [self.quotes[one] for one in symbols.among(self.catalogue.positions) if one in self.quotes]

    def changed(self, symbols: Symbols, since: int) -> list[str]:
        """List those of `symbols` whose shown quote changed after `since`; others cost nothing."""
        if not symbols.everything:
            return [symbol for symbol in symbols.names if self.versions.get(symbol, 0) > since]
        newest = takewhile(lambda item: item[1] > since, reversed(self.versions.items()))
        return [symbol for symbol, _ in newest if symbol not in symbols.names][::-1]

    def delta(self, symbol: str, since: int) -> dict[str, Any]:
        """Return `symbol`, `seq` and the fields of the shown quote that changed after `since`."""
        quote, versions = self.quotes[symbol], self._field_versions[symbol]
        return {
            name: getattr(quote, name)
            for name, version in zip(_FIELDS, versions, strict=True)
            if version > since or name in {"symbol", "seq"}
        }

    def sources(self, now_s: float) -> list[SourceStatus]:
        """List the sources with their current ages; all are lost while the engine is unreachable."""
        passed = max(0, round((now_s - self._sources_s) * 1000) - _BEAT_MS)
        aged = [
            msgspec.structs.replace(one, age_ms=None if one.age_ms is None else one.age_ms + passed)
            for one in self._sources
        ]
        if self.alive:
            return aged
        return [msgspec.structs.replace(one, state="lost", reason=UNREACHABLE, serving=0) for one in aged]

    def states(self) -> dict[str, str]:
        """Return the states of the sources by their names, best first."""
        return {one.name: one.state if self.alive else "lost" for one in self._sources}

    def venues_of_pairs(self) -> list[str]:
        """List the names of the sources that carry real pairs, in order of preference."""
        return [one.name for one in self._sources if one.real]

    def troubles(self, now_s: float) -> list[str]:
        """List why this gateway is not ready for traffic; empty while at least one price is live."""
        verdict = self.verdict()
        if verdict.serves:
            return []
        if not self.alive:
            return [UNREACHABLE]
        down = [one for one in self.sources(now_s) if one.state != "live" and (one.real or not verdict.real)]
        states = [f"{one.name}: {one.reason or one.state}" for one in down]
        return [verdict.summary(), *states, *self.feed_troubles]

    def verdict(self) -> Verdict:
        """Return whether prices are live now."""
        if self._verdict is None:
            self._verdict = judge(self.quotes.values(), alive=self.alive, pinned=self.pin)
        return self._verdict

    def _on_snapshot(self, message: Snapshot, now_s: float) -> None:
        self._verdict = None
        self.timeline = message.timeline
        self.switches = deque(message.timeline.switches, maxlen=MAX_SWITCHES)
        self.version += 1  # quotes may disappear, which no version of a quote shows
        if message.epoch != self.epoch:
            self.seq = 0
            self.topics.clear()
            self._recovering.clear()
            for known in (self.quotes, self.versions, self._field_versions):
                known.clear()
        elif message.run != self._run:
            if not self._recovering:  # of several restarts the first sets the deadline
                self._recovering_until_s = self._last_message_s + SILENCE_S
            self._recovering |= {symbol for symbol, quote in self.quotes.items() if not quote.stale}
        self._run = message.run
        self.epoch, self.seq = message.epoch, max(self.seq, message.seq)
        self.catalogue = Catalogue(message.instruments)
        self._received = {quote.symbol: quote for quote in message.quotes}
        self._reasons = dict(message.reasons)
        self.trading_rules.replace(message.rules)
        for symbol in self.quotes.keys() - self._received.keys():
            del self.quotes[symbol], self.versions[symbol], self._field_versions[symbol]
        self._set_sources(message.sources, message.pin, now_s)

    def _on_instruments(self, message: InstrumentsChanged, now_s: float) -> None:
        self._verdict = None
        self.version += 1
        gone, new = set(message.removed), {one.symbol for one in message.added}
        remaining = [one for one in self.catalogue if one.symbol not in gone | new]
        # Real pairs first, as after a restart of the engine; otherwise in the order in which they came.
        self.catalogue = Catalogue(sorted([*remaining, *message.added], key=lambda one: one.synthetic))
        self._recovering -= gone
        self.topics.forget(gone)
        for symbol in gone:
            for known in (self._received, self._reasons, self.quotes, self.versions, self._field_versions):
                known.pop(symbol, None)

    def _on_quotes(self, message: Quotes, now_s: float) -> None:
        if message.seq > self.seq:
            self.seq = message.seq
            self.version += 1
        for quote in message.quotes:
            self._received[quote.symbol] = quote
            if not quote.stale:
                self._reasons.pop(quote.symbol, None)
        self._reasons.update(message.reasons)
        self._show(message.quotes)

    def _on_beat(self, message: Beat, now_s: float) -> None:
        self._set_sources(message.sources, message.pin, now_s)
        self.lag_ms = message.lag_ms
        self.history_trouble = message.history_trouble
        self.orders_trouble = message.orders_trouble
        self.feed_troubles = message.feed_troubles
        self.bars_trouble = message.bars_trouble
        self.clock_trouble = message.clock_trouble
        self.order_counts = message.orders
        self.history_counts = message.history
        self.followers = message.followers

    def _on_switched(self, message: Switched, now_s: float) -> None:
        self.switches.append(message.switch)

    def _on_rules(self, message: RulesChanged, now_s: float) -> None:
        self.trading_rules.update(message.source, message.rules)

    def _on_topic(self, message: TopicUpdate, now_s: float) -> None:
        self.version += 1
        self.topics.take(message, self.version)

    _HANDLERS: Mapping[type, Callable[..., None]] = {
        Snapshot: _on_snapshot,
        InstrumentsChanged: _on_instruments,
        Quotes: _on_quotes,
        Beat: _on_beat,
        Switched: _on_switched,
        RulesChanged: _on_rules,
        TopicUpdate: _on_topic,
    }

    def _set_sources(self, sources: list[SourceStatus], pin: str | None, now_s: float) -> None:
        if pin != self.pin:
            self._verdict = None
        self._sources, self.pin, self._sources_s = sources, pin, now_s

    def _show(self, received: Iterable[Quote]) -> None:
        """Update the shown quotes from received ones; all are stale while the engine is unreachable.

        Of two engines that published for a while, as when one was cut off, the one that is followed now may
        have numbered a quote lower than the other one did: what is shown keeps the greater number.
        """
        for each in received:
            shown = self.quotes.get(each.symbol)
            quote = each
            if shown is not None and each.seq < shown.seq:
                quote = msgspec.structs.replace(each, seq=shown.seq)
            if quote.symbol in self._recovering:
                if quote.stale:
                    continue
                self._recovering.discard(quote.symbol)
            if not self.alive and not quote.stale:
                if shown is None or not shown.stale or shown.seq != quote.seq:
                    self._put(msgspec.structs.replace(quote, stale=True))
            elif shown is not quote and shown != quote:
                self._put(quote)

    def _put(self, quote: Quote) -> None:
        self.version += 1
        before = self.quotes.get(quote.symbol)
        if before is None or before.stale != quote.stale:
            self._verdict = None
        if before is None:
            self._field_versions[quote.symbol] = [self.version] * len(_FIELDS)
        else:
            versions = self._field_versions[quote.symbol]
            pairs = zip(msgspec.structs.astuple(before), msgspec.structs.astuple(quote), strict=True)
            for at, (old, new) in enumerate(pairs):
                if old != new:
                    versions[at] = self.version
        self.quotes[quote.symbol] = quote
        self.versions.pop(quote.symbol, None)
        self.versions[quote.symbol] = self.version
