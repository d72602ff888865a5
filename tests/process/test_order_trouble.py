"""A disk that refuses, a broken file, a file that is gone: orders stop and say so, prices go on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import convert
from websockets.asyncio.client import ClientConnection, connect

from crypto_stream.client.messages import Report as ClientReport
from crypto_stream.client.queues import SeenReports
from crypto_stream.market.orders import ExecType, Order, Report, Side, Ticket
from crypto_stream.storage.interface import OrderBatch
from crypto_stream.storage.sqlite_orders import SqliteOrderWriter
from tests.process.charts import run
from tests.process.programs import Running, address, program
from tests.process.test_history_trouble import full
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)

Json = dict[str, Any]
OWNER = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"
TICKET = {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "1"}
PASSING = frozenset({"no_market", "starting", "engine_unreachable"})  # while it starts


class Seen:
    """What a client of a running program sees."""

    def __init__(self, url: str, connection: ClientConnection) -> None:
        self._http = httpx.Client(base_url=url, timeout=20 * SCALE)
        self._connection = connection

    async def place(self, passing: Set[str] = PASSING) -> Json:
        """Place an order; return its report or ErrorInfo, the first that is none of `passing`."""
        async with asyncio.timeout(30 * SCALE):
            while True:
                await self._connection.send(
                    json.dumps({"messageType": 3, "message": {**TICKET, "request_id": 1}})
                )
                while (told := json.loads(await self._connection.recv())["message"])["request_id"] != 1:
                    pass  # what has happened to others
                if told.get("code") not in passing:
                    return dict(told)
                await asyncio.sleep(0.05)

    async def listed(self) -> list[str]:
        """Return the ids of all orders."""
        await self._connection.send(json.dumps({"messageType": 5, "message": {"request_id": 2}}))
        async with asyncio.timeout(30 * SCALE):
            while (told := json.loads(await self._connection.recv()))["messageType"] != 5:
                pass
        return [order["order_id"] for order in told["message"]["orders"]]

    def price_time(self) -> int:
        """Return the time of a live quote."""
        quote = self._http.get("/courses/eurrub").json()
        assert not quote["stale"]
        return int(quote["time"])

    def degraded(self) -> list[str]:
        """Return what /readyz says of a ready gateway."""
        return [str(each) for each in self._http.get("/readyz").json()["degraded"]]

    def epoch(self) -> str:
        """Return the epoch of the quotes."""
        return self._http.get("/courses").headers["Stream-Epoch"]

    def place_of(self) -> tuple[str, int]:
        """Return host and port."""
        return self._http.base_url.host, self._http.base_url.port or 80

    def close(self) -> None:
        self._http.close()


@asynccontextmanager
async def visited(folder: Path, *more: str) -> AsyncIterator[tuple[Running, Seen]]:
    """Run the program and connect to it."""
    with program(run(folder, *more), folder) as running:
        url = await address(running)
        async with connect(f"{url.replace('http', 'ws')}/ws?mode=extended&client_id={OWNER}") as connection:
            with closing(Seen(url, connection)) as seen:
                yield running, seen


async def goes_on(seen: Seen) -> bool:
    """Wait for the next price."""
    since = seen.price_time()
    await until(lambda: seen.price_time() > since, 20 * SCALE)
    return True


def stored(path: Path) -> list[str]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return [order_id for (order_id,) in database.execute("SELECT order_id FROM orders ORDER BY rank")]


async def test_a_full_disk_takes_no_order_until_it_has_room(tmp_path: Path) -> None:
    """ErrorInfo for each and nothing kept of it; what was acknowledged stays; then orders are taken again."""
    async with visited(tmp_path) as (running, seen):
        first = await seen.place()
        with full(tmp_path, running):
            refused = [await seen.place() for _ in range(3)]
            prices = await goes_on(seen)
        last = await seen.place(PASSING | {"store_unavailable"})
        orders = await seen.listed()

        assert [answer["code"] for answer in refused] == ["store_unavailable"] * 3
        assert orders == stored(tmp_path / "data" / "orders.db") == [first["order_id"], last["order_id"]]
        assert prices
        assert len(running.pids("engine")) == 1


def prefilled(path: Path) -> None:
    """Leave a file with one active order."""
    path.parent.mkdir()
    ticket = Ticket("eurrub", Side.BUY, "10", "1")
    order = Order("5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5", "an owner", 1, ticket, 1, 2)
    with closing(SqliteOrderWriter(path)) as writer:
        writer.open()
        writer.write(OrderBatch([Report(1, "an execution", ExecType.NEW, 1, order)], {}, frozenset()))


@pytest.mark.parametrize("start", [0, 4096])
async def test_a_corrupt_file_stops_orders_and_stays_as_it_is(tmp_path: Path, start: int) -> None:
    """Whether its head or its body is broken: no order is taken, no file is begun, renamed or changed."""
    path = tmp_path / "data" / "orders.db"
    prefilled(path)
    content = path.read_bytes()
    content = content[:start] + b"\xff" * (len(content) - start)
    path.write_bytes(content)
    async with visited(tmp_path) as (running, seen):
        refused = [await seen.place() for _ in range(2)]
        prices = await goes_on(seen)
        running.process.terminate()
        running.wait()

    assert [answer["code"] for answer in refused] == ["store_unavailable"] * 2
    assert prices
    assert path.read_bytes() == content
    assert {one.name for one in path.parent.glob("orders*")} <= {
        path.name,
        f"{path.name}-wal",
        f"{path.name}-shm",
        f"{path.name}-mark",
    }
    assert running.output.count("orders are not accepted") == 1


async def test_a_file_that_is_deleted_while_it_runs_is_not_begun_anew(tmp_path: Path) -> None:
    """What is written to a file without a name would be lost: orders stop, a person has to look."""
    path = tmp_path / "data" / "orders.db"
    async with visited(tmp_path) as (_running, seen):
        await seen.place()
        for part in path.parent.glob("orders.db*"):
            part.unlink()
        refused = [await seen.place() for _ in range(2)]
        prices = await goes_on(seen)

    assert [answer["code"] for answer in refused] == ["store_unavailable"] * 2
    assert prices
    assert not path.exists()


@pytest.mark.parametrize("start", [0, 4_000])
async def test_a_log_that_is_damaged_before_a_kill_is_said_loudly(tmp_path: Path, start: int) -> None:
    """Random bytes over orders.db-wal, then `kill -9`: log and /readyz say what is missing, prices go on."""
    log = tmp_path / "data" / "orders.db-wal"
    async with visited(tmp_path) as (running, seen):
        placed = [await seen.place() for _ in range(40)]
        size = log.stat().st_size
        with log.open("r+b") as file:
            file.seek(start)
            file.write(os.urandom(size - start))
        os.kill(running.pids("engine")[-1], signal.SIGKILL)
        await until(lambda: "orders are not accepted" in running.log, 30 * SCALE)
        refused = await seen.place()
        await until(seen.degraded, 20 * SCALE)
        ready = seen.degraded()
        prices = await goes_on(seen)

    assert len({one["order_id"] for one in placed}) == 40
    assert refused["code"] == "store_unavailable"
    assert "orders.db" in ready[0]
    assert prices


@pytest.mark.parametrize("older", [False, True])
async def test_clients_begin_anew_where_another_store_was_put(tmp_path: Path, older: bool) -> None:
    """orders.db moved away, or an older one put back, while it is stopped: reports come from the first on."""
    data, aside = tmp_path / "data", tmp_path / "older.db"
    known = SeenReports()
    async with visited(tmp_path) as (running, seen):
        first = await seen.place()
        running.process.terminate()
        running.wait()
    shutil.copy(data / "orders.db", aside)
    async with visited(tmp_path) as (running, seen):
        before = [first, await seen.place(), await seen.place()]
        running.process.terminate()
        running.wait()
    if older:
        shutil.copy(aside, data / "orders.db")
    else:
        (data / "orders.db").unlink()
    async with visited(tmp_path) as (running, seen):
        after = await seen.place()
        await until(seen.degraded, 20 * SCALE)
        ready = seen.degraded()
        log = running.log

    told = [known.is_new(convert(one, ClientReport, strict=False)) for one in before]
    assert told == [True] * 3
    assert after["store"] not in {one["store"] for one in before}
    assert known.is_new(convert(after, ClientReport, strict=False))
    assert "is missing the last" in ready[0]
    assert "acknowledged changes of orders are missing" in log


async def test_questions_about_the_history_hold_up_no_order(tmp_path: Path) -> None:
    """Two hundred clients ask for long histories and leave: orders are accepted all the same."""
    async with visited(tmp_path) as (_running, seen):
        await seen.place()
        host, port = seen.place_of()
        for number in range(200):
            _, writer = await asyncio.open_connection(host, port)
            path = f"/history/ticker_{number % 100:02}?interval=15s&limit=5000"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            await writer.drain()
            writer.close()
        placed = [await seen.place(frozenset()) for _ in range(3)]

    assert [answer.get("code") for answer in placed] == [None] * 3
