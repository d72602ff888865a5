"""An owner comes back to a whole program after thousands of its reports were read by nobody."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from tests.gateway.raw import handshake, raw, text
from tests.process.serving import trading
from tests.waiting import DEADLINE_S, SCALE

pytestmark = [pytest.mark.asyncio(loop_scope="function"), pytest.mark.timeout(120 * SCALE)]

PLACED = 2_500
ORDER = '{"messageType": 3, "message": {"instrument": "EUR/RUB", "side": 1, "amount": "1", "price": "50"}}'


async def test_thousands_of_missed_reports_are_told_in_order_and_then_what_happens(tmp_path: Path) -> None:
    """In pieces, the next when one was read; an order placed meanwhile is answered behind them."""
    limits = ("--order-rate", "100000", "--max-open-orders", "10000")
    path = f"/ws?mode=extended&client_id={uuid.uuid4()}"
    async with trading(tmp_path, *limits) as service, asyncio.timeout(6 * DEADLINE_S):
        async with raw(service.url) as deaf:  # takes everything, answers no ping
            await deaf.send(handshake(path))
            await deaf.head()
            await deaf.send(text(ORDER) * PLACED)
            taken = 0
            while taken < PLACED:
                taken += (await deaf.frame()).opcode is Opcode.TEXT
        async with connect(service.url.replace("http", "ws") + path) as back:
            await back.send(ORDER)
            told = [json.loads(await back.recv())["message"]["seq"] for _ in range(PLACED + 1)]

    assert told == list(range(1, PLACED + 2))
