"""The order client against a gateway that cuts, repeats, refuses and falls silent."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from crypto_stream.client import MarketData, OrderClient, OrderError, Position, Report, UnreachableError
from crypto_stream.client.queues import QuoteQueue, ReportQueue
from crypto_stream.market.orders import ExecType, Kind, Side, Status, TimeInForce
from tests.client.desk import CLIENT_ID, ORDER_ID, Desk, desk, listed, ordering
from tests.waiting import DEADLINE_S, until

SECOND_ID = "22222222-2222-4222-8222-222222222222"


async def _accepts(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
    await there.report(1, message["request_id"], client_order_id=message.get("client_order_id"))


async def _silent(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
    pass


async def _next(orders: OrderClient, count: int) -> list[Report]:
    found: list[Report] = []
    async with asyncio.timeout(DEADLINE_S):
        async for report in orders.reports():
            found.append(report)
            if len(found) == count:
                break
    return found


async def test_a_placed_order_is_what_the_gateway_says() -> None:
    """`place` sends exact decimals and a client_order_id of its own, and returns the accepted order."""
    async with ordering(_accepts) as (there, orders):
        placed = await orders.place("EUR/RUB", Side.BUY, Decimal("1E-18"), Decimal("87.10"))
    kind, asked = there.asked[0]

    assert (there.paths, there.owners) == (["/ws?mode=extended"], [CLIENT_ID])
    assert (kind, asked["instrument"], asked["side"]) == (3, "EUR/RUB", 1)
    assert (asked["amount"], asked["price"], asked["type"]) == ("0.000000000000000001", "87.10", "limit")
    assert placed.client_order_id == asked["client_order_id"] is not None
    assert (placed.order_id, placed.status, placed.amount) == (ORDER_ID, Status.ACTIVE, Decimal(10))
    assert (placed.creation_time, placed.kind, placed.avg_price) == (1, Kind.LIMIT, None)


async def test_an_unanswered_place_is_sent_again_under_the_same_name() -> None:
    """A connection that ends before the answer costs nothing: the order is sent again, as the same one."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        if connection == 0:
            there.cut()
        else:
            await _accepts(kind, message, there, connection)

    async with ordering(behave) as (there, orders):
        placed = await orders.place("eurrub", "buy", 10, 87)
    names = [message["client_order_id"] for _, message in there.asked]

    assert len(names) == 2
    assert {placed.client_order_id, *names} == {names[0]}


async def test_reports_come_once_and_in_order_over_reconnections() -> None:
    """Reports that a new connection repeats are left out; those that happened meanwhile come first."""
    async with ordering(_silent) as (there, orders):
        await until(lambda: there.connections)
        for seq in (1, 2, 3):
            await there.report(seq)
        first = await _next(orders, 2)
        there.cut()
        await until(lambda: len(there.connections) == 2)
        for seq in (2, 3, 4, 5):
            await there.report(seq)
        rest = await _next(orders, 3)

    assert [report.seq for report in first + rest] == [1, 2, 3, 4, 5]


async def test_a_refusal_is_an_error_with_its_code() -> None:
    """ErrorInfo raises OrderError with code, reason and the name of the order."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        await there.say(2, code="no_market", reason="no fresh quote", request_id=message["request_id"])

    async with ordering(behave) as (_, orders):
        with pytest.raises(OrderError, match="no fresh quote") as refused:
            await orders.place("eurrub", "sell", "1", "1", client_order_id="mine")

    assert (refused.value.code, refused.value.reason) == ("no_market", "no fresh quote")
    assert refused.value.client_order_id == "mine"


@pytest.mark.parametrize("code", ["starting", "engine_unreachable"])
async def test_a_passing_refusal_is_next_retry(code: str) -> None:
    """What will pass by itself is asked again, and only the last answer counts."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        if len(there.asked) == 1:
            await there.say(2, code=code, reason="wait", request_id=message["request_id"])
        else:
            await there.say(5, orders=[listed()], request_id=message["request_id"])

    async with ordering(behave) as (there, orders):
        found = await orders.orders()

    assert [order.order_id for order in found] == [ORDER_ID]
    assert len(there.asked) == 2


async def test_silence_is_an_error_that_names_the_order() -> None:
    """A place without an answer says that its outcome is not known, and under which name to send it again."""
    async with ordering(_silent, timeout_s=0.05) as (there, orders):
        with pytest.raises(OrderError, match="not known whether it was done; place it again") as silent:
            await orders.place("eurrub", "buy", 1, 1)
        await until(lambda: there.asked)

    assert silent.value.code == "no_answer"
    assert silent.value.client_order_id == there.asked[0][1]["client_order_id"]


async def test_the_last_passing_refusal_is_told_when_the_time_is_over() -> None:
    """A gateway that never becomes ready is told with its own words, not as silence."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        await there.say(2, code="starting", reason="not yet", request_id=message["request_id"])

    async with ordering(behave, timeout_s=0.3) as (_, orders):
        with pytest.raises(OrderError, match="not yet"):
            await orders.orders()


@pytest.mark.parametrize(("status", "done"), [(Status.CANCELLED, True), (Status.FILLED, False)])
async def test_a_cancel_that_was_done_before_the_connection_ended_is_done(status: Status, done: bool) -> None:
    """A cancel that was sent again and finds its order cancelled has succeeded; if filled, not."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        request_id = message["request_id"]
        if connection == 0:
            there.cut()
        elif kind == 4:
            await there.say(2, code="not_active", reason="it is over", request_id=request_id)
        else:
            await there.say(5, orders=[listed(status=int(status))], request_id=request_id)

    async with ordering(behave) as (_, orders):
        if done:
            assert (await orders.cancel(ORDER_ID)).status is Status.CANCELLED
        else:
            with pytest.raises(OrderError, match="it is over"):
                await orders.cancel(ORDER_ID)


async def test_a_cancel_of_what_is_over_is_refused() -> None:
    """Without a lost connection `not_active` is what it says, and nothing more is asked."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        await there.say(2, code="not_active", reason="it is cancelled", request_id=message["request_id"])

    async with ordering(behave) as (there, orders):
        with pytest.raises(OrderError, match="it is cancelled"):
            await orders.cancel(ORDER_ID)

    assert [kind for kind, _ in there.asked] == [4]


async def test_subscriptions_are_made_again_on_a_new_connection() -> None:
    """Quotes go on after a reconnection, newest only, under the name that was asked for."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        await there.say(1, subscription_id=SECOND_ID, request_id=message["request_id"])

    async def quote(there: Desk, bid: str | None) -> None:
        top = {"bid": bid, "offer": None, "min_amount": "0", "max_amount": None, "timestamp": 5}
        top |= {"source": "synthetic", "stale": bid is None}
        await there.say(4, subscription_id=SECOND_ID, instrument="EUR/RUB", quotes=[top])

    async with ordering(behave) as (there, orders):
        await orders.subscribe("EUR/RUB")
        quotes = orders.quotes()
        await quote(there, "86.99")
        first = await anext(quotes)
        there.cut()
        await until(lambda: len(there.asked) == 2)
        await quote(there, None)
        second = await anext(quotes)
        await orders.unsubscribe("EUR/RUB")
        await orders.unsubscribe("EUR/RUB")

    assert (first.instrument, first.bid, first.stale) == ("EUR/RUB", Decimal("86.99"), False)
    assert (second.bid, second.stale) == (None, True)
    assert [kind for kind, _ in there.asked] == [1, 1, 2]


async def test_a_frame_that_cannot_be_read_costs_that_frame_alone() -> None:
    """Nonsense, and messages of types yet unknown, are passed over."""

    async def behave(kind: int, message: dict[str, Any], there: Desk, connection: int) -> None:
        await there.connections[-1].send("nonsense")
        await there.say(99, anything=1)
        await there.say(5, orders=[], request_id=message["request_id"])

    async with ordering(behave) as (there, orders):
        found = await orders.orders()

    assert found == []
    assert len(there.connections) == 1


async def test_an_address_without_a_gateway_is_unreachable_at_once() -> None:
    """Entering raises, rather than trying for ever, where nobody listens, or no address is given."""
    for url, words in [
        ("http://127.0.0.1:1", "connection refused; is it running"),
        ("nowhere", "is not a URL"),
    ]:
        with pytest.raises(UnreachableError, match=words):
            async with OrderClient(url, client_id=CLIENT_ID):
                pass


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"code": "bad_parameter", "detail": "client_id must be a UUID."}', "client_id must be a UUID"),
        (b"<html>", "HTTP 400; is this a Crypto Stream"),
    ],
)
async def test_a_refused_connection_says_why(body: bytes, words: str) -> None:
    """The gateway's own sentence is told; a page of somebody else is not."""

    def refuse(_: ServerConnection, request: Request) -> Response:
        return Response(400, "Bad Request", Headers({"Content-Length": str(len(body))}), body)

    async def never(_: ServerConnection) -> None:
        raise AssertionError("nobody was let in")

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(UnreachableError, match=words):
            async with OrderClient(f"http://127.0.0.1:{port}", client_id=CLIENT_ID):
                pass


async def test_leaving_closes_and_hides_no_error() -> None:
    """The caller's own exception comes through as it is; connection and iterators end."""
    async with desk(_silent) as there:
        with pytest.raises(KeyError, match="mine"):
            async with OrderClient(there.url, client_id=CLIENT_ID) as orders:
                raise KeyError("mine")
        async with asyncio.timeout(DEADLINE_S):
            reports = [report async for report in orders.reports()]
            quotes = [quote async for quote in orders.quotes()]
        await until(lambda: all(each.state.name == "CLOSED" for each in there.connections))

    assert (reports, quotes, orders.connected) == ([], [], False)


def _report(seq: int) -> Report:
    return Report(
        seq=seq, exec_id="", exec_type=ExecType.NEW, time=1, order_id="", status=Status.ACTIVE,
        client_order_id=None, instrument="", side=Side.BUY, kind=Kind.LIMIT, time_in_force=TimeInForce.GTC,
        amount=Decimal(1), price=None, last_amount=None, last_price=None, cum_amount=Decimal(0),
        leaves_amount=Decimal(1), avg_price=None, source=None, reason=None, request_id=None,
    )  # fmt: skip


async def test_of_reports_that_nobody_reads_the_oldest_give_way() -> None:
    """Before the first reading a full queue forgets its oldest reports and holds nobody up."""
    queue = ReportQueue(size=3)
    for seq in range(5):
        await queue.put(_report(seq))
    queue.close()

    assert [report.seq async for report in queue] == [2, 3, 4]


async def test_reports_that_are_read_are_never_lost() -> None:
    """Once somebody reads, a full queue holds up who fills it, and every report arrives in order."""
    queue = ReportQueue(size=2)

    async def fill() -> None:
        for seq in range(20):
            await queue.put(_report(seq))
        queue.close()

    reader = aiter(queue)
    await queue.put(_report(-1))
    found = [(await anext(reader)).seq]
    async with asyncio.TaskGroup() as tasks:
        filling = tasks.create_task(fill())
        await asyncio.sleep(0)
        held_up = not filling.done()
        found += [report.seq async for report in reader]

    assert held_up
    assert found == list(range(-1, 20))


async def test_a_quote_that_nobody_took_gives_way_to_a_newer_one() -> None:
    """Only the newest quote of each instrument waits."""
    queue = QuoteQueue()
    for instrument, bid in [("a", 1), ("b", 2), ("a", 3)]:
        queue.put(
            MarketData(
                instrument=instrument,
                bid=Decimal(bid),
                offer=None,
                min_amount=None,
                max_amount=None,
                timestamp=1,
                source=None,
                stale=False,
            )
        )
    reader = aiter(queue)
    found = [await anext(reader), await anext(reader)]

    assert [(quote.instrument, quote.bid) for quote in found] == [("a", Decimal(3)), ("b", Decimal(2))]


def test_what_is_held_is_exact() -> None:
    """A position of many digits loses none of them."""
    position = Position(
        instrument="eurrub",
        bought_amount=Decimal("12345678901234567890.123456789012345678"),
        bought_value=Decimal(1),
        sold_amount=Decimal("0.000000000000000001"),
        sold_value=Decimal(1),
    )

    assert position.amount == Decimal("12345678901234567890.123456789012345677")
