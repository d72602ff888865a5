"""/metrics: the mirror's state and the counters of this gateway, read at each scrape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from crypto_stream.bus.interface import BusFigures
from crypto_stream.gateway.degraded import degraded
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics, OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.bus_metrics import bus_metrics
from crypto_stream.market.status import SourceStatus

_P = "crypto_stream_"
_OF_SOURCE: tuple[tuple[str, str, Callable[[SourceStatus], float | None]], ...] = (
    ("live", "1 while the source is live.", lambda one: one.state == "live"),
    ("pinned", "1 while the source is pinned.", lambda one: one.pinned),
    ("age_seconds", "Time since the source's newest data.", lambda one: _seconds(one.age_ms)),
    ("serving", "Instruments that the source serves now.", lambda one: one.serving),
    ("carries", "Instruments that the source carries.", lambda one: one.carries),
    ("lacking", "Instruments for which a channel delivers nothing.", lambda one: len(one.lacking)),
)
_BY_CHANNEL: tuple[tuple[str, str, Callable[[SourceStatus], dict[str, int]]], ...] = (
    ("frames", "Frames received.", lambda one: one.frames),
    (
        "dropped",
        "Events dropped as out of order (by channel) or as implausible (by reason).",
        lambda one: one.dropped,
    ),
)


def registry(*collectors: Collector) -> CollectorRegistry:
    """Make a separate registry, so that tests can run several gateways in one process."""
    made = CollectorRegistry()
    for collector in collectors:
        made.register(collector)
    return made


class EngineMetrics(Collector):
    """The engine's figures, the same in every gateway that reaches it."""

    def __init__(self, mirror: Mirror, bus: Callable[[], BusFigures]) -> None:
        self._mirror = mirror
        self._bus = bus

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._engine()
        yield from self._verdict()
        yield from self._history()
        yield from self._orders()
        yield from self._sources()

    def _engine(self) -> Iterator[Metric]:
        mirror = self._mirror
        yield _gauge("engine_up", "1 while the engine can be reached.", int(mirror.alive))
        yield _gauge("seq", "Sequence number of the newest published change.", mirror.seq)
        if starts := mirror.timeline.starts:
            started_s = starts[-1].time / 1000
            yield _gauge(
                "engine_start_time_seconds", "When the engine was started, since the epoch.", started_s
            )
        if mirror.lag_ms is not None:
            yield _gauge("engine_lag_seconds", "Event-loop lag of the engine.", mirror.lag_ms / 1000)
        following = GaugeMetricFamily(
            f"{_P}engine_followers", "Engines that could take over; none with files.", labels=[]
        )
        if mirror.followers is not None:
            following.add_metric([], mirror.followers)
        yield following
        stale = sum(quote.stale for quote in mirror.quotes.values())
        yield _gauge("quotes", "Instruments with a quote.", len(mirror.quotes))
        yield _gauge("quotes_stale", "Instruments whose quote is stale.", stale)
        ages = GaugeMetricFamily(
            f"{_P}quote_age_seconds", "Time since the quote was received.", labels=["symbol"]
        )
        now = time.time()
        for quote in mirror.quotes.values():
            if quote.received is not None:
                ages.add_metric([quote.symbol], max(0.0, now - quote.received / 1000))
        yield ages

    def _verdict(self) -> Iterator[Metric]:
        verdict = self._mirror.verdict()
        yield _gauge(
            "verdict_instruments",
            "Instruments that count for the verdict: the real pairs, if there are any.",
            verdict.total,
        )
        yield _gauge("verdict_live", "Those of them that have a live price.", verdict.live)
        parts = GaugeMetricFamily(
            f"{_P}degraded", "1 while /readyz says that this part is degraded.", labels=["part"]
        )
        for part, sentences in degraded(self._mirror, self._bus()).items():
            parts.add_metric([part], int(bool(sentences)))
        yield parts

    def _history(self) -> Iterator[Metric]:
        counts = self._mirror.history_counts
        if counts is None:
            return
        yield _total("late_trades", "Trades ignored because their bar had closed.", counts.late_trades)
        yield _gauge("bars_waiting", "Bars waiting to be written to disk.", counts.waiting)
        yield _total("bars_lost", "Bars lost because the disk could not be written.", counts.lost)

    def _orders(self) -> Iterator[Metric]:
        counts = self._mirror.order_counts
        if counts is None:
            return
        yield _gauge("orders_active", "Orders that can still trade.", counts.active)
        yield _total("orders_placed", "Orders accepted.", counts.placed)
        yield _total("orders_filled", "Orders filled completely.", counts.filled)
        yield _total("orders_cancelled", "Orders cancelled.", counts.cancelled)
        yield _total("orders_rejected", "Orders rejected after they had been accepted.", counts.rejected)
        yield _gauge("order_outbox_bytes", "Bytes of order messages queued for gateways.", counts.waiting)
        yield _total(
            "order_outbox_disconnects",
            "Order sessions disconnected because too much was queued for them.",
            counts.cuts,
        )
        yield SummaryMetricFamily(
            f"{_P}order_commit_seconds",
            "Time to commit a batch of orders and reports to disk.",
            count_value=counts.commits,
            sum_value=counts.commit_s,
        )

    def _sources(self) -> Iterator[Metric]:
        sources = self._mirror.sources(time.monotonic())
        for name, text, read in _OF_SOURCE:
            gauge = GaugeMetricFamily(f"{_P}source_{name}", text, labels=["source"])
            for one in sources:
                value = read(one)
                if value is not None:
                    gauge.add_metric([one.name], value)
            yield gauge
        state = GaugeMetricFamily(f"{_P}source_state", "1 for the current state.", labels=["source", "state"])
        reconnects = CounterMetricFamily(f"{_P}source_reconnects", "Reconnects.", labels=["source"])
        for one in sources:
            state.add_metric([one.name, one.state], 1)
            reconnects.add_metric([one.name], one.reconnects)
        yield state
        yield reconnects
        for name, text, count in _BY_CHANNEL:
            counter = CounterMetricFamily(f"{_P}source_{name}", text, labels=["source", "channel"])
            for one in sources:
                for channel, number in count(one).items():
                    counter.add_metric([one.name, channel], number)
            yield counter


class GatewayMetrics(Collector):
    """The counters of this gateway."""

    def __init__(
        self,
        delivery: Delivery,
        counters: DeliveryMetrics,
        orders: OrderMetrics,
        bus: Callable[[], BusFigures],
    ) -> None:
        self._delivery = delivery
        self._counters = counters
        self._orders = orders
        self._bus = bus
        self._started_s = time.time()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        yield from self._of_process()
        yield from self._of_viewers()
        yield from self._of_orders()
        yield from bus_metrics(self._bus())

    def _of_process(self) -> Iterator[Metric]:
        yield _gauge(
            "gateway_start_time_seconds", "When this gateway was started, since the epoch.", self._started_s
        )
        yield _total("gateway_cpu_seconds", "CPU time of this gateway.", time.process_time())

    def _of_orders(self) -> Iterator[Metric]:
        orders = self._orders
        yield _gauge("order_sessions", "Open connections to /ws.", orders.sessions)
        yield _gauge("order_subscriptions", "Market data subscriptions on /ws.", orders.subscriptions)
        yield _gauge("order_backlog_bytes", "Bytes queued for slow order clients, at most.", orders.backlog)
        yield _by("order_messages", "Messages from order clients.", "kind", orders.messages)
        yield _by("order_refusals", "ErrorInfo messages sent to order clients.", "code", orders.refusals)
        yield _total("order_reports", "Execution reports sent to order clients.", orders.reports)
        yield _total("order_updates", "Market data updates sent to order clients.", orders.updates)
        yield _total("order_encoded", "Quotes encoded for those updates.", orders.encoded)
        yield _by("order_sessions_cut", "Order clients disconnected.", "reason", orders.disconnected)

    def _of_viewers(self) -> Iterator[Metric]:
        counters = self._counters
        yield _gauge("viewers", "Connected viewers.", len(self._delivery.viewers))
        yield _gauge(
            "viewers_behind", "Viewers that cannot keep up at the moment.", self._delivery.count_slow()
        )
        yield _gauge("viewer_waiting", "Frames queued for viewers.", self._delivery.count_queued())
        yield _gauge("channels", "Distinct subscriptions among the viewers.", len(self._delivery.channels))
        flushes = CounterMetricFamily(f"{_P}flushes", "Flushes to viewers.", labels=["interval_ms"])
        for interval_ms, number in sorted(counters.flushes.items()):
            flushes.add_metric([str(interval_ms)], number)
        yield flushes
        yield _by("viewer_frames", "Frames sent to viewers.", "event", counters.frames)
        yield _total("viewer_bytes", "Bytes of those frames.", counters.bytes)
        flush = HistogramMetricFamily(f"{_P}flush_seconds", "Time to send quotes to one channel's members.")
        flush.add_metric([], counters.flush_s.buckets(), counters.flush_s.total)
        yield flush
        latency = HistogramMetricFamily(
            f"{_P}latency_seconds",
            "From the engine publishing the newest quote of a flush to the last member's socket.",
            labels=["interval_ms"],
        )
        for interval_ms, seen in sorted(counters.latency_s.items()):
            latency.add_metric([str(interval_ms)], seen.buckets(), seen.total)
        yield latency
        yield _total("encoded", "Quote frames encoded, once for all members of a channel.", counters.encoded)
        yield _total("skipped", "Frames skipped for viewers that were behind.", counters.skipped)
        yield _total("caught_up", "Snapshots sent to viewers that had fallen behind.", counters.caught_up)
        yield _total("disconnected_slow", "Viewers disconnected as too slow.", counters.disconnected_slow)
        yield _total("refused_viewers", "Connections refused because of a limit.", counters.refused)
        yield _by("refused_connections", "Connections refused.", "reason", counters.refusals.by_reason)
        yield _by("refused_requests", "Malformed HTTP requests refused.", "code", counters.refused_requests)
        yield _by(
            "ended_connections",
            "HTTP connections closed by the gateway.",
            "reason",
            counters.ended_connections,
        )
        yield _by(
            "ended_sessions",
            "Socket.IO sessions that never became viewers.",
            "reason",
            counters.ended_sessions,
        )
        yield _total("accept_pauses", "Pauses in accepting connections.", counters.accept_pauses)
        yield _by("viewer_refusals", "Events from viewers refused.", "code", counters.refused_events)
        yield _by(
            "refused_packets", "Connections closed for an invalid packet.", "reason", counters.refused_packets
        )
        yield _total("history_refusals", "History requests refused as busy.", counters.history_refusals)
        yield _total("prebuilt_answers", "Requests answered from the cache.", counters.prebuilt)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_P + name, text, value=value)


def _by(name: str, text: str, label: str, numbers: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(_P + name, text, labels=[label])
    for key, number in sorted(numbers.items()):
        family.add_metric([key], number)
    return family


def _total(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_P + name, text, value=value)
