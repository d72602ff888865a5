"""The rules of the venues, as the fakes enforce them."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from handlers import binance, okx
from tests.fakes import FakeBinance, FakeCryptocom, FakeHtx, FakeOKX
from tests.fakes.peers import BTC, ETH, address, asking, drain, receive
from tests.waiting import until


async def test_okx_refuses_an_unknown_instrument_and_answers_pings() -> None:
    """An unknown instrument gets error 60018; the text ping gets pong; silence gets close code 4004."""
    async with FakeOKX(["btcusdt"], rate=0, idle_s=0.3) as fake:
        client = await connect(address(okx, fake))
        await client.send(asking(okx, ETH).text)
        error = await receive(client)
        await client.send("ping")
        answers = {await client.recv() for _ in range(3)}
        with pytest.raises(ConnectionClosed) as closed:
            await receive(client)

    assert error["code"] == "60018"
    assert "pong" in answers
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4004


async def test_binance_closes_after_more_than_five_messages_a_second() -> None:
    """The sixth message within one second closes the connection with 1008."""
    async with FakeBinance(["btcusdt"], rate=50) as fake:
        client = await connect(address(binance, fake))
        for number in range(6):
            await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        _, closed = await drain(client)

    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "Too many requests")
    assert fake.violations


async def test_binance_notes_too_many_connects() -> None:
    """The 301st connect within five minutes is recorded."""
    async with FakeBinance([], rate=0) as fake:
        fake.connects.extend([time.monotonic()] * 299)
        await (await connect(address(binance, fake))).close()
        before = list(fake.violations)
        await (await connect(address(binance, fake))).close()

    assert before == []
    assert fake.violations == ["more than 300 connects in 5 minutes"]


async def test_a_missing_pong_closes() -> None:
    """Binance pings; a client that does not answer in time is disconnected and recorded."""
    async with FakeBinance(["btcusdt"], rate=0, ping_s=0.05, pong_s=0.2) as fake:
        client = await connect(address(binance, fake))
        client.transport.pause_reading()
        await until(lambda: fake.violations)
        client.transport.abort()

    assert fake.violations == ["no pong"]


async def test_okx_refuses_too_many_operations() -> None:
    """The 481st subscribe or unsubscribe of a connection is refused with 60014 and recorded."""
    frames: list[Any] = []
    async with FakeOKX(["btcusdt"], rate=0) as fake:
        client = await connect(address(okx, fake), max_queue=None)
        for _ in range(481):
            await client.send(asking(okx, BTC, verb="unsubscribe").text)
        while not frames or frames[-1]["event"] != "error":
            frames.append(await receive(client))
        await client.close()

    assert len(frames) == 480 * 3 + 1
    assert frames[-1]["code"] == "60014"
    assert fake.violations


async def test_cryptocom_closes_without_answers_to_its_heartbeats() -> None:
    """At the third one, with the code of a regular end."""
    async with FakeCryptocom(["btcusdt"], heartbeat_s=0.1) as fake:
        client = await connect(f"{fake.url}/exchange/v1/market")
        frames, closed = await drain(client)

    assert [frame["method"] for frame in frames] == ["public/heartbeat"] * 2
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1000
    assert set(fake.violations) == {"two heartbeats without an answer"}


async def test_htx_closes_without_answers_to_its_pings() -> None:
    """Every frame is gzip data; the fifth ping is not sent."""
    frames: list[Any] = []

    async def receive_all(client: ClientConnection) -> None:
        while True:
            frames.append(json.loads(gzip.decompress(await client.recv(decode=False))))

    async with FakeHtx(["btcusdt"], ping_s=0.1) as fake:
        client = await connect(f"{fake.url}/ws")
        with pytest.raises(ConnectionClosed) as closed:
            await receive_all(client)

    assert [list(frame) for frame in frames] == [["ping"]] * 4
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1003, "ping check expired")
    assert set(fake.violations) == {"four pings without an answer"}
