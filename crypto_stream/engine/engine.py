"""The engine's face: it answers the bus, and tells it what changes in the feed."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import isawaitable
from typing import Any

from msgspec.structs import replace

from crypto_stream.bus.interface import EnginePort
from crypto_stream.bus.messages import (
    Ask,
    Beat,
    GetHistory,
    GetOwners,
    GetSparks,
    GetTopic,
    HistoryCounts,
    HistoryPage,
    Pin,
    RemoveOwner,
    RulesChanged,
    Snapshot,
    Sparks,
    ToGateway,
    Watch,
    Watched,
)
from crypto_stream.bus.orders import Command, OrderNews
from crypto_stream.engine import answers
from crypto_stream.engine.assembly import Assembly
from crypto_stream.engine.candles import Candles
from crypto_stream.engine.persisted_state import PersistedState
from crypto_stream.engine.publisher import Publisher
from crypto_stream.engine.timeline import TimelineKeeper
from crypto_stream.engine.topics import Topics
from crypto_stream.engine.venues import VenueQuotes
from crypto_stream.errors import RefusedError
from crypto_stream.feed.channels import Lack
from crypto_stream.feed.failover import Change
from crypto_stream.history.history import History
from crypto_stream.history.rolling_24h import Figures
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import few
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus
from crypto_stream.orders.service import Orders

log = logging.getLogger(__name__)

_BEAT_S = 1.0
AUTO = "auto"
_NO_RULES = Rules()

MakeOrders = Callable[
    [Mapping[str, Quote], Callable[[str, str], Rules], Callable[[str, OrderNews], bool]], Orders
]


class Engine:
    """Answer the bus and tell it what changes: the `Backend` of the bus and the `Listener` of the feed."""

    def __init__(
        self, assembly: Assembly, memory: PersistedState, history: History, make_orders: MakeOrders
    ) -> None:
        """Join the parts; `port` is set before anything runs. Orders get quotes, rules, and whom to tell."""
        self._assembly = assembly
        self._board = assembly.board
        self._memory = memory
        self._lag_ms = 0.0
        self._rules_told: dict[str, Mapping[str, Rules]] = {
            name: line.listing.rules for name, line in self._board.lines.items()
        }
        self.port: EnginePort | None = None
        self.run = uuid.uuid4().hex[:16]
        self.publisher = Publisher(
            assembly.instruments,
            assembly.book,
            assembly.failover,
            self._publish,
            epoch=memory.epoch,
            seq=memory.seq,
        )
        self._timeline = TimelineKeeper(memory.timeline, self.run, _wall_ms())
        memory.set_timeline(self._timeline.text())
        self._history = history
        self._figured: dict[str, Figures] = {}
        self.topics = Topics(
            [
                VenueQuotes(assembly.failover, self._board.lines, assembly.book),
                Candles(history, self.publisher.epoch, lambda: self.publisher.seq),
            ],
            self._tell,
        )
        assembly.accepted.append(self._accepted)
        self._board.lacking = self._lacking
        self.trading = make_orders(self.publisher.quotes, self.rules, self._tell_orders)
        self.publisher.published.append(self.trading.quoted)

    def snapshot(self) -> Snapshot:
        """Return the whole present state."""
        publisher = self.publisher
        return Snapshot(
            epoch=publisher.epoch,
            run=self.run,
            seq=publisher.seq,
            instruments=list(publisher.instruments.values()),
            quotes=list(publisher.quotes.values()),
            sources=self._statuses(),
            pin=self._board.pin,
            reasons=publisher.reasons(publisher.quotes),
            rules={name: dict(line.listing.rules) for name, line in self._board.lines.items()},
            timeline=self._timeline.timeline(),
        )

    async def answer(self, gateway: str, ask: Ask) -> Any:
        """Answer one request of a gateway."""
        answer = self._ANSWERS[type(ask)](self, gateway, ask)
        return await answer if isawaitable(answer) else answer

    def orders(self, gateway: str, commands: list[Command]) -> None:
        """Do what the sessions of one gateway ask about orders."""
        self.trading.commands(gateway, commands)

    def drained(self, gateway: str) -> None:
        """Go on to tell a gateway about orders."""
        self.trading.drained(gateway)

    def left(self, gateway: str) -> None:
        """Forget what this gateway had asked to watch, and its sessions."""
        self.trading.left(gateway)
        self.topics.left(gateway)

    def switched(self, changes: list[Change]) -> None:
        """Publish and log who serves what now."""
        for change in changes:
            self._history.switched(change.symbol, change.after, change.reason)
            self._note_starved(change.symbol, change.after, time.monotonic_ns())
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
        self._memory.set_timeline(self._timeline.text())

    def sources_changed(self) -> None:
        """Tell gateways at once."""
        self.publisher.adopt()
        history = self._history
        self._publish(
            Beat(
                *(_wall_ms(), self._statuses(), self._board.pin, self._lag_ms),
                history_trouble=history.writer.trouble,
                orders_trouble=self.trading.trouble,
                feed_troubles=self._assembly.failover.troubles(),
                bars_trouble=history.trouble,
                clock_trouble=history.clock.trouble,
                orders=self.trading.counts(),
                history=HistoryCounts(history.late_trades, history.writer.backlog, history.writer.lost),
            )
        )

    async def beat(self, to_supervisor: Callable[[], None]) -> None:
        """Say each second that the engine lives, and how late its loop runs."""
        while True:
            due = time.monotonic() + _BEAT_S
            to_supervisor()
            self.sources_changed()
            self._tell_rules()
            self._memory.note_seq(self.publisher.seq)
            await asyncio.sleep(_BEAT_S)
            self._lag_ms = max(0.0, round((time.monotonic() - due) * 1000, 1))

    def rules(self, source: str, symbol: str) -> Rules:
        """Tell what `source` demands of an order in `symbol`."""
        line = self._board.lines.get(source)
        return line.listing.rules.get(symbol, _NO_RULES) if line else _NO_RULES

    def _lacking(self, lacks: list[Lack]) -> None:
        """Begin a gap where there are no trades to make bars of, though the instrument is served."""
        for lack in lacks:
            if lack.channel == "trades" and lack.served:
                self._note_starved(lack.symbol, lack.source, lack.since_ns)
        self.sources_changed()

    def _note_starved(self, symbol: str, source: str | None, since_ns: int) -> None:
        failover = self._assembly.failover
        if source and failover.watch.since(source, symbol, "trades") is not None:
            self._history.starved(
                symbol, time.monotonic_ns() - since_ns, failover.why_lacking(source, symbol) or ""
            )

    def _tell_rules(self) -> None:
        for name, line in self._board.lines.items():
            if self._rules_told[name] is not (rules := line.listing.rules):
                self._rules_told[name] = rules
                self._publish(RulesChanged(name, dict(rules)))

    def _accepted(self, source: str, event: Update | Trade) -> None:
        if isinstance(event, Trade) and (symbol := event.symbol) in self._history.series:
            if not self._history.take(source, event, self._assembly.failover.serving[symbol]):
                self._assembly.book.of(source).useless_trade(symbol)
            if self._assembly.instruments[symbol].synthetic:
                self._figure(source, symbol)
        self.publisher.accepted(source, event)

    def _figure(self, source: str, symbol: str) -> None:
        """Give a synthetic instrument, of which no venue tells, the 24 h figures of its own bars."""
        figures = self._history.figures(symbol)
        if figures is None or figures == self._figured.get(symbol):
            return
        self._figured[symbol] = figures
        now_ns = time.monotonic_ns()
        update = Update(
            instrument=self._assembly.instruments[symbol],
            channel="bars",
            key=now_ns,
            open_24h=figures.open,
            high_24h=figures.high,
            low_24h=figures.low,
            slow=True,
        )
        self._assembly.book.of(source).apply(update, now_ns)

    def _tell(self, gateway: str, message: ToGateway) -> None:
        if self.port:
            self.port.send(gateway, message)

    def _tell_orders(self, gateway: str, news: OrderNews) -> bool:
        return self.port is None or self.port.tell(gateway, news)

    def _publish(self, message: ToGateway) -> None:
        if self.port:
            self.port.publish(message)

    def _on_watch(self, gateway: str, ask: Watch) -> Watched:
        return self.topics.watch(gateway, ask.keys)

    def _on_topic(self, gateway: str, ask: GetTopic) -> object:
        return self.topics.get(ask.topic, ask.key)

    def _on_history(self, gateway: str, ask: GetHistory) -> Awaitable[HistoryPage]:
        self._require(ask.symbol)
        return answers.page(self._history, ask, self.publisher.epoch, self.publisher.seq)

    def _on_sparks(self, gateway: str, ask: GetSparks) -> Sparks:
        return answers.sparks(self._history, self.publisher.epoch, self.publisher.seq)

    def _on_pin(self, gateway: str, ask: Pin) -> None:
        source = None if ask.source == AUTO else ask.source
        if source is not None and source not in self._board.lines:
            known = ", ".join([*self._board.lines, AUTO])
            raise RefusedError("unknown_source", f"unknown source {source!r}; known: {known}")
        self._memory.set_pin(source)  # even if unchanged: it forgets the pin of a source that is gone
        if source == self._board.pin:
            return
        self._board.pin_to(source)
        self.sources_changed()
        log.info("source pinned" if source else "source unpinned", extra={"source": source or AUTO})

    def _on_owners(self, gateway: str, ask: GetOwners) -> Awaitable[object]:
        return answers.later(self.trading.owners)

    def _on_remove_owner(self, gateway: str, ask: RemoveOwner) -> Awaitable[object]:
        return answers.later(partial(self.trading.remove, ask.owner))

    _ANSWERS: Mapping[type, Callable[..., Any]] = {
        Watch: _on_watch,
        GetTopic: _on_topic,
        GetHistory: _on_history,
        GetSparks: _on_sparks,
        Pin: _on_pin,
        GetOwners: _on_owners,
        RemoveOwner: _on_remove_owner,
    }

    def _require(self, symbol: str) -> None:
        if symbol not in self.publisher.instruments:
            raise RefusedError("unknown_symbol", f"unknown instrument {symbol!r}")

    def _statuses(self) -> list[SourceStatus]:
        now_ns = time.monotonic_ns()
        serving = list(self._assembly.failover.serving.values())
        return [
            replace(
                line.status(now_ns, pin=self._board.pin, serving=serving.count(name)),
                lacking=self._assembly.failover.watch.whys(name),
            )
            for name, line in self._board.lines.items()
        ]


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
