"""Limits on concurrent requests to the engine, and equal requests that share one response."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest
from websockets.asyncio.client import connect

from crypto_stream.bus.orders import Cancel
from crypto_stream.gateway.web.concurrency import ConcurrencyLimit, SingleFlight
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import Prebuilt
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway
from tests.waiting import until

ORDER = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"


def test_concurrent_requests_are_limited_in_total_and_per_address() -> None:
    """A refused client is asked to retry; a request that has ended frees its slot."""
    limit = ConcurrencyLimit(3, 2)
    with limit.slot("a"), limit.slot("a"):
        with pytest.raises(ProblemError, match="Your address") as crowded, limit.slot("a"):
            pass
        with (
            limit.slot("b"),
            pytest.raises(ProblemError, match="already runs 3") as full,
            limit.slot("c"),
        ):
            pass
        with limit.slot("c"):
            pass

    assert (crowded.value.status, crowded.value.headers) == (503, {"Retry-After": "1"})
    assert (full.value.status, full.value.code) == (503, "busy")
    with limit.slot("a"), limit.slot("a"):
        pass


def test_equal_requests_share_one_response() -> None:
    """While it is made, and shortly after; a failure is not shared."""
    now_s = 0.0
    shared = SingleFlight(0.25, lambda: now_s)
    made: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def make(body: str = "slow") -> Prebuilt:
        made.append(body)
        begun.set()
        go_on.wait()
        return Prebuilt(body.encode(), "text/plain")

    got: list[Prebuilt] = []
    threads = [threading.Thread(target=lambda: got.append(shared.get("q", make))) for _ in range(5)]
    for each in threads:
        each.start()
    begun.wait()
    go_on.set()
    for each in threads:
        each.join()
    soon = shared.get("q", lambda: make("again"))
    other = shared.get("r", lambda: make("other"))
    now_s = 0.3
    later = shared.get("q", lambda: make("later"))

    assert [one.body(False) for one in (*got, soon, other, later)] == [*[b"slow"] * 6, b"other", b"later"]
    assert made == ["slow", "other", "later"]
    with pytest.raises(ZeroDivisionError):
        shared.get("s", lambda: Prebuilt(bytes(1 // 0), ""))
    assert shared.get("s", lambda: make("well")).body(False) == b"well"


def test_shared_responses_are_bounded_in_bytes() -> None:
    """The oldest are removed first; a single one is kept, however large."""
    shared = SingleFlight(0.25, lambda: 0.0)
    made = 0

    def large() -> Prebuilt:
        nonlocal made
        made += 1
        return Prebuilt(bytes(1_000_000), "text/plain")

    for question in range(20):
        shared.get(question, large)
    shared.get(19, large)
    shared.get(0, large)

    assert made == 21
    huge = Prebuilt(bytes(9_000_000), "text/plain")
    alone = SingleFlight(0.25, lambda: 0.0)
    assert alone.get("huge", lambda: huge) is alone.get("huge", lambda: Prebuilt(b"", "text/plain")) is huge


@pytest.mark.asyncio(loop_scope="module")
async def test_a_flood_of_requests_delays_no_order(gateway: Gateway, engine: Engine) -> None:
    """Different slow requests of one address: some wait, the rest is refused at once, an order passes."""
    engine.may_read.clear()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with (
        httpx.AsyncClient(base_url=gateway.url, timeout=60, limits=limits) as http,
        asyncio.TaskGroup() as tasks,
    ):
        asked = [tasks.create_task(http.get(f"/history/btcusdt?to={at}")) for at in range(100, 180)]
        await until(lambda: sum(one.done() for one in asked) == 80 - 32)
        async with connect(f"{gateway.url.replace('http', 'ws')}/ws?mode=extended") as trader:
            await trader.send(f'{{"messageType": 4, "message": {{"order_id": "{ORDER}"}}}}')
            await until(lambda: any(isinstance(one, Cancel) for _, one in engine.commands))
            before = sum(one.done() for one in asked)
            engine.may_read.set()
        shown = (await http.get("/metrics")).text
    answers = [one.result() for one in asked]
    refused = [one for one in answers if one.status_code != 200]

    assert before == len(refused) == 80 - 32
    assert f"crypto_stream_history_refusals_total {len(refused)}.0\n" in shown
    assert {(one.status_code, one.json()["code"], one.headers["Retry-After"]) for one in refused} == {
        (503, "busy", "1")
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_equal_requests_reach_the_engine_once(gateway: Gateway, engine: Engine) -> None:
    """Once as JSON and once as CSV, however many there are."""
    engine.may_read.clear()
    before = len(engine.asked)
    async with (
        httpx.AsyncClient(base_url=gateway.url, timeout=60) as http,
        asyncio.TaskGroup() as tasks,
    ):
        asked = [tasks.create_task(http.get("/history/ethusdt?limit=7")) for _ in range(50)]
        await until(lambda: len(engine.asked) > before)
        engine.may_read.set()

    assert {one.result().status_code for one in asked} == {200}
    assert len({one.result().content for one in asked}) == 1
    assert len(engine.asked) - before <= 3
