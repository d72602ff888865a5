"""The protocol on the wire: real gateways, real sockets, both servers."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from websockets.asyncio.client import connect

from crypto_stream.bus.orders import (
    Attach,
    Cancel,
    Detach,
    Failed,
    ListOrders,
    ListTrades,
    OrdersListed,
    Place,
    Received,
    Reported,
    TradesListed,
)
from crypto_stream.market.orders import (
    ExecType,
    Kind,
    Outcome,
    Position,
    Side,
    Status,
    Ticket,
    TimeInForce,
)
from tests.gateway.engine import Engine
from tests.gateway.order_sessions.trader import (
    ORDER_ID,
    OWNER,
    PLACE,
    Trader,
    asked,
    attached,
    next_asked,
    order,
    report,
    trading,
)
from tests.gateway.process import Gateway
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_example_order_is_placed_and_reported_byte_for_byte(trader: Trader, engine: Engine) -> None:
    """The engine gets exactly this ticket; the plain report has exactly two fields."""
    await trader.send(PLACE)
    gateway, place = await next_asked(engine, Place)
    engine.send_orders(gateway, Reported(place.session, place.ref, report(order(place), 1)))

    assert place.ticket == Ticket("eurrub", Side.BUY, "10", "87")
    expected = f'{{"messageType":3,"message":{{"order_id":"{ORDER_ID}","order_status":1}}}}'
    assert await trader.raw() == expected


async def test_the_example_subscription_is_confirmed_and_brings_the_quote(
    trader: Trader, engine: Engine
) -> None:
    """SuccessInfo with a UUID, then the first update, in the client's spelling and without extra fields."""
    await trader.send('{"messageType": 1, "message": {"instrument": "EUR/RUB"}}')
    confirmed, update = await trader.got(), await trader.got()

    identity = confirmed["message"]["subscription_id"]
    assert confirmed == {"messageType": 1, "message": {"subscription_id": identity}}
    assert str(uuid.UUID(identity)) == identity
    [quote] = update["message"].pop("quotes")
    assert update == {"messageType": 4, "message": {"subscription_id": identity, "instrument": "EUR/RUB"}}
    timestamp = quote.pop("timestamp")
    newest = engine.quotes["eurrub"]
    assert quote == {"bid": newest.bid, "offer": newest.ask, "min_amount": "0", "max_amount": newest.ask_size}
    assert isinstance(timestamp, int)


async def test_the_example_unsubscription_and_cancel_are_understood(trader: Trader, engine: Engine) -> None:
    """The ids are unknown: ErrorInfo says so, once from the gateway and once from the engine."""
    unknown = await trader.answer(
        '{"messageType": 2, "message": {"subscription_id": "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"}}'
    )
    await trader.send('{"messageType": 4, "message": {"order_id": "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"}}')
    gateway, cancel = await next_asked(engine, Cancel)
    engine.send_orders(gateway, Failed(cancel.session, cancel.ref, "unknown_order", "no such order"))

    assert unknown["messageType"] == 2
    assert unknown["message"].keys() == {"reason"}
    assert "subscription_id" in unknown["message"]["reason"]
    assert cancel.order_id == ORDER_ID
    assert await trader.got() == {"messageType": 2, "message": {"reason": "no such order"}}


@pytest.mark.parametrize(
    ("instrument", "symbol"),
    [
        ("EUR/RUB", "eurrub"),
        ("eurrub", "eurrub"),
        ("EUR-RUB", "eurrub"),
        (1, "eurusd"),
        (2, "eurrub"),
        (3, "usdrub"),
        ("btcusdt", "btcusdt"),
        ("BTC/USDT", "btcusdt"),
        ("ticker_00", "ticker_00"),
    ],
)
async def test_an_instrument_is_spelled_as_the_client_spelled_it(
    trader: Trader, engine: Engine, instrument: Any, symbol: str
) -> None:
    """As name, symbol or number, in updates and in lists."""
    await trader.tell(1, instrument=instrument)
    update = await trader.until(4)
    await trader.tell(3, instrument=instrument, side=2, amount=1, price=2)
    gateway, place = await next_asked(engine, Place)
    await trader.tell(5)
    _, wanted = await next_asked(engine, ListOrders)
    engine.send_orders(gateway, OrdersListed(wanted.session, wanted.ref, [order(place)]))
    listed = await trader.until(5)

    assert place.ticket == Ticket(symbol, Side.SELL, "1", "2")
    assert update["instrument"] == instrument
    assert listed["orders"][0]["instrument"] == instrument


async def test_an_earlier_order_is_listed_under_the_instruments_display_name(
    trader: Trader, engine: Engine
) -> None:
    """A client that just reconnected has not yet spelled it; the list has the protocol's fields."""
    await trader.tell(5)
    gateway, wanted = await next_asked(engine, ListOrders)
    tickets = [Ticket(symbol, Side.SELL, "10", "87.5") for symbol in ("eurrub", "ticker_00")]
    orders = [order(Place(1, 1, ticket), created_ms=5) for ticket in tickets]
    engine.send_orders(gateway, OrdersListed(wanted.session, wanted.ref, orders))
    listed = await trader.until(5)

    assert listed.keys() == {"orders"}
    assert [one["instrument"] for one in listed["orders"]] == ["EUR/RUB", "ticker_00"]
    assert listed["orders"][0] == {
        "creation_time": 5,
        "change_time": orders[0].changed_ms,
        "status": 1,
        "side": 2,
        "price": "87.5",
        "amount": "10",
        "instrument": "EUR/RUB",
        "order_id": ORDER_ID,
    }


@pytest.mark.parametrize("envelope", ["messageType", "message_type"])
async def test_answers_follow_the_style_the_client_wrote_last(
    trader: Trader, engine: Engine, envelope: str
) -> None:
    """snake_case until a key in camelCase comes, and back; the envelope stays messageType."""

    async def refused(key: str) -> dict[str, Any]:
        return await trader.answer(json.dumps({envelope: 4, "message": {key: "x"}}))

    async def subscribed() -> set[str]:
        await trader.send(json.dumps({envelope: 1, "message": {"instrument": 2}}))
        message = await trader.until(1)
        [identity] = message.values()
        await trader.tell(2, **{next(iter(message)): identity})
        ended = await trader.until(1)
        assert ended == message
        return set(message)

    styles = [await subscribed()]
    for key in ("orderId", "order_id"):
        answer = await refused(key)
        assert answer["messageType"] == 2
        styles.append(await subscribed())

    assert styles == [{"subscription_id"}, {"subscriptionId"}, {"subscription_id"}]


async def test_a_running_subscription_changes_its_style_too(trader: Trader, engine: Engine) -> None:
    """The next update is written as the client now writes."""
    await trader.tell(1, instrument="EUR/RUB")
    await trader.until(4)
    await trader.tell(4, orderId=ORDER_ID)
    await next_asked(engine, Cancel)

    engine.change("eurrub", bid="86.99")
    update = await trader.until(4)

    assert update.keys() == {"subscriptionId", "instrument", "quotes"}
    assert update["quotes"][0].keys() == {"bid", "offer", "minAmount", "maxAmount", "timestamp"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"10"', "10"),
        ("10", "10"),
        ("10.50", "10.5"),
        ('"10.000"', "10"),
        ("0.1", "0.1"),
        ("1e-8", "0.00000001"),
        ("1E+3", "1000"),
        ('"00012.300"', "12.3"),
        ("0.100000000000000005", "0.100000000000000005"),
        ('"99999999999999999999.999999999999999999"', "99999999999999999999.999999999999999999"),
        ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
    ],
)
async def test_decimals_are_exact_texts_or_numbers(
    trader: Trader, engine: Engine, written: str, read: str
) -> None:
    """No binary float in between: whatever the notation, the engine gets the canonical one."""
    numbers = f'"amount":{written},"price":{written}'
    await trader.send(f'{{"messageType":3,"message":{{"instrument":2,"side":1,{numbers}}}}}')
    _, place = await next_asked(engine, Place)

    assert (place.ticket.amount, place.ticket.price) == (read, read)


async def test_plain_clients_get_only_the_last_fill(trader: Trader, engine: Engine) -> None:
    """A partial fill is not reported, but it is acknowledged to the engine with the next report."""
    await trader.send(PLACE)
    gateway, place = await next_asked(engine, Place)
    part = order(place, cum_amount="4", cum_value="348")
    whole = order(place, cum_amount="10", cum_value="870", status=Status.FILLED)
    traded = {"last_amount": "4", "last_price": "87", "source": "synthetic"}
    engine.send_orders(
        gateway,
        Reported(place.session, place.ref, report(order(place), 1)),
        Reported(place.session, 0, report(part, 2, ExecType.TRADE, **traded)),
        Reported(place.session, 0, report(whole, 3, ExecType.TRADE, **traded)),
    )

    assert [(await trader.until(3))["order_status"] for _ in range(2)] == [1, 2]
    await until(lambda: [one.seq for _, one in asked(engine, Received)] == [3])


async def test_extended_mode_reports_every_field_and_echoes_the_request_id(
    extended: Trader, engine: Engine
) -> None:
    """Every field of an ExecutionReport, null where there is none; amount = cum + leaves in all of them."""
    fields = {"type": "limit", "time_in_force": "fok", "client_order_id": "mine 1", "outcome": "fill"}
    await extended.tell(3, instrument=2, side="buy", amount="10", price="87", request_id="r1", **fields)
    gateway, place = await next_asked(engine, Place)
    part = order(place, cum_amount="3", cum_value="260.9")
    told = report(part, 2, ExecType.TRADE, last_amount="3", last_price="86.9667", source="synthetic")
    engine.send_orders(
        gateway,
        Reported(place.session, place.ref, report(order(place), 1)),
        Reported(place.session, 0, told),
    )
    first, second = await extended.until(3), await extended.until(3)

    assert place.ticket == Ticket(
        *("eurrub", Side.BUY, "10", "87", Kind.LIMIT, TimeInForce.FOK, "mine 1", Outcome.FILL)
    )
    assert first == {
        "order_id": ORDER_ID,
        "order_status": 1,
        "client_order_id": "mine 1",
        "exec_id": "exec-1",
        "exec_type": "new",
        "instrument": 2,
        "side": 1,
        "type": "limit",
        "time_in_force": "fok",
        "amount": "10",
        "price": "87",
        "last_amount": None,
        "last_price": None,
        "cum_amount": "0",
        "leaves_amount": "10",
        "avg_price": None,
        "source": None,
        "reason": None,
        "time": first["time"],
        "seq": 1,
        "store": "",
        "request_id": "r1",
    }
    assert second == {
        **first,
        "exec_id": "exec-2",
        "exec_type": "trade",
        "last_amount": "3",
        "last_price": "86.9667",
        "cum_amount": "3",
        "leaves_amount": "7",
        "avg_price": "86.966666666666666667",
        "source": "synthetic",
        "time": told.time,
        "seq": 2,
        "request_id": None,
    }


async def test_market_orders_need_no_price_and_never_rest(extended: Trader, engine: Engine) -> None:
    """Without a time_in_force it is ioc."""
    await extended.tell(3, instrument=2, side="SELL", amount=1, type="market", price=None, clientOrderId=None)
    _, place = await next_asked(engine, Place)

    assert place.ticket == Ticket("eurrub", Side.SELL, "1", None, Kind.MARKET, TimeInForce.IOC)


async def test_every_answer_of_the_extended_mode_carries_the_request_id(
    extended: Trader, engine: Engine
) -> None:
    """SuccessInfo, ErrorInfo with its code, OrdersList and TradesList; in camelCase if the client uses it."""
    await extended.tell(1, instrument=2, requestId=7)
    success, update = await extended.until(1), await extended.until(4)
    await extended.tell(1, instrument=2, request_id=8)
    error = await extended.until(2)
    await extended.tell(5, request_id=9)
    gateway, listing = await next_asked(engine, ListOrders)
    made = order(Place(1, 1, Ticket("eurrub", Side.BUY, "10", "87")), cum_amount="4", cum_value="348")
    engine.send_orders(gateway, OrdersListed(listing.session, listing.ref, [made]))
    listed = await extended.until(5)
    await extended.tell(6, instrument="EUR/RUB", requestId="t")
    gateway, wanted = await next_asked(engine, ListTrades)
    trade = report(made, 2, ExecType.TRADE, last_amount="4", last_price="87", source="synthetic")
    positions = [Position("eurrub", "4", "348", "0", "0"), Position("btcusdt", "0", "0", "1", "2")]
    engine.send_orders(gateway, TradesListed(wanted.session, wanted.ref, [trade], positions))
    trades = await extended.until(6)

    assert success == {"subscriptionId": update["subscriptionId"], "requestId": 7}
    assert update["quotes"][0].keys() >= {"source", "stale"}
    assert error == {"reason": error["reason"], "code": "already_subscribed", "request_id": 8}
    assert listed["request_id"] == 9
    assert (
        listed["orders"][0].items()
        >= {
            "type": "limit",
            "time_in_force": "gtc",
            "client_order_id": None,
            "cum_amount": "4",
            "leaves_amount": "6",
            "avg_price": "87",
        }.items()
    )
    assert wanted.symbol == "eurrub"
    held = ("instrument", "boughtAmount", "boughtValue", "soldAmount", "soldValue")
    assert trades == {
        "instrument": "EUR/RUB",
        "trades": [
            {
                "execId": "exec-2",
                "orderId": ORDER_ID,
                "side": 1,
                "amount": "4",
                "price": "87",
                "time": trade.time,
                "source": "synthetic",
                "seq": 2,
            }
        ],
        "positions": [
            dict(zip(held, ("EUR/RUB", "4", "348", "0", "0"), strict=True)),
            dict(zip(held, ("BTC/USDT", "0", "0", "1", "2"), strict=True)),
        ],
        "requestId": "t",
    }


async def test_get_trades_without_an_instrument_returns_only_positions(
    extended: Trader, engine: Engine
) -> None:
    """GetTrades {} asks for no trades."""
    await extended.tell(6)
    gateway, wanted = await next_asked(engine, ListTrades)
    engine.send_orders(gateway, TradesListed(wanted.session, wanted.ref, [], []))

    assert wanted.symbol is None
    assert await extended.until(6) == {"instrument": None, "trades": [], "positions": [], "request_id": None}


async def test_the_handshake_identifies_the_owner(engine: Engine, gateway: Gateway) -> None:
    """client_id is the owner, in lower case; without it each connection gets a new anonymous owner."""
    engine.commands.clear()
    owner = "0B8F7C1E-3d51-4c37-9a59-6f7f0c6a1b11"
    async with (
        trading(gateway.url, f"client_id={owner}", path="/ws/"),
        trading(gateway.url) as first,
        trading(gateway.url),
    ):
        await attached(engine, 3)
        await first.tell(5)
        await next_asked(engine, ListOrders)
    attaches = sorted((one for _, one in asked(engine, Attach)), key=lambda one: one.session)

    assert attaches[0].owner == owner.lower()
    assert [one.anonymous for one in attaches] == [False, True, True]
    assert len({str(uuid.UUID(one.owner)) for one in attaches}) == 3
    assert len({one.session for one in attaches}) == 3


async def test_an_ordinary_request_is_refused_with_426(gateway: Gateway) -> None:
    """426 and a problem, with and without the slash; a page for browsers."""
    answers = [await gateway.http.get(path) for path in ("/ws", "/ws/", "/ws?client_id=nonsense")]
    page = await gateway.http.get("/ws", headers={"Accept": "text/html"})
    posted = await gateway.http.post("/ws")

    for one in answers:
        assert (one.status_code, one.json()["code"]) == (426, "websocket_only")
        assert one.headers["Content-Type"] == "application/problem+json"
        assert one.headers["Upgrade"] == "websocket"
    assert (page.status_code, page.headers["Content-Type"]) == (426, "text/html; charset=utf-8")
    assert posted.status_code == 405


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/ws?client_id=nonsense", {}, 400, "bad_parameter"),
        ("/ws?client_id=", {}, 400, "bad_parameter"),
        (f"/ws?client_id={ORDER_ID}&client_id={ORDER_ID}", {}, 400, "bad_parameter"),
        (f"/ws/?client_id={{{ORDER_ID}}}", {}, 400, "bad_parameter"),
        ("/ws?mode=EXTENDED", {}, 400, "bad_parameter"),
        ("/ws?mode=", {}, 400, "bad_parameter"),
        ("/ws?mode=plain&mode=extended", {}, 400, "bad_parameter"),
        ("/ws", {"Origin": "http://evil.example"}, 403, "origin_not_allowed"),
        ("/ws", {"Sec-WebSocket-Version": "8"}, 400, "bad_handshake"),
        ("/ws", {"Sec-WebSocket-Key": "short"}, 400, "bad_handshake"),
        ("/ws", {"Connection": "close"}, 426, "websocket_only"),
    ],
)
async def test_a_refused_handshake_is_a_problem_that_says_why(
    gateway: Gateway, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    """And the connection leaves nothing behind."""
    before = await gateway.metric("crypto_stream_order_sessions")

    answer = await gateway.http.get(path, headers={**HANDSHAKE, **headers})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await gateway.metric("crypto_stream_order_sessions") == before


async def test_our_own_pages_and_parameters_of_others_are_let_in(gateway: Gateway, engine: Engine) -> None:
    """The same rule as for Socket.IO; unknown query parameters are ignored."""
    host = gateway.url.removeprefix("http://")
    engine.commands.clear()
    answer = await gateway.http.get("/ws?token=x", headers={**HANDSHAKE, "Host": host, "Origin": gateway.url})
    await next_asked(engine, Detach)  # nothing of it comes into the next test

    assert answer.status_code == 101


def _attached_as(engine: Engine, trader: Trader) -> list[tuple[str, bool]]:
    ours = [one for _, one in asked(engine, Attach) if one.session == trader.session]
    return [(one.owner, one.anonymous) for one in ours]


async def test_an_owner_may_be_given_in_a_header_or_in_the_first_message(
    engine: Engine, gateway: Gateway
) -> None:
    """Either way the engine knows it before the first command; giving it twice is refused."""
    engine.commands.clear()
    say = f'{{"messageType": 7, "message": {{"client_id": "{OWNER}"}}}}'
    async with trading(gateway.url, "mode=extended") as browser:
        await browser.attached(engine)
        said = await browser.answer(say)
        again = await browser.answer(say)
        await until(lambda: len(_attached_as(engine, browser)) > 1)
        first = _attached_as(engine, browser)
    engine.commands.clear()
    async with connect(
        f"{gateway.url.replace('http', 'ws')}/ws?mode=extended", additional_headers={"X-Client-Id": OWNER}
    ) as connection:
        _, attach = await attached(engine)
        await connection.send(say)
        twice = json.loads(await connection.recv())

    assert said == {"messageType": 7, "message": {"request_id": None}}
    assert first[1:] == [(OWNER, False)]
    assert first[0][1]
    assert (again["message"]["code"], twice["message"]["code"]) == ("bad_message", "bad_message")
    assert (attach.owner, attach.anonymous) == (OWNER, False)


async def test_only_the_first_message_may_identify_the_owner(engine: Engine, extended: Trader) -> None:
    """Later it is refused, because earlier messages were handled for another owner."""
    await extended.answer("{}")
    late = await extended.answer(f'{{"messageType": 7, "message": {{"client_id": "{OWNER}"}}}}')

    assert late["message"]["code"] == "bad_message"
    assert "first message" in late["message"]["reason"]
