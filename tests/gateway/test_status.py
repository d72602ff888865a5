"""The status page, and the switches that a gateway remembers."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from crypto_stream.bus.interface import BusFigures
from crypto_stream.bus.messages import Switched
from crypto_stream.gateway.mirror import MAX_SWITCHES, Mirror
from crypto_stream.gateway.web.metrics import EngineMetrics
from crypto_stream.market.status import Start, Switch, Timeline
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway
from tests.gateway.test_mirror import snapshot
from tests.waiting import DEADLINE_S


def test_the_newest_switches_are_remembered() -> None:
    """After more than 100 switches the last 100 are known, oldest first."""
    mirror = Mirror()
    for at in range(MAX_SWITCHES + 5):
        mirror.receive(Switched(Switch(["btcusdt"], "binance", "okx", "lost", at)), 0.0)

    assert [one.time for one in mirror.switches] == list(range(5, MAX_SWITCHES + 5))


def test_the_engine_keeps_the_timeline() -> None:
    """A gateway that starts later gets what happened before, restarts included."""
    switch = Switch(["btcusdt"], None, "binance", "first live source", 8)
    timeline = Timeline(5, [switch], [Start(5, "e1"), Start(7, "e2")])
    mirror = Mirror()
    mirror.receive(msgspec.structs.replace(snapshot("e2"), timeline=timeline), 0.0)
    mirror.receive(Switched(Switch(["btcusdt"], "binance", "okx", "lost", 9)), 0.0)

    assert [one.time for one in mirror.switches] == [8, 9]
    assert [one.run for one in mirror.timeline.starts] == ["e1", "e2"]


def test_the_start_of_the_engine_is_that_of_its_newest_run() -> None:
    """In seconds, as Prometheus counts; left out while it is unknown."""
    mirror = Mirror()
    metrics = EngineMetrics(mirror, lambda: BusFigures("local", joins=1))
    before = _samples(metrics)
    timeline = Timeline(5, [], [Start(5_000, "e1"), Start(7_500, "e2")])
    mirror.receive(msgspec.structs.replace(snapshot("e2"), timeline=timeline), 0.0)

    assert "crypto_stream_engine_start_time_seconds" not in before
    assert _samples(metrics)["crypto_stream_engine_start_time_seconds"] == 7.5


def _samples(metrics: EngineMetrics) -> dict[str, float]:
    return {sample.name: sample.value for metric in metrics.collect() for sample in metric.samples}


@pytest.mark.asyncio(loop_scope="module")
async def test_sources_include_the_switches(gateway: Gateway, engine: Engine) -> None:
    """As they were sent to viewers, in the same response as the verdict."""
    before = after = (await gateway.http.get("/sources")).json()
    engine.switch(["btcusdt", "ethusdt"])
    async with asyncio.timeout(DEADLINE_S):
        while len(after["switches"]) == len(before["switches"]):
            await asyncio.sleep(0.02)
            after = (await gateway.http.get("/sources")).json()

    newest = after["switches"][-1]
    assert newest.pop("time") <= after["time"]
    assert after["verdict"]["state"] == "live"
    assert after["engine"]["reachable"] is True
    assert newest == {"symbols": ["btcusdt", "ethusdt"], "from": "binance", "to": "okx", "reason": "lost"}


@pytest.mark.asyncio(loop_scope="module")
async def test_the_status_page_is_static_html(gateway: Gateway) -> None:
    """With an ETag, the same for everybody."""
    answer = await gateway.http.get("/status")
    again = await gateway.http.get("/status", headers={"If-None-Match": answer.headers["ETag"]})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1>Status</h1>" in answer.text
    assert again.status_code == 304
