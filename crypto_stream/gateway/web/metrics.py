"""/metrics: what the mirror knows and delivery counts, read at each scrape."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from crypto_stream.gateway.delivery.counters import Counters
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.mirror import Mirror

_P = "crypto_stream_"


def registry(mirror: Mirror, delivery: Delivery, counters: Counters) -> CollectorRegistry:
    """Make a registry of its own, so that several gateways can live in one process's tests."""
    made = CollectorRegistry()
    made.register(_Gateway(mirror, delivery, counters))
    return made


class _Gateway(Collector):
    def __init__(self, mirror: Mirror, delivery: Delivery, counters: Counters) -> None:
        self._mirror = mirror
        self._delivery = delivery
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        yield from self._engine()
        yield from self._sources()
        yield from self._viewers()

    def _engine(self) -> Iterator[Metric]:
        mirror = self._mirror
        yield _gauge("engine_up", "1 while the engine can be reached.", int(mirror.alive))
        yield _gauge("seq", "Newest published change in this life of the engine.", mirror.seq)
        if mirror.lag_ms is not None:
            yield _gauge("engine_lag_seconds", "Lag of the engine's loop.", mirror.lag_ms / 1000)
        stale = sum(quote.stale for quote in mirror.quotes.values())
        yield _gauge("quotes", "Instruments with a quote.", len(mirror.quotes))
        yield _gauge("quotes_stale", "Instruments whose quote is stale.", stale)
        ages = GaugeMetricFamily(f"{_P}quote_age_seconds", "Since the quote was received.", labels=["symbol"])
        now = time.time()
        for quote in mirror.quotes.values():
            if quote.received is not None:
                ages.add_metric([quote.symbol], max(0.0, now - quote.received / 1000))
        yield ages

    def _sources(self) -> Iterable[Metric]:
        label = ["source"]
        live = GaugeMetricFamily(f"{_P}source_live", "1 while the source is live.", labels=label)
        state = GaugeMetricFamily(f"{_P}source_state", "1 for the present state.", labels=["source", "state"])
        pinned = GaugeMetricFamily(f"{_P}source_pinned", "1 while the source is pinned.", labels=label)
        age = GaugeMetricFamily(f"{_P}source_age_seconds", "Since its newest data.", labels=label)
        serving = GaugeMetricFamily(f"{_P}source_serving", "Instruments it serves.", labels=label)
        carries = GaugeMetricFamily(f"{_P}source_carries", "Instruments it carries.", labels=label)
        again = CounterMetricFamily(f"{_P}source_reconnects", "Reconnects.", labels=label)
        frames = CounterMetricFamily(f"{_P}source_frames", "Frames received.", labels=["source", "channel"])
        dropped = CounterMetricFamily(
            f"{_P}source_dropped", "Events not newer than what was known.", labels=["source", "channel"]
        )
        for one in self._mirror.sources(time.monotonic()):
            live.add_metric([one.name], int(one.state == "live"))
            state.add_metric([one.name, one.state], 1)
            pinned.add_metric([one.name], int(one.pinned))
            if one.age_ms is not None:
                age.add_metric([one.name], one.age_ms / 1000)
            serving.add_metric([one.name], one.serving)
            carries.add_metric([one.name], one.carries)
            again.add_metric([one.name], one.reconnects)
            for channel, number in one.frames.items():
                frames.add_metric([one.name, channel], number)
            for channel, number in one.dropped.items():
                dropped.add_metric([one.name, channel], number)
        return live, state, pinned, age, serving, carries, again, frames, dropped

    def _viewers(self) -> Iterator[Metric]:
        counters = self._counters
        yield _gauge("viewers", "Connected viewers.", len(self._delivery.viewers))
        yield _gauge("viewers_behind", "Viewers that cannot keep up now.", self._delivery.behind())
        yield _gauge("channels", "Different wishes among them.", len(self._delivery.channels))
        flushes = CounterMetricFamily(f"{_P}flushes", "Rounds of sending.", labels=["interval_ms"])
        for interval_ms, number in sorted(counters.flushes.items()):
            flushes.add_metric([str(interval_ms)], number)
        yield flushes
        frames = CounterMetricFamily(f"{_P}viewer_frames", "Frames handed to viewers.", labels=["event"])
        for name, number in sorted(counters.frames.items()):
            frames.add_metric([name], number)
        yield frames
        yield _total("encoded", "Quote frames encoded, one for all members of a channel.", counters.encoded)
        yield _total("skipped", "Frames not queued for viewers that were behind.", counters.skipped)
        yield _total("caught_up", "Snapshots given to viewers that had fallen behind.", counters.caught_up)
        yield _total("disconnected_slow", "Viewers cut for not reading.", counters.disconnected_slow)
        yield _total("refused_viewers", "Connections beyond the limit.", counters.refused)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_P + name, text, value=value)


def _total(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_P + name, text, value=value)
