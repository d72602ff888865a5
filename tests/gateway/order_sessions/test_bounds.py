"""Limits on clients of `/ws`: connections, and bytes queued for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crypto_stream.bus.orders import Cut, Detach, ListOrders, OrdersListed
from crypto_stream.market.orders import Order, Side, Ticket
from tests.gateway.engine import Engine
from tests.gateway.order_sessions.trader import EXCHANGED, OWNER, asked, attached, trading
from tests.gateway.process import running
from tests.gateway.raw import handshake, raw, text
from tests.waiting import DEADLINE_S, until

SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
pytestmark = pytest.mark.asyncio(loop_scope="function")
_NOT_READING = 60
_MB = 1024 * 1024


async def test_connections_per_owner_are_limited(bus: Path) -> None:
    """One more gets 429 after a second, naming the setting; others can connect; a disconnect makes room."""
    path = f"client_id={OWNER}"
    async with (
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus, max_sessions=2) as gateway,
        trading(gateway.url, path),
        trading(gateway.url),
    ):
        async with trading(gateway.url, path):
            began_s = time.monotonic()
            with pytest.raises(InvalidStatus) as refused:
                async with trading(gateway.url, path):
                    pass
            waited_s = time.monotonic() - began_s
        await until(lambda: len(asked(engine, Detach)) == 1)
        async with trading(gateway.url, path):
            pass

    assert refused.value.response.status_code == 429
    assert waited_s >= 1
    assert b'"code":"too_many_sessions"' in refused.value.response.body
    assert b"max_sessions" in refused.value.response.body


@SERVERS
async def test_new_connections_of_an_owner_are_limited(bus: Path, server: str) -> None:
    """Each costs the engine a look at its orders; other owners can connect meanwhile."""
    refused: InvalidStatus | None = None
    async with (
        Engine(bus, instruments=EXCHANGED),
        running(bus, server=server, max_sessions=10_000) as gateway,
        asyncio.timeout(DEADLINE_S),
    ):
        while refused is None:
            try:
                async with trading(gateway.url, f"client_id={OWNER}"):
                    pass
            except InvalidStatus as error:
                refused = error
        async with trading(gateway.url):
            pass

    assert refused.response.status_code == 429
    assert b'"code":"too_many_sessions"' in refused.response.body
    assert b"new connections a second" in refused.response.body


async def test_a_session_ended_by_the_engine_gets_the_reason(bus: Path) -> None:
    """ErrorInfo with the code, then close code 1008."""
    async with Engine(bus, instruments=EXCHANGED) as engine, running(bus) as gateway:
        async with trading(gateway.url, "mode=extended") as trader:
            number, attach = await attached(engine)
            engine.send_orders(number, Cut(attach.session, "too_many_sessions", "at most 20 connections"))
            said = await trader.until(2)
            with contextlib.suppress(ConnectionClosed):
                await trader.raw()
            closed = trader.connection.close_code
        metrics = (await gateway.http.get("/metrics")).text

    assert (said["code"], said["reason"]) == ("too_many_sessions", "at most 20 connections")
    assert closed == 1008
    assert 'order_sessions_cut_total{reason="too_many_sessions"} 1.0' in metrics


@SERVERS
async def test_the_total_backlog_is_bounded(bus: Path, server: str) -> None:
    """Sixty clients request four lists of 1 MB each and read nothing: some are cut off."""
    ticket = Ticket("eurrub", Side.BUY, "10", "87", client_order_id="x" * 64)
    orders = [Order(f"{rank:036}", OWNER, rank, ticket, 1, 1) for rank in range(2_000)]
    async with (
        AsyncExitStack() as stack,
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus, server=server) as gateway,
        trading(gateway.url) as other,
    ):
        await gateway.ready()
        deaf = [await stack.enter_async_context(raw(gateway.url)) for _ in range(_NOT_READING)]
        for one in deaf:
            await one.send(handshake("/ws?mode=extended"))
            await one.head()
        await until(lambda: len(asked(engine, ListOrders)) == 0)
        before = psutil.Process(gateway.process.pid).memory_info().rss
        most = before
        for one in deaf:
            await one.send(text('{"messageType":5,"message":{}}') * 4)
        await until(lambda: len(asked(engine, ListOrders)) == 4 * _NOT_READING)
        for number, command in asked(engine, ListOrders):
            engine.send_orders(number, OrdersListed(command.session, command.ref, orders))
            await asyncio.sleep(0.005)
            most = max(most, psutil.Process(gateway.process.pid).memory_info().rss)
        await other.tell(1, instrument=2)
        await other.until(4)
        owed = await gateway.metric("crypto_stream_order_backlog_bytes")
        metrics = (await gateway.http.get("/metrics")).text

    assert 0 < owed <= 16 * _MB
    assert 'crypto_stream_order_sessions_cut_total{reason="too slow"}' in metrics
    assert most - before < 64 * _MB
