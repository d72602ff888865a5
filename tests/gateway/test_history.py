"""The history over HTTP and Socket.IO, with an engine controlled by the test."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from crypto_stream.bus.messages import GetHistory, GetSparks
from crypto_stream.errors import RefusedError
from tests.gateway.engine import Engine, bar
from tests.gateway.process import Gateway, Viewer, running
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def get(gateway: Gateway, path: str) -> tuple[int, str, Any]:
    """Return status, content type and body of a GET."""
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}{path}") as answer:
        kind = answer.content_type
        return answer.status, kind, await (answer.json() if kind.endswith("json") else answer.text())


async def test_a_page_is_returned_as_the_engine_sends_it(gateway: Gateway, engine: Engine) -> None:
    """Bars, gaps and the adjacent pages, with the epoch and seq for joining the live stream."""
    status, kind, body = await get(gateway, "/history/BTC-USDT?interval=1s")

    assert (status, kind) == (200, "application/json")
    assert body == {
        "symbol": "btcusdt",
        "interval": "1s",
        "interval_ms": 1000,
        "epoch": "e1",
        "seq": 9,
        "older": 1000,
        "newer": None,
        "gaps": [{"from": 500, "to": 900, "reason": "lost"}],
        "bars": [
            {
                "time": time,
                "open": "1.00",
                "high": "3",
                "low": "0.50",
                "close": "2.0",
                "volume": "12.5",
                "trades": 7,
                "source": "binance",
                "closed": closed,
            }
            for time, closed in ((1000, True), (2000, False))
        ],
    }


async def test_csv_has_the_same_bars(gateway: Gateway, engine: Engine) -> None:
    """A header line, then one line per bar; numbers as the venue wrote them."""
    status, kind, body = await get(gateway, "/history/btcusdt?format=csv")

    assert (status, kind) == (200, "text/csv")
    assert body.splitlines() == [
        "time,open,high,low,close,volume,trades,source,closed",
        "1000,1.00,3,0.50,2.0,12.5,7,binance,true",
        "2000,1.00,3,0.50,2.0,12.5,7,binance,false",
    ]


async def test_every_parameter_reaches_the_engine(gateway: Gateway, engine: Engine) -> None:
    """Only the engine validates their combination."""
    await get(gateway, "/history/btcusdt?interval=5m&from=1&to=22&limit=333")
    await get(gateway, "/history/ethusdt?points=7&format=json")

    assert [ask for ask in engine.asked if isinstance(ask, GetHistory)][-2:] == [
        GetHistory("btcusdt", "5m", None, 1, 22, 333),
        GetHistory("ethusdt", None, 7),
    ]


@pytest.mark.parametrize("path", ["index:btcusdt", "index:BTC/USDT", "INDEX:btc_usdt", "index%3Abtcusdt"])
async def test_the_bars_of_an_index_have_a_name_of_their_own(
    gateway: Gateway, engine: Engine, path: str
) -> None:
    """The symbol after the colon may be written in any spelling."""
    status, _, _ = await get(gateway, f"/history/{path}?interval=1s")

    assert status == 200
    asked = [ask for ask in engine.asked if isinstance(ask, GetHistory)]
    assert asked[-1] == GetHistory("index:btcusdt", "1s")


@pytest.mark.parametrize("path", ["index:btcusd", "index:", "index:index:btcusdt"])
async def test_there_is_no_index_of_an_unknown_symbol(gateway: Gateway, engine: Engine, path: str) -> None:
    """404, as for its bars."""
    status, _, body = await get(gateway, f"/history/{path}")

    assert (status, body["code"]) == (404, "unknown_symbol")


@pytest.mark.parametrize("name", ["points", "from", "to", "limit"])
@pytest.mark.parametrize("text", ["", "x", "-1", "+1", "1.5", "1e3", "0x1", "1_0", " 1", "\u0661", "9" * 20])
async def test_an_invalid_number_is_refused_by_name(
    gateway: Gateway, engine: Engine, name: str, text: str
) -> None:
    """The problem names the parameter and says what is allowed."""
    status, kind, body = await get(gateway, f"/history/btcusdt?{name}={quote(text)}")

    assert (status, kind) == (400, "application/problem+json")
    assert (body["code"], body["parameter"]) == ("bad_parameter", name)
    assert "whole number" in body["detail"]


@pytest.mark.parametrize(("query", "name"), [("format=xml", "format"), ("intervall=1m", "intervall")])
async def test_an_unknown_parameter_is_refused_by_name(
    gateway: Gateway, engine: Engine, query: str, name: str
) -> None:
    """A misspelt parameter is not silently ignored."""
    status, _, body = await get(gateway, f"/history/btcusdt?{query}")

    assert (status, body["code"], body["parameter"]) == (400, "bad_parameter", name)


@pytest.mark.parametrize(
    ("refused", "status", "named"),
    [
        ("bad_parameter", 400, "interval"),
        ("history_unavailable", 503, None),
        ("unknown_symbol", 404, None),
    ],
)
async def test_a_refusal_of_the_engine_becomes_a_problem(
    gateway: Gateway, engine: Engine, refused: str, status: int, named: str | None
) -> None:
    """With its code and its reason."""
    before, engine.page = engine.page, RefusedError(refused, "interval is one of 1s, 1m")
    seen, _, body = await get(gateway, "/history/btcusdt")
    engine.page = before

    assert (seen, body["code"], body["detail"]) == (status, refused, "interval is one of 1s, 1m")
    assert body.get("parameter") == named


async def test_an_unknown_symbol_has_no_history(gateway: Gateway, engine: Engine) -> None:
    """404 with similar symbols, as everywhere."""
    status, _, body = await get(gateway, "/history/btcusd")

    assert (status, body["code"]) == (404, "unknown_symbol")
    assert "btcusdt" in body["near"]


async def test_the_last_hour_of_all_instruments_is_one_response(gateway: Gateway, engine: Engine) -> None:
    """So that a board needs no request per row."""
    status, _, body = await get(gateway, "/history")

    assert status == 200
    assert body["sparks"] == {"btcusdt": [[60_000, "100.00"]]}


async def test_the_last_hour_of_all_instruments_is_made_rarely(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """However often the board is opened, the engine makes one answer in several seconds."""
    bus = tmp_path_factory.mktemp("bus") / "b"
    loop = asyncio.get_running_loop()
    async with Engine(bus) as engine, running(bus) as gateway:
        engine.sparks = {f"c{at:02}usdt": [(60_000, "1.5"), (120_000, f"{at}")] for at in range(60)}
        await gateway.ready()
        began, answers = loop.time(), []
        while loop.time() < began + 1:
            answers.append(await get(gateway, "/history"))
        asked = sum(isinstance(one, GetSparks) for one in engine.asked)

        assert asked <= 2 + (loop.time() - began) // 5  # one more if a minute has begun

    sparks = {symbol: [list(point) for point in points] for symbol, points in engine.sparks.items()}
    assert answers[0][2] == {"epoch": "e1", "seq": 3, "interval_ms": 60_000, "sparks": sparks}


async def test_without_an_engine_there_is_no_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The problem gives the reason."""
    async with running(tmp_path_factory.mktemp("bus") / "b") as gateway:
        status, _, body = await get(gateway, "/history")

    assert (status, body["code"]) == (503, "engine_unreachable")


async def test_a_failing_history_store_is_reported_in_readiness(gateway: Gateway, engine: Engine) -> None:
    """Prices go on, so the gateway is ready; but it is degraded."""
    before = await get(gateway, "/readyz")
    engine.history_trouble = "disk full"
    during = before
    async with asyncio.timeout(DEADLINE_S):
        while during[2] == before[2]:
            during = await get(gateway, "/readyz")
    engine.history_trouble = None

    assert before[2] == {"status": "ready", "degraded": []}
    assert (during[0], during[2]) == (200, {"status": "ready", "degraded": ["history: disk full"]})


async def test_live_bars_are_sent_to_subscribers(viewer: Viewer, engine: Engine) -> None:
    """From the subscription on: the changed bars, and the time of the bar before them."""
    await viewer.subscribe(symbols=["btcusdt", "ethusdt"], interval_ms=0, candles="1s")
    await until(lambda: engine.watched("candles") == ["btcusdt/1s", "ethusdt/1s"])
    engine.publish_bars(10, 4000, bar(5000, closed=False))
    await until(lambda: len(viewer.all("candles")) == 1)
    engine.publish_bars(11, 4000, bar(5000), bar(6000, closed=False))
    await until(lambda: len(viewer.all("candles")) == 2)
    await viewer.subscribe(symbols=[], interval_ms=0)
    await until(lambda: engine.watched("candles") == [])

    first, second = viewer.all("candles")
    assert {name: first[name] for name in ("symbol", "interval", "epoch", "seq", "previous", "gap")} == {
        "symbol": "btcusdt",
        "interval": "1s",
        "epoch": "e1",
        "seq": 10,
        "previous": 4000,
        "gap": None,
    }
    assert [(one["time"], one["closed"]) for one in first["bars"]] == [(5000, False)]
    assert [(one["time"], one["closed"]) for one in second["bars"]] == [(5000, True), (6000, False)]


async def test_other_viewers_get_no_bars(viewer: Viewer, engine: Engine) -> None:
    """They are sent only to viewers that subscribed to them."""
    await viewer.subscribe(symbols=["btcusdt"], interval_ms=0)
    engine.publish_bars(10, None, bar(5000))
    changed = engine.change(price="77.00")
    await until(lambda: viewer.price() == changed.price)

    assert viewer.all("candles") == []


async def test_slow_intervals_lose_no_bar(viewer: Viewer, engine: Engine) -> None:
    """All bars that close between two flushes come with the second one."""
    await viewer.subscribe(symbols=["ethusdt"], interval_ms=500, candles="1s")
    await until(lambda: engine.watched("candles") == ["ethusdt/1s"])
    for number in range(5):
        before = (number - 1) * 1000 if number else None
        engine.publish_bars(number, before, bar(number * 1000), symbol="ethusdt")
    await until(lambda: any(one["bars"][-1]["time"] == 4000 for one in viewer.all("candles")))

    times = [one["time"] for event in viewer.all("candles") for one in event["bars"]]
    assert sorted(set(times)) == [0, 1000, 2000, 3000, 4000]
