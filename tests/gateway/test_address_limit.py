"""The client's address behind proxies, and the limit per address."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from crypto_stream.gateway.delivery.address_limit import AddressLimit
from crypto_stream.gateway.web.forwarded import client
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, running, viewing
from tests.gateway.raw import Raw, handshake, raw, text
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
OPEN = "/socket.io/?EIO=4&transport=polling"
TRUSTED = [ip_network(one) for one in ("127.0.0.0/8", "10.1.0.0/16", "::1")]

FORWARDED = [
    ("9.9.9.9", "1.1.1.1", "9.9.9.9"),  # this peer is not trusted
    ("127.0.0.1", "1.1.1.1", "1.1.1.1"),
    ("127.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),  # anything further left comes from the client
    ("127.0.0.1", "6.6.6.6,1.1.1.1, 10.1.2.3", "1.1.1.1"),
    ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
    ("::1", "2001:db8::1", "2001:db8::1"),
    ("::ffff:127.0.0.1", "1.1.1.1", "1.1.1.1"),
    ("127.0.0.1", "1.1.1.1:4711", "1.1.1.1"),
    ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
    ("127.0.0.1", "unknown", "127.0.0.1"),
    ("127.0.0.1", "1.1.1.1, nonsense", "127.0.0.1"),
    ("127.0.0.1", "", "127.0.0.1"),
]


@pytest.mark.parametrize(("peer", "forwarded", "real"), FORWARDED)
async def test_the_client_is_the_last_address_before_the_trusted_proxies(
    peer: str, forwarded: str, real: str
) -> None:
    assert client(peer, forwarded, TRUSTED) == real


async def test_a_host_with_many_ipv6_addresses_counts_as_one() -> None:
    """A customer usually gets a /64; an IPv4-mapped address is that IPv4 address."""
    address_limit = AddressLimit(2)
    for address in ("2001:db8::1", "2001:db8::2", "1.1.1.1", "::ffff:1.1.1.1"):
        address_limit.add(address)

    assert [address_limit.full(one) for one in ("2001:db8::3", "2001:db8:0:1::3", "1.1.1.1")] == [
        True,
        False,
        True,
    ]
    address_limit.remove("2001:db8::2")
    assert not address_limit.full("2001:db8::1")


@asynccontextmanager
async def limited(bus: Path, server: str, **more: Any) -> AsyncIterator[Gateway]:
    """Run a gateway that allows three connections per address."""
    async with Engine(bus), running(bus, server=server, max_per_address=3, **more) as gateway:
        await gateway.ready()
        yield gateway


@SERVERS
async def test_polling_sessions_count_like_websockets(bus: Path, server: str) -> None:
    """Also those that have not joined, half an upgrade, and /ws; any that ends makes room."""
    async with limited(bus, server) as gateway:
        first = await gateway.http.get(OPEN)
        sid = sid_in(first.text)
        async with viewing(gateway.url, "any"), raw(gateway.url) as half, raw(gateway.url) as orders:
            await half.send(handshake(f"/socket.io/?EIO=4&transport=websocket&sid={sid}"))
            upgrading = await half.head()
            second = await gateway.http.get(OPEN)
            crowded = await gateway.http.get(OPEN)
            socket_refused = await refused(gateway)
            await orders.send(handshake("/ws"))
            orders_refused = await orders.head()
        await gateway.answers(OPEN, 200)
        counted = await gateway.metric("crypto_stream_refused_viewers_total")

    assert (first.status_code, second.status_code) == (200, 200)
    assert upgrading.startswith("HTTP/1.1 101 ")
    assert (crowded.status_code, crowded.json()["code"]) == (429, "too_many_connections")
    assert socket_refused.startswith("HTTP/1.1 429 ")
    assert orders_refused.startswith("HTTP/1.1 429 ")
    assert counted >= 3


def sid_in(opened: str) -> str:
    """Return the session id in the response that opens a session."""
    sid: str = json.loads(opened[1:])["sid"]
    return sid


async def refused(gateway: Gateway) -> str:
    async with raw(gateway.url) as bare:
        await bare.send(handshake())
        return await bare.head()


@SERVERS
async def test_behind_a_trusted_proxy_each_client_counts_by_itself(bus: Path, server: str) -> None:
    """By the address that the proxy names; without trust all of them count as one."""

    async def of_two(gateway: Gateway) -> list[int]:
        forwarded = [
            {"X-Forwarded-For": f"6.6.6.{at}, {one}"} for one in ("1.1.1.1", "2.2.2.2") for at in range(4)
        ]
        return [(await gateway.http.get(OPEN, headers=one)).status_code for one in forwarded]

    async with limited(bus, server, trusted_proxies=["127.0.0.1"]) as gateway:
        trusted = await of_two(gateway)
    async with limited(bus, server) as gateway:
        alone = await of_two(gateway)

    assert trusted == [200, 200, 200, 429] * 2
    assert alone == [200] * 3 + [429] * 5


@SERVERS
async def test_sessions_that_never_become_viewers_are_closed(bus: Path, server: str) -> None:
    """Those that do not join, and those that join but never poll, free all their memory; viewers stay."""
    async with Engine(bus), running(bus, server=server) as gateway:
        await gateway.ready()
        async with (
            viewing(gateway.url) as viewer,
            viewing(gateway.url, "polling") as poller,
            raw(gateway.url) as silent,
        ):
            await silent.open()
            before, memory = gateway.descriptors(), gateway.memory()
            for at in range(200):
                opened = await gateway.http.get(OPEN)
                sid = sid_in(opened.text)
                if at % 2:
                    await gateway.http.post(f"{OPEN}&sid={sid}", content="40")
            while await gateway.metric("crypto_stream_viewers") > 2:
                pass  # until pytest's timeout
            await asyncio.wait_for(silent.ended(), DEADLINE_S)
            ended = [
                await gateway.metric(f'crypto_stream_ended_sessions_total{{reason="{reason}"}}')
                for reason in ("never_joined", "never_polled")
            ]
            await until(lambda: gateway.descriptors() <= before)
            alive = [(await one.subscribe(symbols="all"))["ok"] for one in (viewer, poller)]

            grown = gateway.memory() - memory

    assert grown < 20_000_000
    assert ended == [101, 100]
    assert alive == [True, True]


@SERVERS
@pytest.mark.parametrize("join", [False, True])
async def test_of_too_many_new_sessions_the_oldest_are_closed(bus: Path, server: str, *, join: bool) -> None:
    """A client that opens them without pause uses no memory and keeps no other client out.

    Nor does it end a viewer that never polled because it upgraded at once.
    """
    async with Engine(bus), running(bus, server=server) as gateway:
        await gateway.ready()

        async def crowd() -> None:
            for _ in range(140):
                opened = await gateway.http.get(OPEN)
                if join:
                    await gateway.http.post(f"{OPEN}&sid={sid_in(opened.text)}", content="40")

        sid = sid_in((await gateway.http.get(OPEN)).text)
        await gateway.http.post(f"{OPEN}&sid={sid}", content="40")
        async with viewing(gateway.url) as viewer, raw(gateway.url) as upgraded:
            await upgraded.open(text("2probe"), f"/socket.io/?EIO=4&transport=websocket&sid={sid}")
            await upgraded.until("3probe")
            await upgraded.send(text("5"))
            await upgraded.until("42")
            memory = gateway.memory()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(10):
                    tasks.create_task(crowd())
            grown = gateway.memory() - memory
            metrics = (await gateway.http.get("/metrics")).text
            ended = re.findall(r"^crypto_stream_ended_sessions_total{.*} ([0-9.]+)$", metrics, re.MULTILINE)
            async with viewing(gateway.url, "polling") as late:
                answers = [(await one.subscribe(symbols="all"))["ok"] for one in (viewer, late)]
            await upgraded.send(text('427["subscribe",{"symbols":"all"}]'))
            await upgraded.until('437[{"ok":true')

    assert sum(map(float, ended)) >= 400  # because of their age alone if the machine takes more than 15 s
    assert answers == [True, True]
    assert grown < 20_000_000


@SERVERS
async def test_a_session_has_one_open_poll(bus: Path, server: str) -> None:
    """A new one ends the previous one, whose connection and green thread are then free."""
    async with Engine(bus), running(bus, server=server) as gateway:
        await gateway.ready()
        opened = await gateway.http.get(OPEN)
        path = f"{OPEN}&sid={sid_in(opened.text)}"
        async with raw(gateway.url) as first, raw(gateway.url) as second:
            await poll(first, path)
            await gateway.http.get("/healthz")
            await poll(second, path)
            released = await first.head()

    assert released.startswith("HTTP/1.1 200 ")


async def poll(bare: Raw, path: str) -> None:
    await bare.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@SERVERS
async def test_a_bad_post_ends_a_session_although_its_client_does_not_poll(bus: Path, server: str) -> None:
    """The POST is too large or no packet: 400, and the session with everything it used is gone."""
    async with Engine(bus), running(bus, server=server, max_viewers=60) as gateway:
        await gateway.ready()
        before = (gateway.descriptors(), await gateway.green_threads())
        answers = []
        for body in ("9xx", "2", "6", "0{}", "4" * 65_537) * 16:
            sid = sid_in((await gateway.http.get(OPEN)).text)
            joined = await gateway.http.post(f"{OPEN}&sid={sid}", content="40")
            async with asyncio.timeout(DEADLINE_S):
                answers.append((await gateway.http.post(f"{OPEN}&sid={sid}", content=body)).status_code)
            assert joined.status_code == 200
        await until(lambda: gateway.descriptors() <= before[0] + 2)
        while await gateway.green_threads() > before[1] + 3:
            pass  # until pytest's timeout
        async with viewing(gateway.url) as viewer:
            await viewer.until("hello")

    assert answers == [400] * 80


@SERVERS
async def test_the_path_of_socket_io_needs_no_trailing_slash(bus: Path, server: str) -> None:
    """Some clients omit it; other paths with this prefix do not match."""
    async with Engine(bus), running(bus, server=server) as gateway:
        await gateway.ready()
        polled = await gateway.http.get("/socket.io?EIO=4&transport=polling")
        other = await gateway.http.get("/socket.iox?EIO=4&transport=polling")
        async with raw(gateway.url) as bare:
            head = await bare.open(path="/socket.io?EIO=4&transport=websocket")

    assert polled.text.startswith('0{"sid":')
    assert other.status_code == 404
    assert head.startswith("HTTP/1.1 101 ")
