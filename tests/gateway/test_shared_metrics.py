"""Figures of gateways that share a port: of every kind, through a real engine, and without it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.gateway.web.shared_metrics import SharedMetrics
from tests.engine.process import running
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="function")
ALONE = [
    "# HELP viewers Viewers of any kind.",
    "# TYPE viewers gauge",
    'viewers{gateway="gateway-1"} 1.0',
    "# HELP frames_total Frames.",
    "# TYPE frames_total counter",
    'frames_total{event="a \\"strange\\" one",gateway="gateway-1"} 1.0',
    "# HELP flush_seconds Flush.",
    "# TYPE flush_seconds histogram",
    'flush_seconds_bucket{gateway="gateway-1",le="0.1"} 0.0',
    'flush_seconds_bucket{gateway="gateway-1",le="1.0"} 1.0',
    'flush_seconds_bucket{gateway="gateway-1",le="+Inf"} 1.0',
    'flush_seconds_count{gateway="gateway-1"} 1.0',
    'flush_seconds_sum{gateway="gateway-1"} 0.5',
]


def _counted(viewers: int) -> CollectorRegistry:
    own = CollectorRegistry()
    Gauge("viewers", "Viewers of any kind.", registry=own).set(viewers)
    Counter("frames", "Frames.", ["event"], registry=own).labels('a "strange" one').inc(viewers)
    Histogram("flush_seconds", "Flush.", buckets=(0.1, 1), registry=own).observe(0.5)
    return own


async def _lines(shared: SharedMetrics) -> list[str]:
    """Scrape as /metrics does, in a thread because the bus's calls block."""
    text = await asyncio.wait_for(asyncio.to_thread(generate_latest, shared), DEADLINE_S)
    return [line for line in text.decode().splitlines() if "_created" not in line]


@asynccontextmanager
async def _connected(bus: Path) -> AsyncIterator[LocalGatewayPort]:
    """Be a further gateway on the bus."""
    heard = threading.Event()
    port = LocalGatewayPort(bus)
    thread = threading.Thread(target=port.run, args=(lambda _: heard.set(), lambda: None))
    thread.start()
    try:
        await until(heard.is_set)
        yield port
    finally:
        port.close()
        await asyncio.to_thread(thread.join, DEADLINE_S)


async def test_figures_of_every_kind_are_merged_family_by_family(tmp_path: Path) -> None:
    """Each family comes once, with each gateway's samples as they were and the label `gateway`."""
    async with running(tmp_path, {}, sources="synthetic") as engine, _connected(tmp_path / "bus") as other:
        first = SharedMetrics("gateway-1", _counted(1), engine.port)
        second = SharedMetrics("gateway-2", _counted(2), other)
        await _lines(first)
        lines = await _lines(second)

    mine = [line for line in lines if "gateway-2" not in line]
    theirs = [line.replace("gateway-2", "gateway-1") for line in lines if "gateway-1" not in line]
    assert mine == ALONE
    assert theirs == [
        line.replace("} 1.0", "} 2.0") if line.startswith(("viewers", "frames")) else line for line in ALONE
    ]
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_the_engine_a_gateway_shows_its_own(fault: signal.Signals, tmp_path: Path) -> None:
    """An engine that died or hangs makes no scrape fail or wait for long."""
    async with running(tmp_path, {}, sources="synthetic") as engine:
        shared = SharedMetrics("gateway-1", _counted(1), engine.port)
        engine.process.send_signal(fault)
        lines = await _lines(shared)

    assert lines == ALONE
