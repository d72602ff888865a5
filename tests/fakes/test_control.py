"""The HTTP side of the fakes: REST answers, and the control page of the process."""

from __future__ import annotations

import asyncio
import sys

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from handlers import binance, okx
from tests.fakes import FakeBinance, FakeOKX
from tests.fakes.faults import FAULTS
from tests.waiting import DEADLINE_S


async def test_rest_lists_what_the_handlers_read() -> None:
    """Both handlers read their fake's instrument list, with the state of each."""
    async with FakeBinance(["btcusdt", "ethusdt"], rate=0) as one, FakeOKX(["btcusdt"], rate=0) as two:
        one.states["ethusdt"] = "HALT"
        two.states["btcusdt"] = "preopen"
        async with httpx.AsyncClient(base_url=one.rest_url) as http:
            listed = await binance.instruments(http)
        async with httpx.AsyncClient(base_url=two.rest_url) as http:
            other = await okx.instruments(http)

    assert {each.id: each.state for each in listed} == {"BTCUSDT": "", "ETHUSDT": "HALT"}
    assert {each.id: each.state for each in other} == {"BTC-USDT": "preopen"}


async def test_the_process_is_controlled_over_its_own_port() -> None:
    """`python -m tests.fakes` prints its port; GET /_fake sets faults, names wrong ones, shows counters."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes", "okx", "--symbols", "btcusdt", "--price", "100",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), DEADLINE_S))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await http.get("/_fake", params={"fault": "http:418", "seconds": "60"})
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{port}/ws/v5/public")
            counters = (await http.get("/_fake")).json()
            wrong = await http.get("/_fake", params={"fault": "nonsense"})
            pushed = await http.get(
                "/_fake", params={"symbol": "btcusdt", "bid": "1", "ask": "2", "price": "1.5"}
            )
            calmed = await http.get("/_fake", params={"symbol": "nothing", "calm": "1"})
    finally:
        process.terminate()
        status = await asyncio.wait_for(process.wait(), DEADLINE_S)

    assert refused.value.response.status_code == 418
    assert len(counters["connects"]) == 1
    assert float(counters["symbols"]["btcusdt"]["price"]) == pytest.approx(100.1, abs=0.05)  # it walks
    assert wrong.status_code == 400
    assert pushed.json()["symbols"]["btcusdt"]["price"] == "1.5"
    assert calmed.status_code == 400
    assert wrong.json()["faults"] == sorted(FAULTS)
    assert status == 0
