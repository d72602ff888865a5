"""Formatting of messages to clients."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.orders import ExecType, Order, Report, Rules, Side, Status, Ticket
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.wire.replies import Style, error, execution, orders_list, success, update_around

ID = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"
PLAIN, EXTENDED = Style(camel=False, extended=False), Style(camel=False, extended=True)
QUOTE = Quote(
    *("eurrub", "EUR", "RUB", "synthetic", "87", "86.99", "5", "87.01", "7"),
    *(None, None, None, None, None, None),
    *(1_000, 1_001, 1_002, 1),
    stale=False,
    synthetic=True,
)


def order(**changed: Any) -> Order:
    """Create an order to buy 10 at 87."""
    made = Order(ID, "owner", 1, Ticket("eurrub", Side.BUY, "10", "87"), 5, 6, changed_ms=7)
    return msgspec.structs.replace(made, **changed)


def same(symbol: str) -> str:
    """Use the symbol as every instrument's name."""
    return symbol


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("camel", [False, True])
def test_a_basic_report_has_two_fields(status: Status, camel: bool) -> None:
    """The order and its numeric status."""
    told = execution(Style(camel, False), Report(1, "x", ExecType.NEW, 7, order(status=status)), same)

    keys = ("orderId", "orderStatus") if camel else ("order_id", "order_status")
    assert json.loads(told or b"") == {
        "messageType": 3,
        "message": dict(zip(keys, (ID, status), strict=True)),
    }


@given(
    st.decimals(min_value="0.000000000000000001", max_value="9e19", places=18),
    st.decimals(min_value="0", max_value="1", places=6),
    st.decimals(min_value="0.01", max_value="1e9", places=8),
)
def test_traded_and_remaining_amount_add_up(amount: Decimal, part: Decimal, price: Decimal) -> None:
    """Exactly, and the average is value by amount, to 18 digits after the point."""
    with_room = Context(prec=500)
    done = with_room.quantize(with_room.multiply(amount, part), Decimal("1e-18"))
    value = with_room.multiply(done, price)
    made = order(
        ticket=Ticket("eurrub", Side.BUY, f"{amount:f}", "87"),
        cum_amount=f"{done:f}" if done else "0",
        cum_value=f"{value:f}",
    )
    told = json.loads(execution(EXTENDED, Report(1, "x", ExecType.TRADE, 7, made, "1", "1"), same) or b"")[
        "message"
    ]

    cum, leaves = Decimal(told["cum_amount"]), Decimal(told["leaves_amount"])
    assert with_room.add(cum, leaves) == amount
    assert (told["avg_price"] is None) == (not done)
    assert not {"e", "E"} & set("".join(str(told[name]) for name in ("cum_amount", "leaves_amount")))
    if done:
        off = with_room.subtract(with_room.multiply(Decimal(told["avg_price"]), done), value)
        assert with_room.abs(off) <= with_room.multiply(done, Decimal("1e-18"))


def test_a_partial_fill_is_sent_only_in_the_extended_mode() -> None:
    """The basic mode has no amounts; it reports the last fill."""
    part = Report(2, "x", ExecType.TRADE, 7, order(cum_amount="4", cum_value="348"), "4", "87", "synthetic")
    last = msgspec.structs.replace(part, order=order(status=Status.FILLED, cum_amount="10", cum_value="870"))

    assert execution(PLAIN, part, same) is None
    assert execution(PLAIN, last, same)
    assert execution(EXTENDED, part, same)


def test_codes_and_request_ids_belong_to_the_extended_mode() -> None:
    """A strict client of the basic mode would refuse them."""
    plain = [
        success(PLAIN, ID, "r"),
        error(PLAIN, "no_market", "why", "r"),
        orders_list(PLAIN, [], same, 1),
    ]
    extended = [
        success(EXTENDED, ID, "r"),
        error(EXTENDED, "no_market", "why"),
        orders_list(EXTENDED, [], same, 1),
    ]

    assert [json.loads(one)["message"] for one in plain] == [
        {"subscription_id": ID},
        {"reason": "why"},
        {"orders": []},
    ]
    assert [json.loads(one)["message"] for one in extended] == [
        {"subscription_id": ID, "request_id": "r"},
        {"reason": "why", "code": "no_market", "request_id": None},
        {"orders": [], "request_id": 1},
    ]


@pytest.mark.parametrize(
    ("changed", "rules", "top"),
    [
        ({}, Rules(lot="0.01"), ("86.99", "87.01", "0.01", "7", 1_000)),
        ({"ask_size": None}, Rules(), ("86.99", "87.01", "0", "5", 1_000)),
        ({"ask": None, "ask_size": None, "bid_size": None}, Rules(), ("86.99", None, "0", None, 1_000)),
        ({"stale": True}, Rules(lot="1"), (None, None, "1", None, 1_000)),
        ({"time": None}, Rules(), ("86.99", "87.01", "0", "7", 1_001)),
        ({"time": None, "received": None}, Rules(), ("86.99", "87.01", "0", "7", 1_002)),
    ],
)
def test_an_update_has_the_top_of_the_book_and_nothing_that_is_not_live(
    changed: dict[str, Any], rules: Rules, top: tuple[Any, ...]
) -> None:
    """Lot and displayed size if known; a stale quote has no price and no size."""
    before, behind = update_around(PLAIN, "EUR/RUB", msgspec.structs.replace(QUOTE, **changed), rules)

    names = ("bid", "offer", "min_amount", "max_amount", "timestamp")
    quote = dict(zip(names, top, strict=True))
    message = {"subscription_id": ID, "instrument": "EUR/RUB", "quotes": [quote]}
    assert json.loads(before + ID.encode() + behind) == {"messageType": 4, "message": message}


def test_an_update_says_in_the_extended_mode_where_the_quote_is_from() -> None:
    """And whether it is stale; without a quote the list is empty."""
    before, behind = update_around(EXTENDED, 2, QUOTE, Rules())
    nothing, of_it = update_around(EXTENDED, 2, None, Rules())

    [quote] = json.loads(before + behind)["message"]["quotes"]
    assert (quote["source"], quote["stale"]) == ("synthetic", False)
    assert json.loads(nothing + of_it)["message"]["quotes"] == []
