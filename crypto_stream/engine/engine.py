"""The engine: answers gateways' requests, and publishes what changes in the feed."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Any

from msgspec.structs import replace

from crypto_stream.bus.interface import EnginePort
from crypto_stream.bus.messages import (
    Beat,
    ChangedInstruments,
    ChangeInstruments,
    GetHistory,
    GetOwners,
    GetSparks,
    GetTopic,
    HistoryCounts,
    HistoryPage,
    Pin,
    RemoveOwner,
    RequestBody,
    RulesChanged,
    Snapshot,
    SparkParts,
    ToGateway,
    TopicUpdate,
    Watch,
    Watched,
)
from crypto_stream.bus.orders import OrderMessages
from crypto_stream.engine import answers
from crypto_stream.engine.activity import Activity
from crypto_stream.engine.composition import Composition
from crypto_stream.engine.depth import DepthBooks
from crypto_stream.engine.index import Indexes
from crypto_stream.engine.index_bars import IndexBars
from crypto_stream.engine.persisted_state import PersistedState
from crypto_stream.engine.publisher import Publisher
from crypto_stream.engine.roster import Parts, Roster
from crypto_stream.engine.served_topics import served_topics
from crypto_stream.engine.timeline import TimelineKeeper
from crypto_stream.engine.topics import Topics
from crypto_stream.errors import RefusedError
from crypto_stream.feed.failover import Change
from crypto_stream.feed.missing_channels import MissingChannel
from crypto_stream.history.history import History
from crypto_stream.history.rolling_24h import Figures
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.index import series_name
from crypto_stream.market.instruments import few
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus
from crypto_stream.orders.service import Orders
from crypto_stream.wall_clock import wall_ms

log = logging.getLogger(__name__)

_BEAT_S = 1.0
AUTO = "auto"
_NO_RULES = Rules()

MakeOrders = Callable[
    [Mapping[str, Quote], Callable[[str, str], Rules], Callable[[str, OrderMessages], bool]], Orders
]


class Engine:
    """The `Backend` of the bus and the `Listener` of the feed."""

    def __init__(
        self, feed: Composition, state: PersistedState, history: History, make_orders: MakeOrders
    ) -> None:
        """Connect the parts; `port` and `change_instruments` must be set before anything runs.

        `make_orders` takes the quotes, the rules by source and symbol, and what sends order messages.
        """
        self._feed = feed
        self._state = state
        self._lag_ms = 0.0
        self._sent_rules: dict[str, Mapping[str, Rules]] = {
            name: source.listing.rules for name, source in feed.loop.sources.items()
        }
        self.port: EnginePort | None = None
        self.count_followers: Callable[[], int | None] = lambda: None
        self.change_instruments: Callable[[ChangeInstruments], Awaitable[ChangedInstruments]]
        self.run = uuid.uuid4().hex[:16]
        self.publisher = Publisher(
            feed.instruments,
            feed.book,
            feed.failover,
            self._publish,
            epoch=state.epoch,
            seq=state.seq,
        )
        self._timeline = TimelineKeeper(state.timeline, self.run, wall_ms())
        state.set_timeline(self._timeline.text())
        self._history = history
        self._last_figures: dict[str, Figures] = {}
        self.activity = activity = Activity(feed.live_prices, feed.loop.sources)
        indexes = Indexes(activity.prices, feed.index_rule, feed.loop.sources, feed.clock)
        recorded = [symbol for symbol in feed.failover.chains if series_name(symbol) in history.series]
        self.index_bars = IndexBars(indexes, history, recorded)
        activity.listeners.append(self.index_bars.happened)
        self.books = DepthBooks(feed, activity)
        epoch, seq = self.publisher.epoch, lambda: self.publisher.seq
        self.topics = Topics(
            served_topics(feed, history, indexes, activity, self.books, epoch=epoch, seq=seq),
            self._send_topic,
        )
        self.books.listeners.append(partial(self.topics.happened, "depth"))
        feed.accepted += [self._on_accepted, activity.accepted]
        feed.loop.on_reconsidered = activity.reconsidered
        feed.loop.on_missing = self._on_missing_channels
        self.trading = make_orders(self.publisher.quotes, self.rules, self._send_orders)
        self.trading.books = self.books
        self.orders = self.trading.commands
        self.drained = self.trading.drained
        self.publisher.published.append(self.trading.quoted)
        parts = Parts(
            history, self.publisher, activity, indexes, self.index_bars, self.books, self.topics, self.trading
        )
        self.roster = Roster(feed, parts, self._publish)

    def snapshot(self) -> Snapshot:
        """Return the complete current state."""
        publisher = self.publisher
        return Snapshot(
            epoch=publisher.epoch,
            run=self.run,
            seq=publisher.seq,
            instruments=sorted(publisher.instruments.values(), key=lambda one: one.synthetic),
            quotes=list(publisher.quotes.values()),
            sources=self._statuses(),
            pin=self._feed.loop.pin,
            reasons=publisher.reasons(publisher.quotes),
            rules={name: dict(source.listing.rules) for name, source in self._feed.loop.sources.items()},
            timeline=self._timeline.timeline(),
        )

    async def answer(self, gateway: str, request: RequestBody) -> Any:
        """Answer one request of a gateway."""
        answer = self._ANSWERS[type(request)](self, gateway, request)
        return await answer if isawaitable(answer) else answer

    def left(self, gateway: str) -> None:
        """Forget the sessions of this gateway and what it watched."""
        self.trading.left(gateway)
        self.topics.remove(gateway)

    def switched(self, changes: list[Change]) -> None:
        """Publish and log which source serves what now."""
        for change in changes:
            self._history.switched(change.symbol, change.after, change.reason)
            self._begin_gap_if_no_trades(change.symbol, change.after, time.monotonic_ns())
        for switch in self.publisher.switched(changes):
            self._timeline.note(switch)
            symbols = switch.symbols
            log.info(
                "source switched",
                extra={
                    "from": switch.from_,
                    "to": switch.to,
                    "reason": switch.reason,
                    "instruments": len(symbols),
                    "symbols": few(symbols),
                },
            )
        self._state.set_timeline(self._timeline.text())

    def sources_changed(self) -> None:
        """Publish the state of the sources at once."""
        self.publisher.adopt_first_prices()
        history = self._history
        self._publish(
            Beat(
                time=wall_ms(),
                sources=self._statuses(),
                pin=self._feed.loop.pin,
                lag_ms=self._lag_ms,
                history_trouble=history.writer.trouble,
                orders_trouble=self.trading.trouble,
                feed_troubles=self._feed.failover.troubles(),
                bars_trouble=history.trouble,
                clock_trouble=history.clock.trouble,
                orders=self.trading.counts(),
                history=HistoryCounts(history.late_trades, history.writer.backlog, history.writer.lost),
                followers=self.count_followers(),
            )
        )

    async def beat(self, to_supervisor: Callable[[], None]) -> None:
        """Send a heartbeat to gateways and supervisor each second, and measure the lag of the event loop."""
        while True:
            due = time.monotonic() + _BEAT_S
            to_supervisor()
            self.sources_changed()
            self._publish_changed_rules()
            self._state.note_seq(self.publisher.seq)
            await asyncio.sleep(_BEAT_S)
            self._lag_ms = max(0.0, round((time.monotonic() - due) * 1000, 1))

    def rules(self, source: str, symbol: str) -> Rules:
        """Return the rules of `source` for orders in `symbol`."""
        found = self._feed.loop.sources.get(source)
        return found.listing.rules.get(symbol, _NO_RULES) if found else _NO_RULES

    def _on_missing_channels(self, lacks: list[MissingChannel]) -> None:
        for lack in lacks:
            if lack.channel == "trades" and lack.served:
                self._begin_gap_if_no_trades(lack.symbol, lack.source, lack.since_ns)
        self.sources_changed()

    def _begin_gap_if_no_trades(self, symbol: str, source: str | None, since_ns: int) -> None:
        """Begin a gap in the history if `source`, which serves the instrument, delivers no trades of it."""
        failover = self._feed.failover
        if source and failover.watch.since(source, symbol, "trades") is not None:
            self._history.no_trades(
                symbol, time.monotonic_ns() - since_ns, failover.missing_at(source, symbol) or ""
            )

    def _publish_changed_rules(self) -> None:
        for name, source in self._feed.loop.sources.items():
            if self._sent_rules[name] is not (rules := source.listing.rules):
                self._sent_rules[name] = rules
                self._publish(RulesChanged(name, dict(rules)))

    def _on_accepted(self, source: str, event: Update | Trade) -> None:
        if isinstance(event, Trade) and (symbol := event.symbol) in self._history.series:
            if not self._history.record(source, event, self._feed.failover.serving[symbol]):
                self._feed.book.of(source).retract_trade(symbol)
            if self._feed.instruments[symbol].synthetic:
                self._update_synthetic_figures(source, symbol)
        self.publisher.accepted(source, event)

    def _update_synthetic_figures(self, source: str, symbol: str) -> None:
        """Compute a synthetic instrument's 24 h figures from its bars, since no venue delivers any."""
        figures = self._history.recent.figures(symbol)
        if figures is None or figures == self._last_figures.get(symbol):
            return
        self._last_figures[symbol] = figures
        now_ns = time.monotonic_ns()
        update = Update(
            instrument=self._feed.instruments[symbol],
            channel="bars",
            key=now_ns,
            open_24h=figures.open,
            high_24h=figures.high,
            low_24h=figures.low,
            slow=True,
        )
        self._feed.book.of(source).apply(update, now_ns)

    def _send_topic(self, gateways: Sequence[str], update: TopicUpdate) -> None:
        if self.port:
            self.port.send_topic(gateways, update)

    def _send_orders(self, gateway: str, messages: OrderMessages) -> bool:
        return self.port is None or self.port.send_orders(gateway, messages)

    def _publish(self, message: ToGateway) -> None:
        if self.port:
            self.port.publish(message)

    def _on_watch(self, gateway: str, request: Watch) -> Watched:
        return self.topics.watch(gateway, request.keys)

    def _on_topic(self, gateway: str, request: GetTopic) -> object:
        return self.topics.get(request.topic, request.key)

    def _on_history(self, gateway: str, request: GetHistory) -> Awaitable[HistoryPage]:
        if request.symbol not in self._history.series:
            raise RefusedError("unknown_symbol", f"There are no bars of {request.symbol!r}.")
        return answers.page(self._history, request, self.publisher.epoch, self.publisher.seq)

    def _on_sparks(self, gateway: str, request: GetSparks) -> Awaitable[SparkParts]:
        return answers.sparks(self._history, self.publisher.epoch, self.publisher.seq)

    def _on_pin(self, gateway: str, request: Pin) -> None:
        source = None if request.source == AUTO else request.source
        loop = self._feed.loop
        if source is not None and source not in loop.sources:
            known = ", ".join([*loop.sources, AUTO])
            raise RefusedError("unknown_source", f"unknown source {source!r}; known: {known}")
        self._state.set_pin(source)  # even if unchanged: it may replace the pin of a source that is gone
        if source == loop.pin:
            return
        loop.pin_to(source)
        self.sources_changed()
        log.info("source pinned" if source else "source unpinned", extra={"source": source or AUTO})

    def _on_instruments(self, gateway: str, request: ChangeInstruments) -> Awaitable[ChangedInstruments]:
        return self.change_instruments(request)

    def _on_owners(self, gateway: str, request: GetOwners) -> Awaitable[object]:
        return answers.from_callbacks(self.trading.owners)

    def _on_remove_owner(self, gateway: str, request: RemoveOwner) -> Awaitable[object]:
        return answers.from_callbacks(partial(self.trading.remove, request.owner))

    _ANSWERS: Mapping[type, Callable[..., Any]] = {
        Watch: _on_watch,
        GetTopic: _on_topic,
        GetHistory: _on_history,
        GetSparks: _on_sparks,
        Pin: _on_pin,
        ChangeInstruments: _on_instruments,
        GetOwners: _on_owners,
        RemoveOwner: _on_remove_owner,
    }

    def _statuses(self) -> list[SourceStatus]:
        now_ns = time.monotonic_ns()
        failover, loop = self._feed.failover, self._feed.loop
        serving = list(failover.serving.values())
        return [
            replace(
                source.status(now_ns, pin=loop.pin, serving=serving.count(name)),
                lacking=failover.watch.descriptions(name),
            )
            for name, source in loop.sources.items()
        ]
