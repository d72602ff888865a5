"""/metrics: a gateway's connection to the engine."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from crypto_stream.bus.interface import BusFigures

_P = "crypto_stream_bus_"


def bus_metrics(figures: BusFigures) -> Iterator[Metric]:
    """Yield the metrics; what is unknown, or what this bus does not have, is left out."""
    relay = GaugeMetricFamily(f"{_P}relay", "1 for what the engine is reached through.", labels=["relay"])
    if figures.relay is not None:
        relay.add_metric([figures.relay], 1)
    yield relay
    yield CounterMetricFamily(f"{_P}joins", "Times this gateway joined the engine.", value=figures.joins)
    yield CounterMetricFamily(
        f"{_P}holes", "Times it needed the complete state because something was missing.", value=figures.holes
    )
    known = (
        ("lag_seconds", "Age of what arrives from the relay.", figures.lag_s),
        ("relays", "Relays that the engine is configured for.", figures.relays),
        ("relays_up", "Relays that the engine is connected to.", figures.relays_up),
        ("term", "The life of the engine that it follows; greater is newer.", figures.term),
    )
    for name, text, value in known:
        if value is not None:
            yield GaugeMetricFamily(_P + name, text, value=value)
