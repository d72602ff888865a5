"""How the tests of the fakes talk to them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crypto_stream.feed.source import Instrument
from handlers import binance
from tests.fakes import FakeVenue
from tests.waiting import DEADLINE_S

BTC = Instrument("btcusdt", "BTC", "USDT")
ETH = Instrument("ethusdt", "ETH", "USDT")


async def open_binance(fake: FakeVenue) -> ClientConnection:
    """Connect and subscribe both symbols as the handler would."""
    client = await connect(binance.url(fake.url, []), compression=None, max_queue=None)
    await client.send(binance.subscribe([BTC, ETH])[0].text)
    return client


async def receive(client: ClientConnection) -> Any:
    """Receive one frame in time, as JSON."""
    async with asyncio.timeout(DEADLINE_S):
        return json.loads(await client.recv())


async def drain(client: ClientConnection) -> tuple[list[Any], ConnectionClosed]:
    """Receive until the connection ends; return the frames and how it ended."""
    frames = []
    while True:
        try:
            frames.append(await receive(client))
        except ConnectionClosed as closed:
            return frames, closed
