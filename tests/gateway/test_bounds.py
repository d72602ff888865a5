"""Limits on what untrusted clients may send and occupy, so that others are served meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from crypto_stream.gateway.http.intake import BODY_S
from crypto_stream.gateway.http.new_connections import HEAD_S, IDLE_S
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, running, viewing
from tests.gateway.raw import Raw, raw
from tests.gateway.test_http_reader import BAD_FRAMING, ENDLESS, post
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
MB = 1024 * 1024
# Memory that Python may retain after it was freed.
SLACK = 20 * MB


async def flood(gateway: Gateway, begin: bytes, again: bytes, most: int = 60 * MB) -> None:
    """Send without end, until the gateway closes the connection."""
    piece = again * (64 * 1024 // len(again))
    sent = 0
    async with raw(gateway.url) as client:
        with suppress(ConnectionError, TimeoutError):
            client.writer.write(begin)
            while sent < most:
                client.writer.write(piece)
                await asyncio.wait_for(client.writer.drain(), DEADLINE_S)
                sent += len(piece)
    assert sent < most


@pytest.mark.parametrize(("begin", "again"), ENDLESS.values(), ids=ENDLESS.keys())
async def test_endless_requests_are_refused_and_not_buffered(
    gateway: Gateway, begin: bytes, again: bytes
) -> None:
    """Heads, lines, chunk sizes, trailers, bodies: each at full speed; others are served meanwhile."""
    before = gateway.memory()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(flood(gateway, begin, again))
        answers = [(await gateway.http.get("/healthz")).status_code for _ in range(20)]

    assert answers == [200] * 20
    assert gateway.memory() < before + SLACK


@pytest.mark.parametrize(("status", "sent"), BAD_FRAMING.values(), ids=BAD_FRAMING.keys())
async def test_bad_framing_is_refused_and_nothing_after_it_is_read(
    gateway: Gateway, status: int, sent: bytes
) -> None:
    """One response with the reason, then the end: a smuggled request is not served."""
    async with raw(gateway.url) as client:
        await client.send(sent + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await client.head()
        rest = await asyncio.wait_for(client.reader.read(), DEADLINE_S)

    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "Connection: close" in head
    assert b'"detail"' in rest
    assert b"HTTP/1.1" not in rest.replace(b"METHOD /path HTTP/1.1", b"").replace(b"HTTP/1.1 and", b"")


async def test_an_absolute_target_is_served(gateway: Gateway) -> None:
    """As clients of proxies write it."""
    async with raw(gateway.url) as client:
        await client.send(b"GET http://anywhere:1/courses/btcusdt?_=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.head()).startswith("HTTP/1.1 200 ")


async def test_a_client_that_expects_100_continue_gets_it(gateway: Gateway) -> None:
    """As curl does; but not if its body would be refused."""
    kind = b"Content-Type: application/json\r\n"
    head = b"POST /sources/active HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + kind
    async with raw(gateway.url) as client:
        await client.send(head + b"Content-Length: 2\r\n\r\n")
        told = await client.head()
        await client.send(b"{}")
        answer = await client.head()
    async with raw(gateway.url) as client:
        await client.send(head + b"Content-Length: 99999999\r\n\r\n")
        refused = await client.head()

    assert told == "HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith("HTTP/1.1 4")  # without the token the reason is not revealed
    assert refused.startswith("HTTP/1.1 4")


async def test_pipelined_requests_delay_no_other_client(gateway: Gateway) -> None:
    """None can be cached, and no response is read: all of them take longer than others may wait."""
    async with raw(gateway.url) as client:
        client.writer.write(b"GET /zzzzzz HTTP/1.1\r\nHost: x\r\n\r\n" * 20_000)
        answers = [(await gateway.http.get("/healthz")).status_code for _ in range(20)]
        client.writer.transport.abort()

    assert answers == [200] * 20


async def test_incomplete_bodies_are_bounded_together(gateway: Gateway) -> None:
    """Each is within its own limit, all together beyond theirs: those that have waited longest are closed."""
    before = gateway.memory()
    half = post(b"Content-Length: 65536", body=b"a" * 60_000)
    counted = 'crypto_stream_ended_connections_total{reason="no_memory"}'
    async with clients_sending(gateway, 2_000, half) as clients:
        await asyncio.wait_for(clients[0].ended(), DEADLINE_S)
        async with asyncio.timeout(
            6 * DEADLINE_S
        ):  # until all were received: 8 MB are enough for 140 of them
            ended = await gateway.metric(counted)
            while ended < 1_800:
                ended = await gateway.metric(counted)
        held = gateway.memory() - before
        whole = await gateway.http.post("/courses", content=b"a" * 60_000)

    assert ended < 2_000
    assert held < 8 * MB + 2_000 * 32 * 1024 + SLACK  # a connection alone takes up to 32 kB
    assert whole.status_code == 405


async def test_a_request_has_a_deadline(gateway: Gateway) -> None:
    """For its head, and for its body, however slowly it comes; the client gets a response."""
    head, body = b"GET / HTTP/1.1\r\nHost: a\r\nX: ", post(b"Content-Length: 50")
    async with clients_sending(gateway, 2, b"") as clients, asyncio.timeout(HEAD_S + BODY_S + DEADLINE_S):
        clients[0].writer.write(head)
        clients[1].writer.write(body)
        answers = [asyncio.Task(one.reader.readuntil(b"\r\n\r\n")) for one in clients]
        while not all(one.done() for one in answers):
            for client, answer in zip(clients, answers, strict=True):
                if not answer.done():
                    client.writer.write(b"a")
            await asyncio.wait(answers, timeout=1.0)

    assert [one.result()[:13] for one in answers] == [b"HTTP/1.1 408 "] * 2


@asynccontextmanager
async def clients_sending(gateway: Gateway, number: int, sent: bytes) -> AsyncIterator[list[Raw]]:
    """Connect many clients, each of which sends this and nothing more."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(gateway.url)) for _ in range(number)]
        for client in clients:
            await client.send(sent)
        yield clients


@SERVERS
async def test_incomplete_requests_keep_no_other_client_out(bus: Path, engine: Engine, server: str) -> None:
    """More of them than allowed connections: those that have waited longest make room."""
    half = b"GET / HTTP/1.1\r\nHost: a\r\n"
    async with running(bus, server=server, max_viewers=1) as gateway, raw(gateway.url) as longest:
        await gateway.ready()
        await longest.send(half)
        await gateway.answers("/healthz", 200)  # so the earlier client's bytes were read before
        async with clients_sending(gateway, 1_200, half):
            await longest.ended()
            async with viewing(gateway.url) as viewer:
                await viewer.until("hello")
            async with raw(gateway.url) as other:
                await other.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await other.head()).startswith("HTTP/1.1 200 ")
            ended = await gateway.metric('crypto_stream_ended_connections_total{reason="no_room"}')

    assert ended >= 100


@SERVERS
async def test_at_the_limit_of_open_files_existing_connections_stay(
    bus: Path, engine: Engine, server: str
) -> None:
    """The soft limit is raised; at the hard one idle connections make room or new ones wait; viewers stay."""
    with TemporaryFile() as log:
        async with running(bus, server=server, files=200, stderr=log) as gateway:
            await gateway.ready()
            async with viewing(gateway.url) as viewer:
                await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
                async with clients_sending(gateway, 400, b""):
                    price = "4.5" if server == "gevent" else "5.5"
                    engine.change(price=price)
                    await until(lambda: viewer.price() == price)
                    await gateway.answers("/healthz", 200)
                    descriptors = gateway.descriptors()
                await gateway.answers("/courses", 200)
            running_still = gateway.process.returncode is None
        log.seek(0)
        told = log.read().decode()

    assert running_still
    assert 100 < descriptors < 200 or not descriptors
    assert (
        len(re.findall("max_viewers 20000 is more than this process can serve: it may open 200", told)) == 1
    )
    assert "Traceback" not in told


@SERVERS
async def test_bad_requests_do_not_flood_the_log(bus: Path, engine: Engine, server: str) -> None:
    """One line per kind, with a count; /metrics counts all of them."""
    with TemporaryFile() as log:
        async with running(bus, server=server, stderr=log) as gateway:
            await gateway.ready()
            for sent in several(BAD_FRAMING):
                async with raw(gateway.url) as client:
                    await client.send(sent)
                    await client.ended()
            counted = await gateway.metric('crypto_stream_refused_requests_total{code="bad_request"}')
        log.seek(0)
        told = log.read().decode()

    assert counted > 100
    assert len(told) < 5_000
    assert told.count("requests refused") == 7


def several(bad: dict[str, tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield each of them three times."""
    for _ in range(3):
        yield from (sent for _, sent in bad.values())


async def test_idle_connections_stay_open_longer_than_those_of_proxies(gateway: Gateway) -> None:
    """Their 60 s must end first, with and without the cache; clients that ask are told the timeout."""
    told = [
        (await gateway.http.get(path, headers={"Connection": "keep-alive"})).headers.get("Keep-Alive")
        for path in ("/courses", "/healthz")
    ]

    assert IDLE_S >= 75
    assert told in ([f"timeout={IDLE_S:.0f}"] * 2, [None] * 2)  # gevent sends no Keep-Alive
