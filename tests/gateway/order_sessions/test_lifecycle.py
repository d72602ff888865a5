"""Order sessions when the engine dies, a client does not read, a limit is reached or a signal arrives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from crypto_stream.bus.orders import Attach, Detach, Place, Received, Reported
from crypto_stream.market.orders import ExecType, Side, Status, Ticket
from tests.gateway.engine import Engine
from tests.gateway.order_sessions.trader import (
    EXCHANGED,
    OWNER,
    PLACE,
    Trader,
    answering,
    asked,
    attached,
    next_asked,
    order,
    report,
    trading,
)
from tests.gateway.process import running, viewing
from tests.gateway.raw import Raw, handshake, raw, text
from tests.waiting import DEADLINE_S, until

SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
pytestmark = pytest.mark.asyncio(loop_scope="function")


@SERVERS
async def test_losing_the_engine_makes_pending_commands_unknown_and_its_return_attaches_again(
    bus: Path, server: str
) -> None:
    """The connection stays open; the order can be sent again with its client_order_id."""
    named = PLACE.replace('"87"', '"87", "client_order_id": "mine", "request_id": 1')
    async with running(bus, server=server) as gateway, Engine(bus, instruments=EXCHANGED) as first:
        await gateway.ready()
        async with trading(gateway.url, f"mode=extended&client_id={OWNER}") as trader:
            await attached(first)
            await trader.tell(1, instrument=2)
            await trader.until(4)
            await trader.send(named)
            await next_asked(first, Place)
            await first.__aexit__()
            unknown = await trader.until(2)
            stale = await trader.until(4)
            refused = await trader.answer(named)

            async with Engine(bus, epoch="e2", instruments=EXCHANGED) as second, answering(second):
                _, again = await attached(second)
                await trader.send(named)
                placed, live = await trader.one_of_each(3, 4)

    assert (unknown["code"], unknown["request_id"]) == ("engine_unreachable", 1)
    assert "not known" in unknown["reason"]
    assert "client_order_id" in unknown["reason"]
    assert [stale["quotes"][0][name] for name in ("bid", "offer", "stale")] == [None, None, True]
    assert refused["message"]["code"] == "engine_unreachable"
    assert "nothing was done" in refused["message"]["reason"]
    assert (again.owner, again.anonymous) == (OWNER, False)
    assert (placed["client_order_id"], placed["order_status"]) == ("mine", 1)
    assert live["quotes"][0]["bid"] == second.quotes["eurrub"].bid


async def test_sessions_opened_before_the_engine_are_attached_once_it_connects(bus: Path) -> None:
    """Instruments are not refused as unknown; another snapshot attaches no session twice."""
    async with running(bus) as gateway, trading(gateway.url, "mode=extended") as trader:
        early = await trader.answer(PLACE)
        async with Engine(bus, instruments=EXCHANGED) as engine, answering(engine):
            await attached(engine)
            engine.refresh()
            await trader.send(PLACE)
            placed = await trader.until(3)

        assert early["message"]["code"] == "engine_unreachable"
        assert placed["order_status"] == 1
        assert len(asked(engine, Attach)) == 1


@SERVERS
async def test_reports_go_to_open_sessions_and_are_acknowledged_before_they_end(
    bus: Path, server: str
) -> None:
    """In the engine's order; a report for a session that has ended is ignored."""
    async with Engine(bus, instruments=EXCHANGED) as engine, running(bus, server=server) as gateway:
        await gateway.ready()
        async with trading(gateway.url, f"mode=extended&client_id={OWNER}") as trader:
            link, session = await attached(engine)
            made = order(Place(1, 1, Ticket("eurrub", Side.BUY, "10", "87")), status=Status.FILLED)
            trade = {"last_amount": "1", "last_price": "87"}
            told = [report(made, seq, ExecType.TRADE, **trade) for seq in range(1, 2001)]
            engine.send_orders(link, *(Reported(session.session, 0, one) for one in told))
            got = [(await trader.until(3))["seq"] for _ in told]
            await until(lambda: [one.seq for _, one in asked(engine, Received)][-1:] == [2000])
        await next_asked(engine, Detach)
        engine.send_orders(link, Reported(session.session, 0, told[0]))
        async with trading(gateway.url) as other:
            await other.answer("{}")

    assert got == list(range(1, 2001))


@SERVERS
async def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_served(
    bus: Path, server: str
) -> None:
    """Another client gets the newest quotes meanwhile; the slow client's backlog is bounded."""
    async with (
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus, server=server, slow_client_timeout=1.0, order_rate=1_000_000) as gateway,
        raw(gateway.url) as deaf,
        trading(gateway.url, "mode=extended") as other,
    ):
        await gateway.ready()
        await deaf.send(handshake("/ws?mode=extended"))
        await deaf.head()
        await other.tell(1, instrument=2)
        await deaf.send(text('{"messageType":1,"message":{"instrument":2}}'))
        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(_flood(deaf))
            async with asyncio.timeout(DEADLINE_S):
                while await gateway.metric("crypto_stream_order_sessions") > 1:
                    await _until_bid(other, str(engine.change("eurrub", bid=str(engine.seq)).bid))
            flooding.cancel()
        metrics = (await gateway.http.get("/metrics")).text

    assert 'crypto_stream_order_sessions_cut_total{reason="too slow"} 1.0' in metrics


async def _flood(deaf: Raw) -> None:
    """Send messages that are refused, without reading the refusals."""
    while True:
        await deaf.send(text("{}") * 1_000)
        await asyncio.sleep(0)


@SERVERS
async def test_market_data_is_the_newest_only_and_encoded_once_for_all(bus: Path, server: str) -> None:
    """Many changes in one interval cause few updates, ending with the newest; clients share one encoding."""
    async with (
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus, server=server) as gateway,
        trading(gateway.url) as one,
        trading(gateway.url) as two,
    ):
        await gateway.ready()
        for trader in (one, two):
            await trader.tell(1, instrument="EUR/RUB")
            await trader.until(4)
        before = await gateway.metric("crypto_stream_order_encoded_total")
        for number in range(500):
            engine.change("eurrub", bid=f"{number}.5", ask=f"{number + 1}", ask_size=None, bid_size="7")
        updates = [await _until_bid(trader, "499.5") for trader in (one, two)]
        after = await gateway.metric("crypto_stream_order_encoded_total")
        engine.change("eurrub", stale=True)
        stale = await one.until(4)
        engine.change("eurrub", stale=False)
        fresh = await one.until(4)

    for messages in updates:
        assert len(messages) < 10
        assert messages[-1]["quotes"][0]["max_amount"] == "7"
    assert after - before == max(len(messages) for messages in updates)
    top = stale["quotes"][0]
    assert (top["bid"], top["offer"], top["max_amount"], top["min_amount"]) == (None, None, None, "0")
    assert isinstance(top["timestamp"], int)
    assert fresh["quotes"][0]["bid"] == "499.5"


async def _until_bid(trader: Trader, bid: str) -> list[dict[str, list[dict[str, str]]]]:
    messages = []
    while True:
        messages.append(await trader.until(4))
        if messages[-1]["quotes"][0]["bid"] == bid:
            return messages


async def test_missing_and_withdrawn_quotes_have_no_prices(bus: Path) -> None:
    """An empty list at first; a quote that a new engine does not have is withdrawn."""
    async with running(bus) as gateway, Engine(bus, instruments=EXCHANGED) as first:
        first.quotes.pop("usdrub")
        await gateway.ready()
        async with trading(gateway.url) as trader:
            await trader.tell(1, instrument=3)
            unknown = await trader.until(4)
            await trader.tell(1, instrument=2)
            known = await trader.until(4)
            await first.__aexit__()
            stale = await trader.until(4)
            second = Engine(bus, epoch="e2", instruments=EXCHANGED)
            second.quotes.pop("eurrub")
            async with second:
                updates = [await trader.until(4) for _ in range(2)]

    assert unknown["quotes"] == []
    assert known["quotes"][0]["bid"] == "99.50"
    assert stale["quotes"][0]["bid"] is None
    assert {one["instrument"]: len(one["quotes"]) for one in updates} == {2: 0, 3: 1}


@SERVERS
async def test_a_thousand_idle_sessions_hold_no_green_thread(bus: Path, server: str) -> None:
    """All are served, with no additional green threads and one descriptor each."""
    async with (
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus, server=server) as gateway,
        contextlib.AsyncExitStack() as stack,
    ):
        await gateway.ready()
        before = await gateway.green_threads()
        bare = [await stack.enter_async_context(raw(gateway.url)) for _ in range(1_000)]
        for one in bare:
            await one.send(handshake("/ws"))
        for one in bare:
            assert "101" in await one.head()
        await attached(engine, 1_000)
        async with asyncio.timeout(DEADLINE_S):
            while (after := await gateway.green_threads()) - before >= 20:
                pass  # the green threads of the handshakes come to their end
        await until(lambda: gateway.descriptors() < 1_100)
        await bare[-1].send(text(PLACE))
        await next_asked(engine, Place)

    assert after - before < 20


@SERVERS
async def test_sessions_and_viewers_share_the_limits(bus: Path, server: str) -> None:
    """One too many of either is refused, and a disconnect makes room."""
    async with (
        Engine(bus, instruments=EXCHANGED),
        running(bus, server=server, max_viewers=2, max_per_address=3) as gateway,
    ):
        await gateway.ready()
        async with trading(gateway.url) as trader, viewing(gateway.url) as viewer:
            await viewer.until("hello")
            with pytest.raises(InvalidStatus) as full:
                await _enter(gateway.url)
            await trader.answer("{}")
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(InvalidStatus):
                    await _enter(gateway.url)
                    break

    assert full.value.response.status_code == 503
    assert json.loads(full.value.response.body or b"")["code"] == "too_many_viewers"
    assert full.value.response.headers["Retry-After"] == "5"


@SERVERS
async def test_connections_per_address_are_limited_over_both_kinds(bus: Path, server: str) -> None:
    """429 as for viewers."""
    async with (
        Engine(bus, instruments=EXCHANGED),
        running(bus, server=server, max_per_address=1) as gateway,
        trading(gateway.url),
    ):
        with pytest.raises(InvalidStatus) as crowded:
            await _enter(gateway.url)

    assert crowded.value.response.status_code == 429
    assert json.loads(crowded.value.response.body or b"")["code"] == "too_many_connections"


async def _enter(url: str) -> None:
    async with trading(url):
        pass


@SERVERS
async def test_a_stopping_gateway_closes_its_sessions_and_detaches_them(bus: Path, server: str) -> None:
    """Close code 1001; each session is detached from the engine."""
    async with Engine(bus, instruments=EXCHANGED) as engine, running(bus, server=server) as gateway:
        await gateway.ready()
        async with trading(gateway.url) as trader:
            await attached(engine)
            gateway.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as ended:
                await trader.raw()
        await next_asked(engine, Detach)
        status = await asyncio.wait_for(gateway.process.wait(), DEADLINE_S)

    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1001
    assert status == 0


async def test_what_sessions_do_is_counted(bus: Path) -> None:
    """Sessions, messages by kind, refusals by code, reports and updates."""
    async with (
        Engine(bus, instruments=EXCHANGED) as engine,
        running(bus) as gateway,
        answering(engine),
        trading(gateway.url) as trader,
    ):
        await gateway.ready()
        await trader.send(PLACE)
        await trader.until(3)
        await trader.tell(1, instrument=2)
        await trader.until(4)
        await trader.answer("{}")
        metrics = (await gateway.http.get("/metrics")).text
        rows = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))

    wanted = {
        "sessions": "1.0",
        'messages_total{kind="place"}': "1.0",
        'messages_total{kind="subscribe"}': "1.0",
        'messages_total{kind="refused"}': "1.0",
        'refusals_total{code="bad_message"}': "1.0",
        "reports_total": "1.0",
        "updates_total": "1.0",
    }
    assert {name: rows[f"crypto_stream_order_{name}"] for name in wanted} == wanted
