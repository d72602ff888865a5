"""/metrics where several gateways share one port: whichever one responds, it reports all of them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from crypto_stream.addresses import make_private_folder
from crypto_stream.errors import UsageError
from crypto_stream.log_throttle import TroubleLog

log = logging.getLogger(__name__)

_WRITE_INTERVAL_S = 1.0
# A gateway that has written nothing for this long is gone, or hangs.
_GONE_S = 5.0
_SUFFIX = ".metrics"


class _Family(msgspec.Struct, frozen=True, array_like=True):
    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


class _Export(msgspec.Struct, frozen=True, array_like=True):
    """The metrics of one gateway; `at_ns` is the machine's monotonic clock."""

    gateway: str
    at_ns: int
    families: list[_Family]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Export).decode


class SharedMetrics(Collector):
    """The metrics of every gateway on this machine, each sample labelled `gateway`.

    Each gateway writes its own to a small file in a shared folder, every second and before it responds to a
    scrape; so a counter never seems to go back when another gateway responds to the next scrape.
    """

    def __init__(self, name: str, own: Collector, folder: Path) -> None:
        """Share in `folder` what `own` collects, as the metrics of the gateway `name`."""
        self._name = name
        self._own = own
        self._folder = folder
        self._trouble = TroubleLog(log, "cannot share metrics", level=logging.ERROR, each_reason=True)

    def run(self) -> None:
        """Write our own metrics every second, for ever."""
        while True:
            time.sleep(_WRITE_INTERVAL_S)
            self._write(self._count())

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once, with the samples of all gateways."""
        ours = self._count()
        self._write(ours)
        merged: dict[str, Metric] = {}
        for one in sorted([ours, *self._others()], key=lambda one: one.gateway):
            for family in one.families:
                metric = merged.setdefault(family.name, Metric(family.name, family.text, family.kind))
                for name, labels, value in family.samples:
                    metric.add_sample(name, {"gateway": one.gateway, **labels}, value)
        yield from merged.values()

    def _others(self) -> Iterator[_Export]:
        due_ns = time.monotonic_ns() - round(_GONE_S * 1e9)
        try:
            files = list(self._folder.glob(f"*{_SUFFIX}"))
        except OSError:
            return
        for file in files:
            try:
                one = _decode(file.read_bytes())
            except (OSError, msgspec.MsgspecError):  # gone meanwhile, or written by another version
                continue
            if one.gateway != self._name and one.at_ns >= due_ns:
                yield one

    def _write(self, ours: _Export) -> None:
        try:
            make_private_folder(self._folder)
            draft = self._folder / f"{self._name}.draft"
            draft.write_bytes(_encode(ours))
            os.replace(draft, self._folder / f"{self._name}{_SUFFIX}")
            self._trouble.works()
        except (OSError, UsageError) as error:
            self._trouble.fails(str(error))

    def _count(self) -> _Export:
        at_ns = time.monotonic_ns()
        families = [
            _Family(
                metric.name,
                metric.documentation,
                metric.type,
                [(sample.name, sample.labels, sample.value) for sample in metric.samples],
            )
            for metric in self._own.collect()
        ]
        return _Export(self._name, at_ns, families)
