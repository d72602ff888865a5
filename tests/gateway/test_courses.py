"""GET /courses of some symbols, and as CSV; the instruments, as they come and go."""

from __future__ import annotations

import csv
import io

import pytest

from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import INSTRUMENTS, Engine
from tests.gateway.process import ADMIN, Gateway, Viewer
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_some_quotes_in_the_order_asked_for(engine: Engine, gateway: Gateway) -> None:
    """In any spelling, each once; the status says whether one of them is live."""
    some = await gateway.http.get("/courses?symbols=ETH-USDT,btcusdt,ethusdt")
    engine.change("ethusdt", stale=True)
    stale = await gateway.answers("/courses?symbols=ethusdt", 503)
    one_live = await gateway.http.get("/courses?symbols=ethusdt,btcusdt")
    everything = await gateway.http.get("/courses")
    engine.change("ethusdt", stale=False)
    await gateway.answers("/courses?symbols=ethusdt", 200)

    assert [quote["symbol"] for quote in some.json()] == ["ethusdt", "btcusdt"]
    assert [quote["symbol"] for quote in stale.json()] == ["ethusdt"]
    assert (some.status_code, one_live.status_code, everything.status_code) == (200, 200, 200)
    assert some.headers["Stream-Epoch"] == "e1"
    assert len(everything.json()) == len(INSTRUMENTS)


async def test_csv_has_a_column_for_each_field(gateway: Gateway) -> None:
    """What JSON calls null is empty; numbers are the same text."""
    as_json = (await gateway.http.get("/courses")).json()
    answer = await gateway.http.get("/courses?format=csv")
    header, *rows = csv.reader(io.StringIO(answer.text))
    one = await gateway.http.get("/courses?format=csv&symbols=ticker_00")

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert header == list(Quote.__struct_fields__)
    texts = {None: "", True: "true", False: "false"}
    assert rows == [
        [texts[value] if value is None or isinstance(value, bool) else str(value) for value in quote.values()]
        for quote in as_json
    ]
    assert one.text.splitlines()[1].startswith("ticker_00,")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("symbols=", 400, "bad_parameter"),
        ("symbols=btcusdt,nope", 404, "unknown_symbol"),
        ("format=xml", 400, "bad_parameter"),
        ("symbol=btcusdt", 400, "bad_parameter"),
        ("symbols=" + "a," * 1_001, 400, "bad_parameter"),
    ],
)
async def test_wrong_parameters_are_named(gateway: Gateway, query: str, status: int, code: str) -> None:
    """Nothing is ignored."""
    answer = await gateway.http.get(f"/courses?{query}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_viewers_are_told_what_comes_and_goes(engine: Engine, gateway: Gateway, viewer: Viewer) -> None:
    """One event, without a new start: quotes of others go on, the new one's follow, the removed one's end."""
    new = Instrument("solusdt", "SOL", "USDT")
    await viewer.subscribe(symbols="all", interval_ms=0)
    hellos, snapshots = len(viewer.all("hello")), len(viewer.all("snapshot"))
    engine.add(new)
    (added,) = await viewer.until("instruments")
    await until(lambda: viewer.price("solusdt") == "100.00")
    listed = (await gateway.http.get("/instruments")).json()["instruments"]
    board = (await gateway.http.get("/")).text
    engine.remove("solusdt")
    _, removed = await viewer.until("instruments", 2)
    gone = await gateway.answers("/courses/solusdt", 404)
    late = await viewer.subscribe(symbols=["solusdt"])

    assert added == {"added": ["solusdt"], "removed": []}
    assert removed == {"added": [], "removed": ["solusdt"]}
    assert [one["symbol"] for one in listed] == ["btcusdt", "ethusdt", "solusdt", "ticker_00"]
    assert 'data-symbol="solusdt"' in board
    assert gone.json()["code"] == "unknown_symbol"
    assert late["code"] == "unknown_symbol"
    assert (len(viewer.all("hello")), len(viewer.all("snapshot"))) == (hellos, snapshots)


async def test_a_removed_instrument_comes_back_to_who_subscribed_to_it(
    engine: Engine, gateway: Gateway, viewer: Viewer
) -> None:
    """The subscription remains, also of its topics."""
    new = Instrument("adausdt", "ADA", "USDT")
    engine.add(new)
    await gateway.answers("/courses/adausdt", 200)
    await viewer.subscribe(symbols=["adausdt"], interval_ms=0, venues=True)
    await until(lambda: engine.watched() == ["adausdt"])
    engine.remove("adausdt")
    await gateway.answers("/courses/adausdt", 404)
    await until(lambda: engine.watched() == [])
    engine.add(new)
    await until(lambda: engine.watched() == ["adausdt"])
    engine.change("adausdt", price="7")
    await until(lambda: viewer.price("adausdt") == "7")
    engine.remove("adausdt")
    await gateway.answers("/courses/adausdt", 404)

    assert viewer.all("refused") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "bad_parameter"),
        ({"add": "btcusdt"}, "bad_parameter"),
        ({"add": [1]}, "bad_parameter"),
        ({"ad": ["btcusdt"]}, "bad_parameter"),
        ([], "bad_parameter"),
        ({"remove": ["refused"]}, "unknown_instrument"),
    ],
)
async def test_a_wrong_change_is_refused(gateway: Gateway, body: object, code: str) -> None:
    """By the gateway if it can see it, else by the engine."""
    answer = await gateway.http.post("/instruments", json=body, headers=ADMIN)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_change_needs_the_token_and_is_passed_on(engine: Engine, gateway: Gateway) -> None:
    """As pinning does."""
    refused = await gateway.http.post("/instruments", json={"add": ["solusdt"]})
    done = await gateway.http.post("/instruments", json={"add": ["solusdt"]}, headers=ADMIN)

    assert (refused.status_code, done.status_code) == (401, 200)
    assert "Changing instruments needs the admin token" in refused.json()["detail"]
    assert done.json() == {"added": ["solusdt"], "removed": [], "left_out": []}
