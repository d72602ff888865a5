"""The order client against the whole program, parts of which die under it."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from crypto_stream.client import OrderClient, OrderError, Report
from crypto_stream.market.orders import ExecType, Side, Status
from tests.process.serving import Service, trading
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120 * SCALE)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Run one program for the whole file."""
    async with trading(tmp_path_factory.mktemp("run")) as running:
        yield running


_ORDERS = 60


def _ordering(service: Service, client_id: str | None = None) -> OrderClient:
    return OrderClient(service.url, client_id=client_id or str(uuid.uuid4()), timeout_s=40 * SCALE)


async def _until_over(orders: OrderClient, order_id: str) -> list[Report]:
    found: list[Report] = []
    async with asyncio.timeout(DEADLINE_S):
        async for report in orders.reports():
            found.append(report)
            if report.order_id == order_id and report.status is not Status.ACTIVE:
                break
    return found


async def test_an_order_is_placed_filled_listed_and_counted(service: Service) -> None:
    """A crossing order fills at the live price; reports, orders, trades and position tell the same."""
    async with _ordering(service) as orders:
        placed = await orders.place("EUR/RUB", Side.BUY, Decimal("10.5"), Decimal(95))
        reports = await _until_over(orders, placed.order_id)
        listed = await orders.orders()
        trades = await orders.trades("EUR/RUB")
        positions = await orders.positions()
    filled = reports[-1]

    assert [report.exec_type for report in reports] == [ExecType.NEW, ExecType.TRADE]
    assert [report.seq for report in reports] == [1, 2]
    assert (placed.status, filled.status) == (Status.ACTIVE, Status.FILLED)
    assert filled.last_price is not None
    assert Decimal(86) < filled.last_price < Decimal(88)
    assert filled.source == "synthetic"
    assert (filled.cum_amount, filled.leaves_amount) == (Decimal("10.5"), Decimal(0))
    assert [order.order_id for order in listed] == [placed.order_id]
    assert listed[0].avg_price == filled.last_price
    assert [(trade.exec_id, trade.seq) for trade in trades] == [(filled.exec_id, 2)]
    assert [(each.instrument, each.amount) for each in positions] == [("EUR/RUB", Decimal("10.5"))]
    assert positions[0].bought_value == Decimal("10.5") * filled.last_price


async def test_only_the_owner_sees_and_cancels_an_order(service: Service) -> None:
    """Another client_id neither lists nor cancels an order; every program of the owner is told of its end."""
    mine = str(uuid.uuid4())
    async with (
        _ordering(service, mine) as first,
        _ordering(service, mine) as second,
        _ordering(service) as stranger,
    ):
        placed = await first.place("EUR/RUB", "sell", 1, 200)
        with pytest.raises(OrderError) as refused:
            await stranger.cancel(placed.order_id)
        foreign = await stranger.orders()
        cancelled = await second.cancel(placed.order_id)
        told = await _until_over(first, placed.order_id)
        with pytest.raises(OrderError) as over:
            await first.cancel(placed.order_id)

    assert refused.value.code == "unknown_order"
    assert foreign == []
    assert (cancelled.status, told[-1].status) == (Status.CANCELLED, Status.CANCELLED)
    assert over.value.code == "not_active"
    assert "cancelled" in over.value.reason


async def test_the_same_client_order_id_places_one_order(service: Service) -> None:
    """Sent twice an order is there once; another order of that name is refused."""
    async with _ordering(service) as orders:
        first = await orders.place("EUR/RUB", "buy", 1, 1, client_order_id="one")
        again = await orders.place("EUR/RUB", "buy", 1, 1, client_order_id="one")
        with pytest.raises(OrderError) as other:
            await orders.place("EUR/RUB", "buy", 2, 1, client_order_id="one")
        listed = await orders.orders()

    assert again.order_id == first.order_id
    assert other.value.code == "duplicate_client_order_id"
    assert [order.client_order_id for order in listed] == ["one"]


@pytest.mark.parametrize("half", ["gateway-1", "engine"])
async def test_no_order_and_no_report_is_lost_or_doubled_by_a_crash(half: str, service: Service) -> None:
    """Orders placed while a half is killed are placed once; their reports come in order, none missing."""
    reports: list[Report] = []

    async def read(orders: OrderClient) -> None:
        stream = orders.reports()
        while True:
            reports.append(await anext(stream))

    async def place(orders: OrderClient, number: int) -> str:
        await asyncio.sleep(number * 0.01)
        while True:
            try:
                return (
                    await orders.place("EUR/RUB", "buy", number + 1, 95, client_order_id=f"n{number}")
                ).order_id
            except OrderError as refused:
                if refused.code != "no_market":  # right after the start of the engine
                    raise
                await asyncio.sleep(0.1)

    async with _ordering(service) as orders, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read(orders))
        placing = [tasks.create_task(place(orders, number)) for number in range(_ORDERS)]
        await until(lambda: len(reports) > 20)
        pids = service.running.pids(half)
        os.kill(pids[-1], signal.SIGKILL)
        order_ids = [await each for each in placing]
        await until(lambda: sum(report.status is Status.FILLED for report in reports) == _ORDERS)
        listed = await orders.orders()
        starts = len(service.running.pids(half)) - len(pids)
        reading.cancel()
    filled = Counter(report.order_id for report in reports if report.status is Status.FILLED)

    assert starts == 1
    assert sorted(order_ids) == sorted(order.order_id for order in listed)
    assert len(set(order_ids)) == _ORDERS
    assert [report.seq for report in reports] == list(range(1, 2 * _ORDERS + 1))
    assert set(filled.values()) == {1}


async def test_what_happened_while_the_client_was_away_comes_first(tmp_path: Path) -> None:
    """A client that left before its order filled is told so at once when it comes back."""
    mine = str(uuid.uuid4())
    async with trading(tmp_path, "--order-latency", "300") as service:
        async with _ordering(service, mine) as orders:
            placed = await orders.place("EUR/RUB", "buy", 1, 95)
        async with _ordering(service) as other:
            seen = await other.place("EUR/RUB", "buy", 1, 95)
            await _until_over(other, seen.order_id)
        async with _ordering(service, mine) as orders:
            reports = await _until_over(orders, placed.order_id)

    assert reports[-1].status is Status.FILLED


async def test_quotes_go_on_after_a_gateway_died(service: Service) -> None:
    """A subscription outlives its gateway; prices are decimals around the synthetic walk's."""
    async with _ordering(service) as orders:
        await orders.subscribe("EUR/RUB")
        quotes = orders.quotes()
        async with asyncio.timeout(40 * SCALE):
            first = await anext(quotes)
            os.kill(service.running.pids("gateway-1")[-1], signal.SIGKILL)
            async for later in quotes:
                if later.timestamp > first.timestamp + 2_000 and not later.stale:
                    break

    assert (first.instrument, later.instrument) == ("EUR/RUB", "EUR/RUB")
    assert later.bid is not None
    assert Decimal(86) < later.bid < Decimal(88)
    assert later.source == "synthetic"


async def test_reports_that_no_client_has_read_are_not_taken_for_told(service: Service) -> None:
    """A client whose machine vanished is told, when it is back, what its open socket had swallowed."""
    mine = str(uuid.uuid4())
    async with _ordering(service) as other:
        gone = await connect(f"{service.url.replace('http', 'ws')}/ws?mode=extended&client_id={mine}")
        await gone.send(
            '{"messageType": 3, "message": {"instrument": 2, "side": 1, "amount": "1", "price": "95"}}'
        )
        gone.transport.pause_reading()
        later = await other.place("EUR/RUB", "buy", 1, 95)
        await _until_over(other, later.order_id)
        await other.subscribe("EUR/RUB")
        async with asyncio.timeout(DEADLINE_S):
            seen = [await anext(other.quotes()) for _ in range(3)]
        gone.transport.abort()
        async with _ordering(service, mine) as orders:
            (kept,) = await orders.orders()
            reports = await _until_over(orders, kept.order_id)

    assert len(seen) == 3
    assert [report.exec_type for report in reports] == [ExecType.NEW, ExecType.TRADE]
