"""Each kind of hostile client for a moment: memory stays bounded and the gateway goes on responding."""

from __future__ import annotations

import asyncio
import contextlib

import psutil
import pytest

from benchmarks.attackers import KINDS, attack
from benchmarks.hostile import MOST_KEPT
from tests.gateway.process import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")
_SECONDS = 1.0


@pytest.mark.parametrize("kind", KINDS)
async def test_no_kind_of_hostile_client_costs_much(gateway: Gateway, kind: str) -> None:
    """Four at once; `python -m benchmarks.hostile` lets them go on for a minute each."""
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS):
            await attack(gateway.url, kind)
    kept = process.memory_info().rss - before
    answer = await gateway.http.get("/courses/btcusdt")

    assert answer.status_code == 200
    assert kept < MOST_KEPT
