"""The whole program while instruments come and go: viewers, orders, HTTP, the command line, memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psutil
import pytest
import socketio

from crypto_stream.client import OrderClient, OrderError
from crypto_stream.market.orders import ExecType, Status
from tests.fakes import FakeBinance, FakeOKX
from tests.process.programs import Running, address, admin, command, program
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(180 * SCALE)

KEPT = ("btcusdt", "ethusdt")
SPARE = ("solusdt", "adausdt", "xrpusdt", "dotusdt")
TIMES = 200  # instruments added, and as often removed
_MOST_MB = 12.0  # by which memory may vary between the second half of the changes and the end


class Desk:
    """A running program on two fake venues, and what a viewer of everything was told."""

    def __init__(self, running: Running, url: str, http: httpx.AsyncClient, folder: Path) -> None:
        self.running = running
        self.url = url
        self.http = http
        self.folder = folder
        self.told: list[dict[str, list[str]]] = []
        self.quotes: dict[str, dict[str, Any]] = {}
        self.hellos = self.snapshots = 0

    async def change(
        self, *, add: list[str] | None = None, remove: list[str] | None = None
    ) -> dict[str, Any]:
        """Change the instruments over HTTP."""
        body = {"add": add or [], "remove": remove or []}
        token = admin(self.folder)
        answer = await self.http.post("/instruments", json=body, headers=token, timeout=30 * SCALE)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def get(self, path: str) -> Any:
        """Return the JSON of one address."""
        return (await self.http.get(path)).json()

    async def trades(self, symbol: str) -> int:
        """Count the trades in all recorded bars of an instrument."""
        page = await self.get(f"/history/{symbol}?interval=1s&limit=5000")
        return sum(bar["trades"] for bar in page["bars"] if bar["source"] == "binance")

    def engine_mb(self) -> float:
        """Return the resident memory of the engine."""
        return float(psutil.Process(self.running.pids("engine")[-1]).memory_info().rss) / 1e6


@asynccontextmanager
async def desk(folder: Path, *fakes: FakeBinance | FakeOKX) -> AsyncIterator[Desk]:
    """Run the program on the fakes with two pairs, and a viewer of everything."""
    names = ",".join(fake.name for fake in fakes)
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    options = ["--port", "0", "--sources", f"{names},synthetic", "--pairs", ",".join(KEPT), *files]
    options += ["--order-latency", "10"]
    hosts = {f"CRYPTO_STREAM_{fake.name.upper()}_URL": fake.url for fake in fakes}
    lists = {f"CRYPTO_STREAM_{fake.name.upper()}_REST_URL": fake.rest_url for fake in fakes}
    with program(["-m", "crypto_stream", "run", *options], folder, **hosts, **lists) as running:
        url = await address(running)
        async with httpx.AsyncClient(base_url=url) as http, aiohttp.ClientSession() as session:
            found = Desk(running, url, http, folder)
            viewer = socketio.AsyncClient(http_session=session)
            _listen(viewer, found)
            await viewer.connect(url, transports=["websocket"])
            await viewer.call("subscribe", {"symbols": "all", "interval_ms": 0})
            await until(lambda: all(_live(found, symbol) for symbol in KEPT), 30 * SCALE)
            try:
                yield found
            finally:
                await viewer.shutdown()


def _listen(viewer: socketio.AsyncClient, found: Desk) -> None:
    def on_quotes(quotes: list[dict[str, Any]]) -> None:
        found.quotes.update((quote["symbol"], quote) for quote in quotes)

    def on_snapshot(quotes: list[dict[str, Any]]) -> None:
        found.snapshots += 1
        on_quotes(quotes)

    def on_hello(_hello: dict[str, Any]) -> None:
        found.hellos += 1

    viewer.on("quotes", on_quotes)
    viewer.on("snapshot", on_snapshot)
    viewer.on("instruments", found.told.append)
    viewer.on("hello", on_hello)


def _live(found: Desk, symbol: str) -> bool:
    return symbol in found.quotes and not found.quotes[symbol]["stale"]


async def test_two_hundred_changes_lose_no_frame_of_others_and_no_memory(tmp_path: Path) -> None:
    """Every trade of the others is in its bar, nobody reconnects or starts again, memory stays flat."""
    listed = [*KEPT, *SPARE]
    async with (
        FakeBinance(listed, rate=40) as binance,
        FakeOKX(listed, rate=40) as okx,
        desk(tmp_path, binance, okx) as at,
    ):
        begun = await _settled(at, binance)
        connects, hellos, snapshots = len(binance.connects), at.hellos, at.snapshots
        memory: list[float] = []
        binance.rate = okx.rate = 40.0
        for number in range(TIMES):
            symbol = SPARE[number % len(SPARE)]
            assert (await at.change(add=[symbol]))["added"] == [symbol]
            if not number % 10:  # sometimes it lives long enough to be served
                await until(partial(_live, at, symbol), 30 * SCALE)
            assert (await at.change(remove=[symbol]))["removed"] == [symbol]
            memory.append(at.engine_mb())
        await until(
            lambda: all(binance.walks[one].trade_id - begun[one][0] > 100 for one in KEPT), 30 * SCALE
        )
        ended = await _settled(at, binance)
        sources = {each["name"]: each for each in (await at.get("/sources"))["sources"]}

        for symbol in KEPT:
            sent, recorded = (ended[symbol][at_] - begun[symbol][at_] for at_ in (0, 1))
            assert recorded == sent
        assert (len(binance.connects), at.hellos, at.snapshots) == (connects, hellos, snapshots)
        assert len(at.told) == 2 * TIMES
        assert all(len(each["added"]) + len(each["removed"]) == 1 for each in at.told)
        assert max(memory[TIMES // 2 :]) - memory[TIMES // 2] < _MOST_MB
        assert sources["binance"]["carries"] == sources["okx"]["carries"] == len(KEPT)
        assert [one["symbol"] for one in (await at.get("/instruments"))["instruments"]][:2] == list(KEPT)
        assert binance.violations == []
        assert "Traceback" not in at.running.log


async def _settled(at: Desk, venue: FakeBinance) -> dict[str, tuple[int, int]]:
    """Stop the traffic; return, once all has arrived, each pair's trades at the venue and in the bars."""
    venue.rate = 0.0
    found: list[dict[str, tuple[int, int]]] = []
    while len(found) < 3 or not found[-1] == found[-2] == found[-3]:
        await asyncio.sleep(0.3)
        found.append({symbol: (venue.walks[symbol].trade_id, await at.trades(symbol)) for symbol in KEPT})
    return found[-1]


async def test_orders_of_a_removed_instrument_are_cancelled_with_the_reason(tmp_path: Path) -> None:
    """Others stay active; new ones are refused; a subscription is told that there is no quote any more."""
    listed = [*KEPT, *SPARE]
    async with (
        FakeBinance(listed) as binance,
        desk(tmp_path, binance) as at,
        OrderClient(at.url, client_id=str(uuid.uuid4())) as orders,
    ):
        await at.change(add=["solusdt"])
        await until(lambda: _live(at, "solusdt"))
        gone = await orders.place("SOL/USDT", "buy", Decimal(1), Decimal(1))
        stays = await orders.place("BTC/USDT", "buy", Decimal(1), Decimal(1))
        await at.change(remove=["solusdt"])
        async for report in orders.reports():
            if report.exec_type is ExecType.CANCELED:
                break
        active = [each.order_id for each in await orders.orders() if each.status is Status.ACTIVE]
        with pytest.raises(OrderError) as refused:
            await orders.place("SOL/USDT", "buy", Decimal(1), Decimal(1))

        assert (report.order_id, report.instrument) == (gone.order_id, "SOL/USDT")
        assert report.reason == "its instrument was removed"
        assert active == [stays.order_id]
        assert refused.value.code in {"unknown_instrument", "bad_field"}


async def test_http_and_the_command_line_follow(tmp_path: Path) -> None:
    """A removed pair is 404 everywhere, an added one is served; a token is needed; the CLI reports."""
    listed = [*KEPT, *SPARE]
    async with FakeBinance(listed) as binance, desk(tmp_path, binance) as at:
        refused = await at.http.post("/instruments", json={"add": ["solusdt"]})
        wrong = await at.http.post("/instruments", json={"add": "solusdt"}, headers=admin(tmp_path))
        unknown = await at.http.post("/instruments", json={"add": ["doge-usdt"]}, headers=admin(tmp_path))
        place = ["--data-dir", str(tmp_path / "data"), "--url", at.url]
        added = await asyncio.to_thread(command, "instruments", "add", "SOL-USDT", *place)
        await until(lambda: _live(at, "solusdt"))
        some = await at.http.get("/courses?symbols=SOL-USDT,btcusdt&format=csv")
        removed = await asyncio.to_thread(command, "instruments", "remove", "ethusdt", *place)
        shown = await asyncio.to_thread(command, "instruments", "list", *place)
        gone = [
            (await at.http.get(path)).status_code
            for path in ("/courses/ethusdt", "/history/ethusdt", "/best/ethusdt", "/ethusdt")
        ]
        courses = [quote["symbol"] for quote in await at.get("/courses")]
        metrics = (await at.http.get("/metrics")).text

        assert (refused.status_code, wrong.status_code, unknown.status_code) == (401, 400, 400)
        assert unknown.json()["code"] == "unknown_instrument"
        assert "no venue lists DOGE-USDT" in unknown.json()["detail"]
        assert added.stdout == "Added 1: solusdt\n"
        assert removed.stdout == "Removed 1: ethusdt\n"
        assert "solusdt" in shown.stdout
        assert "ethusdt" not in shown.stdout
        assert [line.split(",")[0] for line in some.text.splitlines()] == ["symbol", "solusdt", "btcusdt"]
        assert gone == [404] * 4
        assert courses[:2] == ["btcusdt", "solusdt"]
        assert "ethusdt" not in courses
        assert "ethusdt" not in metrics
