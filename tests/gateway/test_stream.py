"""Socket.IO as in the contract, with real clients on both servers."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
import socketio

from crypto_stream.gateway.subscriptions import INTERVALS_MS
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import INSTRUMENTS, Engine
from tests.gateway.process import Gateway, Viewer, viewing
from tests.gateway.test_requests import BAD
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("transport", ["websocket", "polling", "any"])
async def test_subscribe_gives_a_snapshot_and_then_quotes(
    gateway: Gateway, engine: Engine, transport: str
) -> None:
    """Polling, WebSocket and polling that upgrades: hello, then the snapshot, then changes."""
    async with viewing(gateway.url, transport) as viewer:
        answer = await viewer.subscribe(symbols=["BTC-USDT"], interval_ms=90)
        changed = engine.change(price=f"{engine.seq}.25")
        await until(lambda: viewer.price() == changed.price)

    assert answer == {
        "ok": True,
        "symbols": ["btcusdt"],
        "interval_ms": 100,
        "epoch": "e1",
        "seq": answer["seq"],
    }
    assert viewer.names()[:3] == ["hello", "snapshot", "quotes"]
    hello = viewer.all("hello")[0]
    assert hello["epoch"] == "e1"
    assert hello["symbols"] == [one.symbol for one in INSTRUMENTS]
    assert hello["sources"] == ["binance", "synthetic"]
    assert hello["intervals_ms"] == list(INTERVALS_MS)
    assert list(viewer.all("snapshot")[0][0]) == list(Quote.__struct_fields__)
    assert viewer.all("snapshot")[0][0]["seq"] <= answer["seq"]


async def test_interval_zero_is_every_change_at_once(viewer: Viewer, engine: Engine) -> None:
    """Each change arrives at once and in order; of simultaneous ones the newest."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
    apart = [str(number) for number in range(1000, 1060)]

    for price in apart:
        engine.change(price=price)
        await until(lambda price=price: viewer.price() == price)  # type: ignore[misc]
    for price in ("together", "newest"):
        engine.change(price=price)
    await until(lambda: viewer.price() == "newest")

    arrived = [one["price"] for quotes in viewer.all("quotes") for one in quotes]
    assert [price for price in arrived if price != "together"] == [*apart, "newest"]


async def test_an_interval_carries_only_the_newest_and_always_the_last(
    viewer: Viewer, engine: Engine
) -> None:
    """A hundred changes within an interval are few messages, and the last change arrives."""
    await viewer.subscribe(symbols="all", interval_ms=1000)

    for number in range(100):
        engine.change(price=str(number))
        engine.change("ethusdt", price=str(number))
    await until(lambda: viewer.price() == viewer.price("ethusdt") == "99")

    messages = viewer.all("quotes")
    assert len(messages) <= 2
    assert all(len({one["symbol"] for one in quotes}) == len(quotes) for quotes in messages)


async def test_delta_carries_only_what_changed(viewer: Viewer, engine: Engine) -> None:
    """With `symbol` and `seq` always."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0, delta=True)

    changed = engine.change(price="77.7")
    [[one]] = await viewer.until("quotes")

    assert one == {
        "symbol": "btcusdt",
        "seq": changed.seq,
        "price": "77.7",
        **{name: one[name] for name in ("received", "published") if name in one},
    }


async def test_one_unknown_symbol_refuses_the_whole_request_and_changes_nothing(
    viewer: Viewer, engine: Engine
) -> None:
    """The previous subscription stays as it was."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)

    refused = await viewer.subscribe(symbols=["ethusdt", "btcusd"], interval_ms=5000)
    engine.change("ethusdt", price="1.1")
    engine.change(price="2.2")
    await until(lambda: viewer.price() == "2.2")

    assert (refused["ok"], refused["code"]) == (False, "unknown_symbol")
    assert "btcusdt" in refused["reason"]
    assert {one["symbol"] for quotes in viewer.all("quotes") for one in quotes} == {"btcusdt"}
    assert len(viewer.all("snapshot")) == 1


async def test_every_invalid_payload_is_acknowledged_and_the_connection_stays(viewer: Viewer) -> None:
    """The whole table over a real connection, and unknown events."""
    for payload, code in BAD:
        no_text = payload == ({"symbols": ["\ud800"]},)  # invalid JSON
        answer = await viewer.client.call("subscribe", payload, timeout=DEADLINE_S)
        assert (answer["ok"], answer["code"]) == (False, "bad_payload" if no_text else code), payload
        assert answer["reason"]
    unknown = await viewer.ask("order", {"a": "text"})
    unsubscribed = await viewer.ask("unsubscribe", {"symbols": 5})

    assert (unknown["code"], unsubscribed["code"]) == ("unknown_event", "bad_payload")
    assert (await viewer.subscribe(symbols=["btcusdt"]))["ok"]


async def test_unsubscribe_ends_the_quotes_of_its_symbols(viewer: Viewer, engine: Engine) -> None:
    """`all` ends everything; the acknowledgement says what is left."""
    await viewer.subscribe(symbols="all", interval_ms=0)

    left = await viewer.ask("unsubscribe", {"symbols": ["ETH/USDT"]})
    engine.change("ethusdt", price="3.3")
    engine.change(price="4.4")
    await until(lambda: viewer.price() == "4.4")
    none = await viewer.ask("unsubscribe", {"symbols": "all"})

    assert (left["ok"], left["symbols"]) == (True, ["btcusdt", "ticker_00"])
    assert (none["ok"], none["symbols"]) == (True, [])
    assert {one["symbol"] for quotes in viewer.all("quotes") for one in quotes} == {"btcusdt"}


async def test_venues_are_sent_to_subscribers_and_the_engine_is_asked_for_them(
    viewer: Viewer, engine: Engine
) -> None:
    """It is asked for exactly the subscribed instruments, and for none once nobody is subscribed."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0, venues=True)
    await until(lambda: engine.watched() == ["btcusdt"])
    engine.publish_venues("btcusdt", "55.5")
    [rows] = await viewer.until("venues")

    await viewer.ask("unsubscribe", {"symbols": "all"})

    assert (rows["symbol"], rows["sources"][0]["price"], rows["best_bid"]) == ("btcusdt", "55.5", "99.50")
    await until(lambda: engine.watched() == [])


async def test_topics_of_instruments_are_subscribed_to_by_name(viewer: Viewer, engine: Engine) -> None:
    """Their events carry the complete value, for each subscribed instrument."""
    await viewer.subscribe(symbols=["btcusdt", "ethusdt"], interval_ms=0, topics=["best", "index"])
    await until(lambda: engine.watched("best") == engine.watched("index") == ["btcusdt", "ethusdt"])
    engine.publish_update("best", "btcusdt", engine.best("btcusdt", "55.5"))
    engine.publish_update("index", "ethusdt", engine.index("ethusdt", "7.7"))
    [best] = await viewer.until("best")
    [index] = await viewer.until("index")

    await viewer.ask("unsubscribe", {"symbols": "all"})

    assert (best["symbol"], best["bid"]["price"], best["crossed"]) == ("btcusdt", "55.5", False)
    assert best["bid"]["sources"] == [{"source": "binance", "size": "1.5", "age_ms": 5}]
    assert (index["symbol"], index["price"], index["stale"]) == ("ethusdt", "7.7", False)
    assert [one["source"] for one in index["constituents"]] == ["binance", "okx", "kraken"]
    await until(lambda: engine.watched("best") == [])


async def test_books_are_a_topic_too(viewer: Viewer, engine: Engine) -> None:
    """All levels, merged and by venue, with the reasons of those who are left out."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0, topics=["depth"])
    await until(lambda: engine.watched("depth") == ["btcusdt"])
    engine.publish_update("depth", "btcusdt", engine.depth("btcusdt"))
    [depth] = await viewer.until("depth")

    await viewer.ask("unsubscribe", {"symbols": "all"})

    assert depth["bids"][1] == {"price": "99", "size": "2", "sources": {"binance": "2"}}
    assert depth["venues"][0]["asks"] == [["100.5", "1"], ["101", "3"]]
    assert depth["left_out"] == [{"source": "okx", "reason": "halted"}]
    await until(lambda: engine.watched("depth") == [])


async def test_a_change_of_source_is_sent(viewer: Viewer, engine: Engine) -> None:
    """To viewers of the symbol, with that symbol only."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=1000)

    engine.switch(["btcusdt", "ethusdt"])
    [told] = await viewer.until("source")

    assert told == {
        "symbols": ["btcusdt"],
        "from": "binance",
        "to": "okx",
        "reason": "lost",
        "time": told["time"],
    }


async def test_status_comes_without_a_subscription(viewer: Viewer) -> None:
    """Each source's state and age, so that calm differs from dead: at once, and at a fixed interval."""
    [status, *_] = await viewer.until("status")
    await viewer.until("status", 2)

    assert list(status) == ["time", "verdict", "sources"]
    assert list(status["sources"]) == ["binance", "synthetic"]
    assert status["sources"]["binance"]["state"] == "live"
    assert status["sources"]["binance"]["age_ms"] >= 12
    assert [name for name, _ in viewer.got][:2] == ["hello", "status"]


async def test_a_changed_source_state_is_sent_before_the_interval_ends(
    viewer: Viewer, engine: Engine
) -> None:
    """The board shows a lost source even if it served none of the symbols there."""
    told = len(await viewer.until("status", 2))  # just after one: the next regular one is 5 s away
    engine.states["okx"] = "connecting"
    try:
        [*_, status] = await viewer.until("status", told + 1)
        assert status["sources"]["okx"]["state"] == "connecting"
    finally:
        del engine.states["okx"]


async def test_a_foreign_page_is_refused_and_our_own_is_not(gateway: Gateway) -> None:
    """Only pages of this gateway may connect unless other origins are listed."""
    with pytest.raises(socketio.exceptions.ConnectionError):
        async with viewing(gateway.url, headers={"Origin": "http://evil.example"}):
            pass
    async with viewing(gateway.url, headers={"Origin": gateway.url}) as viewer:
        assert await viewer.until("hello")


RAW: list[Any] = [
    "",
    "4",
    "42",
    "42[",
    "42{}",
    '42["subscribe"',
    "4x",
    "x",
    "9",
    "451-[",
    "444",
    "40/nowhere,",
    b"\x00\xff",
]


@pytest.mark.parametrize("raw", RAW)
async def test_nonsense_affects_no_other_client(
    gateway: Gateway, viewer: Viewer, engine: Engine, raw: Any
) -> None:
    """Whatever one client sends, another one goes on, and the gateway still responds."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
    async with aiohttp.ClientSession() as session:
        url = f"{gateway.url}/socket.io/?EIO=4&transport=websocket"
        async with session.ws_connect(url) as client:
            await client.receive()
            await client.send_str("40")
            send = client.send_bytes(raw) if isinstance(raw, bytes) else client.send_str(raw)
            await send

    changed = engine.change(price="6.6", bid=str(RAW.index(raw)))
    await until(lambda: any(one["seq"] == changed.seq for quotes in viewer.all("quotes") for one in quotes))
    assert (await gateway.http.get("/healthz")).status_code == 200


async def test_a_frame_beyond_the_limit_ends_that_connection(gateway: Gateway) -> None:
    """64 kB are plenty for any subscription; more is not read."""
    async with aiohttp.ClientSession() as session:
        url = f"{gateway.url}/socket.io/?EIO=4&transport=websocket"
        async with session.ws_connect(url) as client:
            await client.receive()
            await client.send_str("4" + "x" * 200_000)
            async with asyncio.timeout(DEADLINE_S):
                while (await client.receive()).type not in (
                    aiohttp.WSMsgType.CLOSE,
                    aiohttp.WSMsgType.CLOSED,
                    aiohttp.WSMsgType.ERROR,
                ):
                    pass

    assert (await gateway.http.get("/healthz")).status_code == 200
