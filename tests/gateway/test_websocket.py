"""WebSockets of real gateways, with bare bytes, on both servers."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode

from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, Viewer, running, viewing
from tests.gateway.raw import PATH, Raw, handshake, raw, text
from tests.waiting import DEADLINE_S, until

SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
SUBSCRIBE = text('42["subscribe",{"symbols":"all","interval_ms":0}]')
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[Raw]:
    """Connect a bare client."""
    async with raw(gateway.url) as client:
        yield client


def shows(viewer: Viewer, newest: Quote) -> bool:
    """Return whether the viewer has received this price."""
    return bool(viewer.price(newest.symbol) == newest.price)


async def joined(client: Raw, extensions: str = "") -> None:
    """Open a WebSocket, join, and read until `hello`."""
    await client.send(handshake(extensions=extensions) + text("40"))
    client.protocol.extensions = [PerMessageDeflate(True, True, 15, 15)] if extensions else []
    await client.head()
    await client.until('42["hello"')


async def closed(client: Raw) -> int:
    """Return the code of the close frame; a `status` may come before it."""
    while (frame := await client.frame()).opcode is Opcode.TEXT:
        pass
    assert frame.opcode is Opcode.CLOSE
    return int(Close.parse(bytes(frame.data)).code)


async def test_frames_right_behind_the_handshake_are_not_lost(client: Raw) -> None:
    """A client may send before it has read the response."""
    head = await client.open(text("40") + SUBSCRIBE)

    assert head.startswith("HTTP/1.1 101 ")
    assert "sec-websocket-extensions" not in head.lower()
    assert json.loads((await client.until("0"))[1:])["upgrades"] == []
    assert await client.until("40")
    assert await client.until('42["hello"')
    assert await client.until('42["snapshot"')


async def test_frames_in_single_bytes_are_understood(client: Raw) -> None:
    """However the network splits them."""
    await client.open()

    for at in text("40"):
        await client.send(bytes((at,)))
        await asyncio.sleep(0)

    assert await client.until('42["hello"')


BROKEN = [
    handshake(Sec_WebSocket_Key="short"),
    handshake(Sec_WebSocket_Version="7"),
    handshake(Connection="close"),
    handshake(Upgrade="h2c"),
    handshake(extensions="permessage-deflate; ="),
    handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    handshake().replace(b"GET", b"POST"),
    handshake("/socket.io/?EIO=3&transport=websocket"),
    handshake(f"{PATH}&sid=nobody"),
    handshake("/courses"),
    handshake(Origin="http://evil.example"),
    handshake(Origin="http://evil.example:8000", Host="evil.example:8000"),
    handshake("/ws", Origin="http://evil.example:8000", Host="evil.example:8000"),
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
async def test_a_broken_handshake_is_refused_and_leaves_nothing(
    client: Raw, gateway: Gateway, number: int
) -> None:
    """A response other than 101, and no additional viewer."""
    before = await gateway.metric("crypto_stream_viewers")

    await client.send(BROKEN[number])

    status = int((await client.head()).split()[1])
    assert status >= 400 or (b"/courses" in BROKEN[number] and status == 200)
    assert await gateway.metric("crypto_stream_viewers") <= before


async def test_nonsense_after_the_handshake_affects_no_other_client(
    gateway: Gateway, engine: Engine, viewer: Viewer
) -> None:
    """Forty clients send random or nearly valid bytes; another viewer gets every change meanwhile."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
    dice = random.Random(3)
    for number in range(40):
        async with raw(gateway.url) as client:
            await client.open(text("40") if number % 2 else b"")
            nonsense = bytes(
                dice.choices([0x81, 0x82, 0x00, 0x88, 0x89, *range(256)], k=dice.randint(1, 400))
            )
            await client.send(nonsense)
            if number % 3:
                client.writer.write_eof()
                await client.ended()
        changed = engine.change(price=str(9000 + number))
        await until(partial(shows, viewer, changed))

    assert (await gateway.http.get("/healthz")).status_code == 200


async def test_a_frame_beyond_the_limit_is_answered_with_1009(client: Raw) -> None:
    """The frame's header is enough: its payload is not awaited."""
    await client.open()
    await client.until("0")

    await client.send(b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"mask")

    assert await closed(client) == 1009
    await client.ended()


async def test_a_close_is_echoed_and_the_viewer_is_gone(client: Raw, gateway: Gateway) -> None:
    """The connection ends in order."""
    await joined(client)
    before = await gateway.metric("crypto_stream_viewers")

    await client.send(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True))

    assert await closed(client) == 1000
    await client.ended()
    async with asyncio.timeout(DEADLINE_S):
        while await gateway.metric("crypto_stream_viewers") > before - 1:
            pass


async def test_a_websocket_ping_is_answered(client: Raw) -> None:
    """With its own payload."""
    await client.open()
    await client.until("0")

    await client.send(Frame(Opcode.PING, b"abc").serialize(mask=True))

    frame = await client.frame()
    assert (frame.opcode, frame.data) == (Opcode.PONG, b"abc")


async def test_viewers_with_and_without_compression_share_a_channel(
    client: Raw, gateway: Gateway, engine: Engine
) -> None:
    """Both get the same text; only a client that negotiated compression gets it compressed."""
    async with raw(gateway.url) as plain:
        await joined(client, "permessage-deflate; client_max_window_bits")
        await joined(plain)
        for one in (client, plain):
            await one.send(SUBSCRIBE)
            await one.until('42["snapshot"')
        encoded = await gateway.metric("crypto_stream_encoded_total")

        changed = engine.change(price="31337.5")
        texts = [await one.until('42["quotes"') for one in (client, plain)]

        assert texts[0] == texts[1]
        assert json.loads(texts[0][2:])[1][0]["seq"] == changed.seq
        assert await gateway.metric("crypto_stream_encoded_total") == encoded + 1


async def test_an_upgrade_that_is_not_finished_leaves_the_session_polling(
    client: Raw, gateway: Gateway, engine: Engine
) -> None:
    """A probe whose connection fails does not affect the viewer."""
    async with viewing(gateway.url, "polling") as viewer:
        await viewer.until("hello")
        await client.open(text("2probe"), path=f"{PATH}&sid={viewer.client.eio.sid}")
        assert await client.until("3probe")
        client.writer.close()

        assert (await viewer.subscribe(symbols=["btcusdt"], interval_ms=100))["ok"]
        changed = engine.change(price="52.25")
        await until(lambda: viewer.price() == changed.price)


async def test_an_invalid_upgrade_closes_only_that_connection(client: Raw, gateway: Gateway) -> None:
    """The session continues."""
    async with viewing(gateway.url, "polling") as viewer:
        await viewer.until("hello")
        await client.open(text("5"), path=f"{PATH}&sid={viewer.client.eio.sid}")
        await client.ended()

        assert (await viewer.subscribe(symbols=["btcusdt"]))["ok"]


async def test_delivery_is_measured(gateway: Gateway, engine: Engine, viewer: Viewer) -> None:
    """Bytes, the duration of a flush, and the latency from publishing to the socket."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
    changed = engine.change(price="8.125")
    await until(lambda: viewer.price() == changed.price)

    metrics = (await gateway.http.get("/metrics")).text
    rows = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))

    assert float(rows["crypto_stream_viewer_bytes_total"]) > 300
    assert float(rows["crypto_stream_flush_seconds_count"]) >= 1
    assert float(rows['crypto_stream_latency_seconds_count{interval_ms="0"}']) >= 1
    assert rows["crypto_stream_viewer_waiting"] == "0.0"


@SERVERS
async def test_a_viewer_that_stops_reading_is_disconnected_after_the_timeout(bus: Path, server: str) -> None:
    """It is counted as slow; another viewer gets every change to the end."""
    many = [Instrument(f"ticker_{at:02}", None, None, True) for at in range(100)]
    async with (
        Engine(bus, instruments=many) as engine,
        running(bus, server=server, slow_client_timeout=1.0) as gateway,
        viewing(gateway.url) as other,
        raw(gateway.url) as client,
    ):
        await gateway.ready()
        await other.subscribe(symbols=["ticker_99"], interval_ms=0)
        await joined(client)
        await client.send(SUBSCRIBE)

        told = 0
        async with asyncio.timeout(DEADLINE_S * 3):
            while not await gateway.metric("crypto_stream_disconnected_slow_total"):
                told += 1
                for one in many:
                    last = engine.change(one.symbol, price=str(told))
                await until(partial(shows, other, last))

        assert await gateway.metric("crypto_stream_viewers") == 1
        assert await gateway.metric("crypto_stream_skipped_total") > 0
        await client.ended()


@SERVERS
async def test_compression_can_be_turned_off_and_addresses_be_limited(bus: Path, server: str) -> None:
    """Then no offer is accepted; a connection beyond the limit is refused, until one has ended."""
    async with (
        Engine(bus),
        running(bus, server=server, compression=False, max_per_address=1) as gateway,
    ):
        await gateway.ready()
        async with raw(gateway.url) as first, raw(gateway.url) as second:
            head = await _opened(first)
            refused = await _opened(second)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                async with raw(gateway.url) as third:
                    if "101" in await _opened(third):
                        break

    assert head.startswith("HTTP/1.1 101")
    assert "permessage-deflate" not in head
    assert refused.startswith("HTTP/1.1 429")


async def _opened(client: Raw) -> str:
    await client.send(handshake(extensions="permessage-deflate"))
    return await client.head()
