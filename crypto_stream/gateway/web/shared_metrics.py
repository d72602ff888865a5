"""/metrics where several gateways share one port: whichever answers, the answer covers them all."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.messages import GetMetrics, Metrics
from crypto_stream.errors import BusError, RefusedError

log = logging.getLogger(__name__)

_EVERY_S = 1.0
# Seconds the engine may take to answer; a scrape then shows what this gateway counts alone.
_ANSWER_S = 1.0


class _Family(msgspec.Struct, frozen=True, array_like=True):
    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


_encoder = msgspec.msgpack.Encoder()
_families = msgspec.msgpack.Decoder(list[_Family])
_answer = msgspec.msgpack.Decoder(list[Metrics])


class SharedMetrics(Collector):
    """The families of every connected gateway, each sample with the label `gateway`.

    The engine keeps each gateway's newest ones: handed over each second, and before each scrape, so that
    no counter ever seems to go back when the next scrape is answered by another gateway. While the engine
    cannot be reached only our own are shown.
    """

    def __init__(self, name: str, own: Collector, port: GatewayPort) -> None:
        """Share what `own` collects as that of the gateway `name`; `run` does it."""
        self._name = name
        self._own = own
        self._port = port

    def run(self) -> None:
        """Hand ours over each second, for ever; what fails is done again with newer figures."""
        while True:
            time.sleep(_EVERY_S)
            try:
                self._port.ask(self._taken(), _ANSWER_S)
            except BusError:
                continue
            except RefusedError as refused:
                log.error("metrics are not shared", extra={"reason": str(refused)})
                return

    def collect(self) -> Iterator[Metric]:
        """Give the families of all, each once."""
        merged: dict[str, Metric] = {}
        for one in self._all():
            for family in _families.decode(one.families):
                metric = merged.setdefault(family.name, Metric(family.name, family.text, family.kind))
                for name, labels, value in family.samples:
                    metric.add_sample(name, {"gateway": one.gateway, **labels}, value)
        yield from merged.values()

    def _all(self) -> list[Metrics]:
        ours = self._taken()
        try:
            self._port.ask(ours, _ANSWER_S)
            return sorted(
                _answer.decode(self._port.ask(GetMetrics(), _ANSWER_S)), key=lambda one: one.gateway
            )
        except (BusError, RefusedError):
            return [ours]

    def _taken(self) -> Metrics:
        taken_ns = time.monotonic_ns()
        families = [
            _Family(
                metric.name,
                metric.documentation,
                metric.type,
                [(sample.name, sample.labels, sample.value) for sample in metric.samples],
            )
            for metric in self._own.collect()
        ]
        return Metrics(self._name, taken_ns, _encoder.encode(families))
