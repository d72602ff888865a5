"""The fast path for viewers on real gateways: it gives the same as the server, or leaves it to that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, running, viewing
from tests.gateway.raw import PATH, Raw, handshake, raw, text
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")
SUBSCRIBE = text('42["subscribe",{"symbols":"all","interval_ms":0}]')
DEFLATE = "permessage-deflate; client_max_window_bits"
JOINING = {
    "as it is": handshake(),
    "another order": handshake("/socket.io/?transport=websocket&EIO=4&t=abc"),
    "compressed": handshake(extensions=DEFLATE),
    "lower case": handshake().replace(b"Sec-WebSocket-Key", b"sec-websocket-key"),
    "a browser": handshake(
        Origin="http://127.0.0.1:8000",
        Host="127.0.0.1:8000",
        Cookie="a=b; c=d",
        User_Agent="Mozilla/5.0 (X11)",
    ),
    "a proxy": handshake(
        Origin="https://stream.example.org", Host="stream.example.org", X_Forwarded_Proto="https"
    ),
    "keep-alive too": handshake(Connection="keep-alive, Upgrade"),
    "upper case": handshake(Upgrade="WebSocket"),
}
REFUSED = {
    "no key": handshake().replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Kex"),
    "two keys": handshake().replace(b"Host:", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost:"),
    "no base64": handshake(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j*Q=="),
    "no upgrade": handshake(Connection="close"),
    "other upgrade": handshake(Upgrade="h2c"),
    "old version": handshake(Sec_WebSocket_Version="8"),
    "Engine.IO 3": handshake("/socket.io/?EIO=3&transport=websocket"),
    "by script": handshake(f"{PATH}&j=1"),
    "a session": handshake(f"{PATH}&sid=nobody"),
    "a foreign page": handshake(Origin="http://evil.example", Host="127.0.0.1:8000"),
    "a rebound name": handshake(Origin="http://evil.example:8000", Host="evil.example:8000"),
    "two hosts": handshake().replace(b"Host: x", b"Host: x\r\nHost: y"),
    "no host": handshake().replace(b"Host: x\r\n", b""),
    "HTTP/1.0": handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
}


def bypassing(asked: bytes) -> bytes:
    """Add a header with a tab, which makes the fast path leave a request to the server."""
    return asked.replace(b"\r\n\r\n", b"\r\nX-Odd: a\tb\r\n\r\n")


@pytest_asyncio.fixture(loop_scope="module")
async def client(gateway: Gateway) -> AsyncIterator[Raw]:
    """Connect a bare client."""
    async with raw(gateway.url) as client:
        yield client


async def joined(client: Raw) -> tuple[list[str], list[Any]]:
    """Return the lines of the response without its date, and everything sent until `status`."""
    head = await client.head()
    lines = sorted(line for line in head.split("\r\n") if not line.startswith("Date:"))
    opened = json.loads((await client.until("0"))[1:])
    joined = json.loads((await client.until("40"))[2:])
    hello = json.loads((await client.until('42["hello"'))[2:])
    status = json.loads((await client.until('42["status"'))[2:])
    assert len(opened.pop("sid")) == len(joined.pop("sid")) == 20
    return lines, [opened, joined, hello, sorted(status[1])]


@pytest.mark.parametrize("name", JOINING)
async def test_both_paths_give_the_same_response(gateway: Gateway, client: Raw, name: str) -> None:
    """That of the fast path has no date, which shows that it was taken."""
    asked = JOINING[name]
    async with raw(gateway.url) as other:
        await client.send(asked + text("40"))
        fast = await client.head()
        await other.send(bypassing(asked) + text("40"))
        ordinary = await other.head()

    def lines(head: str) -> list[str]:
        return sorted(line for line in head.split("\r\n") if not line.startswith("Date:"))

    assert "Date:" not in fast
    assert "Date:" in ordinary
    assert lines(fast) == lines(ordinary)


async def test_both_paths_give_the_same_session(gateway: Gateway, client: Raw) -> None:
    """It gets the same events and quotes, and may send before it has read anything."""
    async with raw(gateway.url) as other:
        await client.send(handshake() + text("40") + SUBSCRIBE)
        await other.send(bypassing(handshake()) + text("40") + SUBSCRIBE)

        assert await joined(client) == await joined(other)
        assert await client.until('42["snapshot"') == await other.until('42["snapshot"')


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_handshakes_get_the_servers_response(gateway: Gateway, client: Raw, name: str) -> None:
    """With the same status, whether or not the fast path could parse it."""
    async with raw(gateway.url) as other:
        await client.send(REFUSED[name])
        await other.send(bypassing(REFUSED[name]))
        answers = [await one.head() for one in (client, other)]

    assert int(answers[0].split()[1]) >= 400
    assert answers[0].split()[1] == answers[1].split()[1]


async def test_a_polling_session_is_upgraded_by_the_fast_path(gateway: Gateway, client: Raw) -> None:
    """Only once, on either path; what was queued for its next poll is sent over the WebSocket."""
    polling = "/socket.io/?EIO=4&transport=polling"
    opened = json.loads((await gateway.http.get(polling)).text[1:])
    path = f"{PATH}&sid={opened['sid']}"

    await client.send(handshake(path) + text("2probe"))
    head = await client.head()
    probed = await client.until("3")
    async with raw(gateway.url) as second, raw(gateway.url) as third:
        await second.send(handshake(path))
        await third.send(bypassing(handshake(path)))
        others = [(await one.head()).split()[1] for one in (second, third)]
    await client.send(text("5") + text("40"))
    hello = await client.until('42["hello"')

    assert head.startswith("HTTP/1.1 101 ")
    assert "Date:" not in head
    assert (probed, others) == ("3probe", ["400", "400"])
    assert hello


async def test_a_handshake_may_come_in_pieces(client: Raw) -> None:
    """The server puts them together."""
    asked = handshake()

    await client.send(asked[:40])
    await asyncio.sleep(0.05)
    await client.send(asked[40:] + text("40"))

    assert (await client.head()).startswith("HTTP/1.1 101 ")
    assert await client.until('42["hello"')


async def test_idle_connections_and_viewers_need_no_green_thread(gateway: Gateway) -> None:
    """HTTP requests are served at once beside them."""
    before = await gateway.green_threads()
    async with AsyncExitStack() as all_of_them:
        silent = [await all_of_them.enter_async_context(raw(gateway.url)) for _ in range(50)]
        viewers = [await all_of_them.enter_async_context(raw(gateway.url)) for _ in range(50)]
        for one in viewers:
            await one.send(handshake() + text("40"))
        for one in viewers:
            await one.head()
            await one.until('42["hello"')
        assert await gateway.green_threads() <= before + 5

        await silent[0].send(b"GET /courses HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await silent[0].head()).startswith("HTTP/1.1 200 ")
        await silent[1].send(handshake() + text("40"))
        assert (await silent[1].head()).startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_the_limit_per_address_applies_to_the_fast_path(bus: Path, engine: Engine, server: str) -> None:
    """Behind a trusted proxy it is the client's address; beyond the limit a client is refused as usual."""
    async with AsyncExitStack() as all_of_them:
        gateway = await all_of_them.enter_async_context(
            running(bus, server=server, max_per_address=2, trusted_proxies=["127.0.0.1"])
        )
        await gateway.ready()

        async def status(address: str) -> str:
            client = await all_of_them.enter_async_context(raw(gateway.url))
            await client.send(handshake(X_Forwarded_For=address))
            return (await client.head()).split()[1]

        answers = [await status(address) for address in ("8.8.8.8", "8.8.8.8", "8.8.8.8", "9.9.9.9")]

    assert answers == ["101", "101", "429", "101"]


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_both_paths_refuse_a_client_equally(bus: Path, engine: Engine, server: str) -> None:
    """Both count it; the fast path closes the connection."""
    async with running(bus, server=server, max_per_address=1) as gateway, AsyncExitStack() as all_of_them:
        await gateway.ready()
        clients = [await all_of_them.enter_async_context(raw(gateway.url)) for _ in range(3)]
        await clients[0].send(handshake())
        assert (await clients[0].head()).startswith("HTTP/1.1 101 ")
        answers = []
        for client, asked in zip(clients[1:], (handshake(), bypassing(handshake())), strict=True):
            await client.send(asked)
            head = await client.head()
            size = int(head.lower().split("content-length: ")[1].split()[0])
            async with asyncio.timeout(DEADLINE_S):
                body = await client.reader.readexactly(size)
            own = ("date:", "connection:", "keep-alive:")
            lines = sorted(line for line in head.split("\r\n") if not line.lower().startswith(own))
            answers.append((lines, body))
        await clients[1].ended()
        refused = (await gateway.http.get("/metrics")).text

    assert answers[0] == answers[1]
    assert json.loads(answers[0][1])["code"] == "too_many_connections"
    assert 'refused_connections_total{reason="too_many_connections"} 2.0' in refused


async def test_a_default_client_takes_the_fast_path(gateway: Gateway) -> None:
    """It joins, leaves, and is removed."""
    await no_viewers(gateway)  # those of earlier tests may still be leaving
    async with viewing(gateway.url) as viewer:
        await viewer.until("hello")
        assert await gateway.metric("crypto_stream_viewers") == 1

    await no_viewers(gateway)


async def no_viewers(gateway: Gateway) -> None:
    """Wait until no viewer is connected."""
    async with asyncio.timeout(DEADLINE_S):
        while await gateway.metric("crypto_stream_viewers"):
            await gateway.answers("/readyz", 200)
