"""What a gateway reports about the engine, about itself, and about what is degraded."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import psutil
import pytest

from crypto_stream.bus.messages import HistoryCounts, OrderCounts
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_failing_order_store_is_reported_in_readiness(gateway: Gateway, engine: Engine) -> None:
    """Prices go on, so the gateway is ready; but it is degraded, with the reason."""
    engine.orders_trouble = "disk full"
    said = None
    async with asyncio.timeout(DEADLINE_S):
        while said != {"status": "ready", "degraded": ["orders: disk full"]}:
            answer = await gateway.http.get("/readyz")
            said = answer.json()
    engine.orders_trouble = None

    assert answer.status_code == 200


async def scraped(gateway: Gateway, line: str) -> list[str]:
    """Return the lines of /metrics once `line` is among them."""
    lines: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while line not in lines:
            lines = (await gateway.http.get("/metrics")).text.splitlines()
    return lines


async def test_metrics_include_orders(gateway: Gateway, engine: Engine) -> None:
    """How many are active, what happened to them, and how long the disk took."""
    engine.order_counts = OrderCounts(7, 5, 4, 3, 2, commits=10, commit_s=0.5)
    lines = await scraped(gateway, "crypto_stream_orders_active 7.0")
    engine.order_counts = None

    for line in (
        "crypto_stream_orders_placed_total 5.0",
        "crypto_stream_orders_filled_total 4.0",
        "crypto_stream_orders_cancelled_total 3.0",
        "crypto_stream_orders_rejected_total 2.0",
        "crypto_stream_order_commit_seconds_count 10.0",
        "crypto_stream_order_commit_seconds_sum 0.5",
    ):
        assert line in lines


async def test_metrics_include_what_the_history_dropped(gateway: Gateway, engine: Engine) -> None:
    """Late trades, bars waiting for the disk, bars that were never stored."""
    engine.history_counts = HistoryCounts(late_trades=3, waiting=2, lost=1)
    lines = await scraped(gateway, "crypto_stream_bars_waiting 2.0")
    engine.history_counts = None

    assert "crypto_stream_late_trades_total 3.0" in lines
    assert "crypto_stream_bars_lost_total 1.0" in lines


async def test_metrics_include_how_many_engines_could_take_over(gateway: Gateway, engine: Engine) -> None:
    """None is shown where none can, rather than 0, on which somebody might alert."""
    engine.followers = 1
    lines = await scraped(gateway, "crypto_stream_engine_followers 1.0")
    engine.followers = 0
    await scraped(gateway, "crypto_stream_engine_followers 0.0")
    engine.followers = None
    async with asyncio.timeout(DEADLINE_S):
        while "\ncrypto_stream_engine_followers" in (await gateway.http.get("/metrics")).text:
            pass

    assert "# TYPE crypto_stream_engine_followers gauge" in lines


async def test_every_counter_of_the_bounds_is_shown(gateway: Gateway, engine: Engine) -> None:
    """Every metric in the table "Bounds" of docs/operations.md exists; no row is repeated."""
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    _, section = text.split("## Bounds\n")
    rows = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)(?:\{[^`]*)?`", row.split(" |")[-2])}
    engine.order_counts = OrderCounts(7, 5, 4, 3, 2, commits=10, commit_s=0.5)
    lines = await scraped(gateway, "crypto_stream_orders_active 7.0")
    engine.order_counts = None
    families = {line.split()[2] for line in lines if line.startswith("# TYPE ")}

    assert len(named) > 15
    assert len({row.split(" |")[0] for row in rows}) == len(rows)
    assert {name for name in named if f"crypto_stream_{name}" not in families} == set()


async def test_metrics_include_the_verdict_and_what_is_degraded(gateway: Gateway, engine: Engine) -> None:
    """As /readyz says it: only real pairs count, and each part has a value whether or not it is degraded."""
    engine.orders_trouble = "disk full"
    engine.change("btcusdt", stale=True)
    lines = await scraped(gateway, 'crypto_stream_degraded{part="orders"} 1.0')
    during = await scraped(gateway, "crypto_stream_verdict_live 1.0")
    engine.orders_trouble = None
    engine.change("btcusdt", stale=False)
    after = await scraped(gateway, 'crypto_stream_degraded{part="orders"} 0.0')
    await scraped(gateway, "crypto_stream_verdict_live 2.0")

    parts = {line.split('"')[1] for line in lines if line.startswith("crypto_stream_degraded{")}
    assert parts == {"prices", "history", "orders", "bars", "clock", "bus", "feed", "sources"}
    assert "crypto_stream_verdict_instruments 2.0" in during
    assert 'crypto_stream_degraded{part="prices"} 1.0' in during
    assert 'crypto_stream_degraded{part="history"} 0.0' in after


async def test_metrics_include_the_process(gateway: Gateway) -> None:
    """Since when it runs, and how much CPU it has used: more at each scrape."""
    created_s = psutil.Process(gateway.process.pid).create_time()
    started_s = await gateway.metric("crypto_stream_gateway_start_time_seconds")
    used_s = await gateway.metric("crypto_stream_gateway_cpu_seconds_total")
    more_s = await gateway.metric("crypto_stream_gateway_cpu_seconds_total")

    assert created_s - 1 < started_s < time.time()  # the system counts in hundredths since it was started
    assert 0 < used_s < more_s
