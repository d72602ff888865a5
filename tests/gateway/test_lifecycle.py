"""What a gateway does when the engine is lost, a viewer stops reading, a limit is met or a signal arrives."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import socketio
from websockets.frames import Close, Opcode

from crypto_stream.gateway.topics import NO_ROOM
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import INSTRUMENTS, Engine, quote
from tests.gateway.process import ADMIN, Gateway, Viewer, running, viewing
from tests.gateway.raw import raw, text
from tests.waiting import DEADLINE_S, until

SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
pytestmark = pytest.mark.asyncio(loop_scope="function")


@pytest_asyncio.fixture(loop_scope="function")
async def quick(bus: Path) -> AsyncIterator[tuple[Engine, Gateway]]:
    """Run an engine and a gateway for one test."""
    async with Engine(bus) as engine, running(bus) as gateway:
        await gateway.ready()
        yield engine, gateway


@SERVERS
async def test_without_the_engine_quotes_are_stale_and_its_return_brings_hello_and_a_snapshot(
    bus: Path, server: str
) -> None:
    """Lost for 5 s: stale with the same seq, 503. Back with other data: hello, snapshot, live again."""
    async with running(bus, server=server) as gateway, Engine(bus) as engine:
        await gateway.ready()
        async with viewing(gateway.url) as viewer:
            await viewer.subscribe(symbols="all", interval_ms=0)
            last = engine.change(price="7.5")
            await until(lambda: viewer.price() == "7.5")
            await engine.__aexit__()
            await until(lambda: len(viewer.all("quotes")[-1]) == len(INSTRUMENTS))
            stale = viewer.all("quotes")[-1]
            courses = await gateway.http.get("/courses")
            ready = await gateway.http.get("/readyz")
            sources = (await gateway.http.get("/sources")).json()["sources"]
            pin = await gateway.http.post("/sources/active", json={"source": "auto"}, headers=ADMIN)
            venues = await gateway.http.get("/venues/btcusdt")

            async with Engine(bus, epoch="e2") as second:
                await viewer.until("snapshot", 2)
                second.change(price="8.5")
                await until(lambda: viewer.price() == "8.5")
                back = await gateway.http.get("/courses")

    assert all(one["stale"] for one in stale)
    assert next(one for one in stale if one["symbol"] == "btcusdt")["seq"] == last.seq
    assert courses.status_code == 503
    assert [one["stale"] for one in courses.json()] == [True, True, True]
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert ready.json()["reasons"] == ["engine unreachable"]
    assert {one["state"] for one in sources} == {"lost"}
    assert (pin.status_code, pin.json()["code"]) == (503, "engine_unreachable")
    assert (venues.status_code, venues.json()["code"]) == (503, "engine_unreachable")
    names = viewer.names()
    at = len(names) - 1 - names[::-1].index("hello")
    assert names[at : at + 2] == ["hello", "snapshot"]
    assert viewer.all("hello")[-1]["epoch"] == "e2"
    assert (back.status_code, back.headers["Stream-Epoch"]) == (200, "e2")


@SERVERS
async def test_a_restart_of_the_engine_is_a_pause(bus: Path, server: str) -> None:
    """Viewers get quotes, nothing, and quotes again; requests are refused meanwhile."""
    async with running(bus, server=server) as gateway, Engine(bus) as engine:
        await gateway.ready()
        async with viewing(gateway.url) as viewer:
            await viewer.subscribe(symbols="all", interval_ms=0)
            last = engine.change(price="7.5")
            await until(lambda: viewer.price() == "7.5")
            mark = len(viewer.got)
            await engine.__aexit__()
            pin = await gateway.http.post("/sources/active", json={"source": "auto"}, headers=ADMIN)
            courses = await gateway.http.get("/courses")
            second = Engine(bus, run="r2")
            second.seq = last.seq
            second.quotes = {
                one.symbol: quote(one, last.seq + at, None, stale=True) for at, one in enumerate(INSTRUMENTS)
            }
            async with second:
                second.switch(["btcusdt"])
                second.change(price="8.5", stale=False)
                await until(lambda: viewer.price() == "8.5")
                told = [(name, payload) for name, payload in viewer.got[mark:] if name != "status"]

    assert (pin.status_code, pin.json()["code"]) == (503, "engine_unreachable")
    assert (courses.status_code, [one["stale"] for one in courses.json()]) == (200, [False] * 3)
    assert {name for name, _ in told} <= {"quotes", "source"}
    assert [one["price"] for name, quotes in told if name == "quotes" for one in quotes] == ["8.5"]


async def test_a_silent_engine_is_unreachable_within_six_seconds(
    quick: tuple[Engine, Gateway], bus: Path
) -> None:
    """A stopped process keeps its socket open; 5 s without a heartbeat make its quotes stale."""
    engine, gateway = quick
    async with viewing(gateway.url) as viewer:
        await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)

        engine.silent = True
        elsewhere = bus.with_name("elsewhere")
        os.rename(bus, elsewhere)
        await until(lambda: any(one["stale"] for quotes in viewer.all("quotes") for one in quotes))
        engine.silent = False
        os.rename(elsewhere, bus)
        await until(lambda: not viewer.all("quotes")[-1][0]["stale"])


async def test_before_the_engine_connects_pages_work_and_no_symbol_is_unknown(bus: Path) -> None:
    """The board is served at once; a symbol's paths say that the engine is missing; then all appears."""
    async with running(bus) as gateway:
        board = await gateway.http.get("/", headers={"Accept": "text/html"})
        course = await gateway.http.get("/courses/btcusdt")
        courses = await gateway.http.get("/courses")
        async with viewing(gateway.url) as viewer:
            await viewer.subscribe(symbols="all", interval_ms=100)
            async with Engine(bus):
                await viewer.until("snapshot", 2)

    assert board.status_code == 200
    assert (course.status_code, course.json()["code"]) == (503, "engine_unreachable")
    assert (courses.status_code, courses.json()) == (503, [])
    assert viewer.names()[:4] == ["hello", "snapshot", "hello", "snapshot"]
    assert [len(quotes) for quotes in viewer.all("snapshot")] == [0, 3]


@SERVERS
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_requests_before_the_engine_connects_are_served_later(
    bus: Path, server: str, transport: str
) -> None:
    """A subscription in any spelling, an unknown symbol in it, and a request for a quote all wait for it."""
    async with (
        running(bus, server=server) as gateway,
        viewing(gateway.url, transport) as viewer,
        asyncio.TaskGroup() as tasks,
    ):
        asked = tasks.create_task(gateway.http.get("/courses/BTC-USDT"))
        answer = await viewer.subscribe(symbols=["BTC-USDT", "nope"], interval_ms=100)
        async with Engine(bus) as engine:
            course = await asked
            await viewer.until("refused")
            engine.change(price="9.75")
            await until(lambda: viewer.price() == "9.75")

    assert (answer["ok"], answer["symbols"], answer["epoch"]) == (True, ["btc-usdt", "nope"], None)
    assert (course.status_code, course.json()["symbol"]) == (200, "btcusdt")
    assert viewer.all("refused")[0]["symbols"] == ["nope"]


async def test_a_hyphenated_symbol_before_the_engine_connects_is_not_the_joined_one(bus: Path) -> None:
    """ARB/USD is `arb-usd` beside AR/BUSD, which is `arbusd`."""
    pairs = [Instrument("arbusd", "AR", "BUSD"), Instrument("arb-usd", "ARB", "USD")]
    async with running(bus) as gateway, viewing(gateway.url) as viewer:
        answer = await viewer.subscribe(symbols=["arb-usd"], interval_ms=0)
        async with Engine(bus, instruments=pairs) as engine:
            await until(lambda: viewer.price("arb-usd") is not None)
            engine.change("arbusd", price="1.5")
            engine.change("arb-usd", price="2.5")
            await until(lambda: viewer.price("arb-usd") == "2.5")

    assert answer["symbols"] == ["arb-usd"]
    assert viewer.price("arbusd") is None


async def test_topics_that_the_engine_has_no_room_for_are_shown_as_stale(
    quick: tuple[Engine, Gateway],
) -> None:
    """Quotes go on, and so do the topics once there is room."""
    engine, gateway = quick
    engine.has_room = False
    async with viewing(gateway.url) as viewer:
        await viewer.subscribe(symbols=["btcusdt"], interval_ms=0, venues=True, candles="1s")
        [venues] = await viewer.until("venues")
        [candles] = await viewer.until("candles")
        engine.change(price="7.5")
        await until(lambda: viewer.price() == "7.5")
        engine.publish_venues("btcusdt", "55.5")
        _, served = await viewer.until("venues", 2)

    assert (venues["symbol"], venues["stale"], venues["reason"]) == ("btcusdt", True, NO_ROOM)
    assert (candles["bars"], candles["gap"]["to"], candles["gap"]["reason"]) == ([], None, NO_ROOM)
    assert (candles["epoch"], candles["symbol"], candles["interval"]) == ("e1", "btcusdt", "1s")
    assert (served["stale"], served["sources"][0]["price"]) == (False, "55.5")


@SERVERS
async def test_at_shutdown_only_the_transport_is_closed(bus: Path, server: str) -> None:
    """A WebSocket gets 1001, a poll its end; after a DISCONNECT clients would never reconnect."""
    async with Engine(bus), running(bus, server=server) as gateway:
        await gateway.ready()
        async with raw(gateway.url) as client, viewing(gateway.url, "polling") as poller:
            await client.open(text("40"))
            await client.until('42["hello"')
            await poller.until("hello")
            gateway.process.send_signal(signal.SIGTERM)
            while (frame := await client.frame()).opcode is not Opcode.CLOSE:
                assert not bytes(frame.data).startswith(b"41")
            await asyncio.wait_for(poller.gone.wait(), DEADLINE_S)
            assert await asyncio.wait_for(gateway.process.wait(), DEADLINE_S) == 0

    assert Close.parse(bytes(frame.data)).code == 1001


async def test_all_includes_instruments_that_appear_later(quick: tuple[Engine, Gateway]) -> None:
    """A viewer of `all` gets a new instrument's quotes without subscribing again."""
    engine, gateway = quick
    async with viewing(gateway.url) as viewer:
        await viewer.subscribe(symbols="all", interval_ms=0)
        new = Instrument("solusdt", "SOL", "USDT")
        engine.instruments = [*engine.instruments, new]
        engine.quotes["solusdt"] = quote(new, 99, "9.9")

        engine.refresh()
        await until(lambda: viewer.price("solusdt") == "9.9")

        assert (await gateway.http.get("/courses/SOL-USDT")).json()["price"] == "9.9"


@SERVERS
async def test_a_viewer_that_stops_reading_is_skipped_and_gets_one_snapshot_when_it_reads_again(
    bus: Path, server: str
) -> None:
    """Others get every change meanwhile; the gateway queues a handful of frames, not thousands."""
    many = [Instrument(f"ticker_{at:02}", None, None, True) for at in range(100)]
    async with Engine(bus, instruments=many) as engine, running(bus, server=server) as gateway:
        await gateway.ready()
        async with viewing(gateway.url) as quick, aiohttp.ClientSession() as session:
            await quick.subscribe(symbols=["ticker_99"], interval_ms=0)
            client = await _pausable(gateway.url, session)
            await client.send_str('42["subscribe",{"symbols":"all","interval_ms":0}]')
            transport: Any = client._writer.transport
            transport.pause_reading()

            told = 0
            async with asyncio.timeout(DEADLINE_S * 3):
                while await gateway.metric("crypto_stream_skipped_total") <= 100:
                    told += 1
                    for one in many:
                        last = engine.change(one.symbol, price=str(told))
                    await until(partial(_shows, quick, last))
            transport.resume_reading()
            newest = await _read_until_snapshot(client, last.seq)
            caught_up = await gateway.metric("crypto_stream_caught_up_total")
            await client.close()

    assert newest == last.seq
    assert caught_up >= 1


def _shows(viewer: Viewer, newest: Quote) -> bool:
    return bool(viewer.price(newest.symbol) == newest.price)


async def _pausable(url: str, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """Connect a bare WebSocket whose reading the test can pause."""
    client = await session.ws_connect(f"{url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0)
    await client.receive()
    await client.send_str("40")
    while "hello" not in (await client.receive()).data:
        pass
    return client


async def _read_until_snapshot(client: aiohttp.ClientWebSocketResponse, seq: int) -> int:
    """Read until a snapshot that holds at least `seq`; return its newest seq."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            text = (await client.receive()).data
            if text.startswith('42["snapshot"'):
                newest = max(int(number) for number in re.findall(r'"seq":(\d+)', text))
                if newest >= seq:
                    return newest


@SERVERS
async def test_viewers_beyond_the_limit_are_refused_with_a_reason(bus: Path, server: str) -> None:
    """Before a session is opened, so that clients retry. A place that becomes free can be taken."""
    async with Engine(bus), running(bus, max_viewers=1, server=server) as gateway:
        await gateway.ready()
        async with raw(gateway.url) as early:
            await early.open()
            async with viewing(gateway.url):
                told = await gateway.http.get("/socket.io/?EIO=4&transport=polling")
                page = await gateway.http.get("/connect")
                await early.send(text("40"))
                with pytest.raises(EOFError):
                    await early.until("44")
        refused = await gateway.metric("crypto_stream_refused_viewers_total")
        async with viewing(gateway.url) as third:
            assert await third.until("hello")

    for answer in (told, page):
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_viewers")
        assert "max_viewers" in answer.json()["detail"]
    assert refused == 2


async def test_sessions_that_never_join_are_limited_too(bus: Path) -> None:
    """Beyond the limit a new engine.io session gets 503; existing sessions continue."""
    path = "/socket.io/?EIO=4&transport=polling"
    async with Engine(bus), running(bus, max_viewers=2) as gateway:
        await gateway.ready()
        async with viewing(gateway.url, "polling") as viewer:
            opened = 0
            while (answer := await gateway.http.get(path)).status_code == 200:
                opened += 1
            sneaky = await gateway.http.get(f"{path}&xsid=1")
            joined = await viewer.subscribe(symbols="all")

    assert opened >= 2 + 256 - 1  # those that never join are closed meanwhile
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_viewers")
    assert sneaky.status_code == 503
    assert joined["ok"]


async def test_a_token_is_required_if_one_is_set(bus: Path) -> None:
    """Then only the token counts, wherever the request comes from."""
    async with Engine(bus) as engine, running(bus, admin_token="s3cret") as gateway:
        await gateway.ready()
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            answer = await gateway.http.post("/sources/active", json={"source": "binance"}, headers=header)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        good = {"Authorization": "Bearer s3cret", "X-Forwarded-For": "1.2.3.4", "Host": "public.example"}

        answer = await gateway.http.post("/sources/active", json={"source": "binance"}, headers=good)

        assert (answer.status_code, engine.pin) == (200, "binance")


async def test_listed_origins_may_read_and_connect_and_others_may_not(bus: Path) -> None:
    """CORS and Socket.IO follow the same setting; pages of other origins may not pin."""
    friend, stranger = {"Origin": "https://friend.example"}, {"Origin": "https://evil.example"}
    async with Engine(bus), running(bus, origins=["https://friend.example"]) as gateway:
        await gateway.ready()
        read = await gateway.http.get("/courses", headers=friend)
        other = await gateway.http.get("/courses", headers=stranger)
        pin = await gateway.http.post("/sources/active", json={"source": "auto"}, headers=friend)
        async with viewing(gateway.url, headers=friend) as viewer:
            await viewer.until("hello")
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with viewing(gateway.url, headers=stranger):
                pass

    assert read.headers["Access-Control-Allow-Origin"] == "https://friend.example"
    assert "Stream-Seq" in read.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in other.headers
    assert "Origin" in other.headers["Vary"]
    assert pin.status_code == 401


@SERVERS
async def test_at_shutdown_new_connections_are_still_served(bus: Path, server: str) -> None:
    """A first request that is on its way, or half received, gets its response; idle ones are closed."""
    asked = b"GET /courses HTTP/1.1\r\nHost: a\r\n\r\n"
    async with Engine(bus), running(bus, server=server) as gateway:
        await gateway.ready()
        async with raw(gateway.url) as new, raw(gateway.url) as half, raw(gateway.url) as served:
            await half.send(asked[:20])
            await served.send(asked)
            await served.head()
            gateway.process.send_signal(signal.SIGTERM)
            await served.ended()
            await new.send(asked)
            await half.send(asked[20:])
            heads = [await new.head(), await half.head()]
            async with asyncio.timeout(DEADLINE_S):
                status = await gateway.process.wait()

    assert [head[:12] for head in heads] == ["HTTP/1.1 200"] * 2
    assert status == 0


@SERVERS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_status_0(
    bus: Path, server: str, number: signal.Signals
) -> None:
    """Viewers are disconnected, the engine sees the gateway leave, nothing hangs."""
    async with Engine(bus) as engine, running(bus, server=server) as gateway:
        await gateway.ready()
        async with viewing(gateway.url) as viewer, viewing(gateway.url, "polling") as poller:
            await viewer.until("hello")
            await poller.until("hello")
            gateway.process.send_signal(number)
            status = await asyncio.wait_for(gateway.process.wait(), DEADLINE_S)
            await asyncio.wait_for(viewer.gone.wait(), DEADLINE_S)
        await until(lambda: engine.gateways_left == 1)

    assert status == 0


async def test_a_gateway_accepts_more_than_1024_connections(
    quick: tuple[Engine, Gateway],
) -> None:
    """With an unpatched eventlet server the 1025th would hang for ever."""
    _, gateway = quick
    port = int(gateway.url.rsplit(":", 1)[1])
    held = []
    try:
        for _ in range(1100):
            held.append(await asyncio.open_connection("127.0.0.1", port))  # noqa: PERF401 - closed below
        answer = await gateway.http.get("/healthz")
    finally:
        for _, writer in held:
            writer.close()

    assert answer.status_code == 200
    assert gateway.process.returncode is None
    os.kill(gateway.process.pid, 0)
