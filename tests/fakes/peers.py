"""How the tests of the fakes communicate with them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crypto_stream.feed.handler import TOPICS, Instrument, Request, Wanted
from handlers import binance
from tests.fakes import FakeVenue
from tests.waiting import DEADLINE_S

BTC = Instrument("btcusdt", "BTC", "USDT")
ETH = Instrument("ethusdt", "ETH", "USDT")


_PATHS = {"binance": "/stream", "okx": "/ws/v5/public"}


def address(handler: Any, fake: FakeVenue) -> str:
    """Return the address that the handler connects to."""
    return fake.url + _PATHS[handler.__name__.rpartition(".")[2]]


def asking(handler: Any, *instruments: Instrument, verb: str = "subscribe") -> Request:
    """Return the handler's first request for all topics of instruments."""
    wanted = [Wanted(handler.venue_id(each), each, topic) for each in instruments for topic in TOPICS]
    requests: list[Request] = getattr(handler.Reader({}), verb)(wanted)
    return requests[0]


async def open_binance(fake: FakeVenue) -> ClientConnection:
    """Connect and subscribe both symbols as the handler would."""
    client = await connect(address(binance, fake), compression=None, max_queue=None)
    await client.send(asking(binance, BTC, ETH).text)
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
