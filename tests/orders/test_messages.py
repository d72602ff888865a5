"""Parsing of clients' messages: what is accepted, what is refused, what is exact."""

from __future__ import annotations

import json
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.instruments import Catalogue, Instrument
from crypto_stream.market.orders import Kind, Side, Ticket, TimeInForce
from crypto_stream.orders.wire.fields import AFTER_POINT, BEFORE_POINT, NUMBERED, Form
from crypto_stream.orders.wire.messages import (
    CancelOrder,
    GetOrders,
    GetTrades,
    InvalidMessageError,
    ParsedRequest,
    PlaceOrder,
    Subscribe,
    Unsubscribe,
    camel_case,
    read,
)

ID = "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"
CATALOGUE = Catalogue(
    [
        Instrument("eurusd", "EUR", "USD", synthetic=True),
        Instrument("eurrub", "EUR", "RUB", synthetic=True),
        Instrument("btcusdt", "BTC", "USDT"),
    ]
)
CODES = {"bad_json", "bad_message", "unknown_type", "bad_field", "unknown_instrument"}


def parsed(text: str, *, extended: bool = False) -> ParsedRequest:
    """Parse one message."""
    return read(text, CATALOGUE.find, extended=extended)


def parsed_or_refused(text: str, *, extended: bool = False) -> ParsedRequest | InvalidMessageError:
    """Parse one message; return it or its refusal."""
    try:
        return parsed(text, extended=extended)
    except InvalidMessageError as refused:
        return refused


def refusal(text: str, *, extended: bool = False) -> InvalidMessageError:
    """Parse a message that is refused."""
    refused = parsed_or_refused(text, extended=extended)
    assert isinstance(refused, InvalidMessageError)
    return refused


def place(**fields: Any) -> str:
    """Return a PlaceOrder; `fields` replace its own."""
    message = {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "87", **fields}
    return json.dumps({"messageType": 3, "message": message})


@pytest.mark.parametrize(
    ("text", "ask"),
    [
        ('{"messageType": 1, "message": {"instrument": "EUR/RUB"}}', Subscribe("eurrub", "EUR/RUB")),
        ('{"message_type": 1, "message": {"instrument": 1}}', Subscribe("eurusd", 1)),
        (f'{{"messageType": 2, "message": {{"subscription_id": "{ID}"}}}}', Unsubscribe(ID)),
        (f'{{"messageType": 2, "message": {{"subscriptionId": "{ID.upper()}"}}}}', Unsubscribe(ID)),
        (
            '{"messageType": 3,'
            ' "message": {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "87"}}',
            PlaceOrder(Ticket("eurrub", Side.BUY, "10", "87"), "EUR/RUB"),
        ),
        (f'{{"messageType": 4, "message": {{"order_id": "{ID}"}}}}', CancelOrder(ID)),
        ('{"messageType": 5, "message": {}}', GetOrders()),
        ('{"message": {}, "messageType": 5}', GetOrders()),
    ],
)
def test_the_messages_of_the_exercise_are_read(text: str, ask: object) -> None:
    """All five, in both spellings of the envelope and of the keys."""
    assert parsed(text).request == ask


@pytest.mark.parametrize("number", sorted(NUMBERED))
def test_the_exercises_numbers_are_known_only_where_the_instrument_is(number: str) -> None:
    """3 is USD/RUB, which these sources do not carry."""
    text = f'{{"messageType":1,"message":{{"instrument":{number}}}}}'

    if NUMBERED[number] == "usdrub":
        assert refusal(text).code == "unknown_instrument"
    else:
        assert parsed(text).request == Subscribe(NUMBERED[number], int(number))


def test_the_style_is_that_of_the_last_key_that_shows_one() -> None:
    """Also if the message is refused; a key of one word shows none."""
    styles = [
        parsed(place()).camel,
        parsed(place(clientOrderId="a"), extended=True).camel,
        parsed(place(client_order_id="a"), extended=True).camel,
        parsed(place(client_order_id="a", timeInForce="gtc"), extended=True).camel,
        refusal(place(clientOrderId="")).camel,
        refusal('{"messageType":4,"message":{"order_id":1}}').camel,
        refusal("{}").camel,
    ]

    assert styles == [None, True, False, True, True, False, None]


def test_extended_fields_may_be_null() -> None:
    """Null means absent: many clients send all fields."""
    nothing = dict.fromkeys(("type", "time_in_force", "client_order_id", "outcome", "request_id"))

    assert parsed(place(**nothing), extended=True).request == parsed(place()).request
    assert parsed('{"messageType":6,"message":{"instrument":null}}', extended=True).request == GetTrades()


@pytest.mark.parametrize(
    ("fields", "kind", "time_in_force"),
    [
        ({}, Kind.LIMIT, TimeInForce.GTC),
        ({"type": "limit", "time_in_force": "FOK"}, Kind.LIMIT, TimeInForce.FOK),
        ({"type": "MARKET", "price": None}, Kind.MARKET, TimeInForce.IOC),
        ({"type": "market", "price": None, "timeInForce": "fok"}, Kind.MARKET, TimeInForce.FOK),
    ],
)
def test_limit_orders_rest_and_market_orders_do_not(
    fields: dict[str, Any], kind: Kind, time_in_force: TimeInForce
) -> None:
    """Unless the client specifies otherwise."""
    ask = parsed(place(**fields), extended=True).request

    assert isinstance(ask, PlaceOrder)
    assert (ask.ticket.kind, ask.ticket.time_in_force) == (kind, time_in_force)


NUMBERS = st.decimals(
    min_value=Decimal(1).scaleb(-AFTER_POINT),
    max_value=Decimal(10) ** BEFORE_POINT,
    places=AFTER_POINT,
).filter(lambda number: 0 < number < Decimal(10) ** BEFORE_POINT)


@given(number=NUMBERS, form=st.sampled_from(["plain", "quoted", "exponent", "zeros"]))
def test_every_way_to_write_a_number_comes_to_the_same_exact_text(number: Decimal, form: str) -> None:
    """No exponent, no superfluous zero, no digit lost."""
    plain = f"{number:f}"
    exponent = f"{number.scaleb(3, Context(prec=100)):f}e-3"  # 28 digits would not be enough
    written = {"plain": plain, "quoted": f'"{plain}"', "exponent": exponent, "zeros": f'"000{plain}"'}[form]

    ask = parsed(
        f'{{"messageType":3,"message":{{"instrument":2,"side":1,"amount":{written},"price":{written}}}}}'
    ).request

    assert isinstance(ask, PlaceOrder)
    text = ask.ticket.amount
    assert ask.ticket.price == text
    assert Decimal(text) == number
    assert text.strip("0123456789.") == ""
    assert not text.startswith("00")
    assert "." not in text or text[-1] not in "0."


@given(
    st.decimals(allow_nan=True, allow_infinity=True)
    | st.integers()
    | st.from_regex(r"[-+ ]?[0-9]{0,30}\.?[0-9]{0,30}([eE][-+]?[0-9]{0,6})?", fullmatch=True)
)
def test_no_number_is_ever_rounded(value: object) -> None:
    """Exact, above 0 and within the allowed digits, or refused with the field's name."""
    text = str(value)
    found = parsed_or_refused(place(amount=text))

    if isinstance(found, InvalidMessageError):
        assert found.code == "bad_field"
        assert "amount" in str(found)
        return
    ask = found.request
    assert isinstance(ask, PlaceOrder)
    assert Decimal(ask.ticket.amount) == Decimal(text) > 0
    whole, _, part = ask.ticket.amount.partition(".")
    assert len(whole) <= BEFORE_POINT
    assert len(part) <= AFTER_POINT


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *("instrument", "side", "amount", "price", "order_id", "subscription_id", "type", "time_in_force"),
        *("client_order_id", "outcome", "request_id", "x"),
    ]
)
MESSAGES = st.builds(
    lambda key, number, message, more: json.dumps({key: number, "message": message, **more}),
    st.sampled_from(["messageType", "message_type", "x"]),
    st.integers(-1, 8) | ANYTHING,
    st.dictionaries(
        NAMES | NAMES.map(camel_case),
        ANYTHING | st.sampled_from(["EUR/RUB", 2, "10", "87.5", ID, "buy", "limit"]),
        max_size=7,
    )
    | ANYTHING,
    st.just({}) | st.dictionaries(st.text(max_size=5), ANYTHING, max_size=1),
)


@given(MESSAGES | st.text(max_size=100), st.booleans())
def test_every_text_is_parsed_or_refused(text: str, extended: bool) -> None:
    """Nothing else ever happens, and a parsed message can be sent on the bus and to any client."""
    found = parsed_or_refused(text, extended=extended)

    if isinstance(found, InvalidMessageError):
        assert found.code in CODES
        assert 0 < len(str(found).encode()) < 400
        assert extended or found.request_id is None
        return
    for part in found.request:
        if isinstance(part, Ticket):
            part.symbol.encode()
            assert Decimal(part.amount) > 0
        elif isinstance(part, Form):
            assert not isinstance(part, bool)
            str(part).encode()
    json.dumps(found.request_id).encode()


@given(st.text(alphabet='{}[]",:0123456789.eE-+ tfn\\u', max_size=60))
def test_text_that_looks_like_json_breaks_nothing(text: str) -> None:
    """It is JSON exactly if it is JSON for the standard library."""
    found = parsed_or_refused(text)

    assert (isinstance(found, InvalidMessageError) and found.code == "bad_json") == (not _is_json(text))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
