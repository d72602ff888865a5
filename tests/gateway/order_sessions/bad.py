"""Bad messages: text, the code of the refusal, and a word of its reason (the field, or what is wrong)."""

from __future__ import annotations

from tests.gateway.order_sessions.trader import ORDER_ID

_GOOD = {"instrument": '"EUR/RUB"', "side": "1", "amount": '"10"', "price": '"87"'}


def place(**changed: str | None) -> str:
    """Write PlaceOrder with fields as JSON; None leaves one out."""
    fields = {name: text for name, text in {**_GOOD, **changed}.items() if text is not None}
    return f'{{"messageType":3,"message":{{{",".join(_written(fields))}}}}}'


def _written(fields: dict[str, str]) -> list[str]:
    return [f'"{name}":{text}' for name, text in fields.items()]


def message(number: str, inner: str) -> str:
    """Write a message of any type and content."""
    return f'{{"messageType":{number},"message":{inner}}}'


NO_JSON = [
    ("", "bad_json", "JSON"),
    (" ", "bad_json", "JSON"),
    ("hello", "bad_json", "JSON"),
    ("{", "bad_json", "JSON"),
    ("{'messageType': 1}", "bad_json", "JSON"),
    ('{"messageType":5,"message":{}', "bad_json", "JSON"),
    ('{"messageType":5,"message":{}},', "bad_json", "JSON"),
    ('{"messageType":5,"message":{}}{}', "bad_json", "JSON"),
    ('{"messageType":5,"message":{},}', "bad_json", "JSON"),
    ('\ufeff{"messageType":5,"message":{}}', "bad_json", "JSON"),
    ('{"messageType":05,"message":{}}', "bad_json", "JSON"),
    ('{"messageType":0x5,"message":{}}', "bad_json", "JSON"),
    ('{"messageType":5,"message":{"\t":1}}', "bad_json", "JSON"),
    (place(price="NaN"), "bad_json", "NaN"),
    (place(price="Infinity"), "bad_json", "Infinity"),
    (place(amount="-Infinity"), "bad_json", "Infinity"),
    (place(price=".5"), "bad_json", "JSON"),
    (place(price="5."), "bad_json", "JSON"),
    (place(price="+5"), "bad_json", "JSON"),
    (place(price="1_0"), "bad_json", "JSON"),
    ("[" * 60_000, "bad_json", "nested"),
    ('{"a":' * 10_000, "bad_json", "nested"),
    (message("5", "{}").replace("}", "") + '"' * 3, "bad_json", "JSON"),
]
NO_MESSAGE = [
    ("null", "bad_message", "object"),
    ("true", "bad_message", "object"),
    ("5", "bad_message", "object"),
    ('"5"', "bad_message", "object"),
    ("[]", "bad_message", "object"),
    ("{}", "bad_message", "messageType"),
    ('{"message":{}}', "bad_message", "messageType"),
    ('{"messageType":5}', "bad_message", "message is missing"),
    ('{"message_type":5}', "bad_message", "message is missing"),
    ('{"messageType":5,"message":null}', "bad_message", "message must be"),
    ('{"messageType":5,"message":[]}', "bad_message", "message must be"),
    ('{"messageType":5,"message":"{}"}', "bad_message", "message must be"),
    ('{"messageType":5,"message_type":5,"message":{}}', "bad_message", "twice"),
    ('{"messageType":5,"messageType":5,"message":{}}', "bad_message", "messageType"),
    ('{"messageType":5,"message":{},"message":{}}', "bad_message", "message"),
    ('{"messageType":5,"message":{},"id":1}', "bad_message", "id"),
    ('{"MessageType":5,"message":{}}', "bad_message", "MessageType"),
    ('{"messageType":null,"message":{}}', "bad_message", "messageType"),
    ('{"messageType":"5","message":{}}', "bad_message", "messageType"),
    ('{"messageType":true,"message":{}}', "bad_message", "messageType"),
    ('{"messageType":[5],"message":{}}', "bad_message", "messageType"),
    ('{"messageType":0,"message":{}}', "unknown_type", "messageType 0"),
    ('{"messageType":-1,"message":{}}', "unknown_type", "messageType -1"),
    ('{"messageType":8,"message":{}}', "unknown_type", "messageType 8"),
    ('{"messageType":5.0,"message":{}}', "unknown_type", "messageType 5.0"),
    ('{"messageType":1e400,"message":{}}', "unknown_type", "messageType 1e400"),
    (message("9" * 5_000, "{}"), "unknown_type", "messageType 999"),
]
NO_FIELDS = [
    (message("1", "{}"), "bad_field", "instrument is missing"),
    (message("1", '{"instrument":null}'), "bad_field", "instrument"),
    (message("1", '{"instrument":true}'), "bad_field", "instrument"),
    (message("1", '{"instrument":["EUR/RUB"]}'), "bad_field", "instrument"),
    (message("1", '{"instrument":""}'), "unknown_instrument", "instrument"),
    (message("1", '{"instrument":"DOGE/RUB"}'), "unknown_instrument", "DOGE/RUB"),
    (message("1", '{"instrument":4}'), "unknown_instrument", "instrument 4"),
    (message("1", '{"instrument":2.0}'), "unknown_instrument", "instrument 2.0"),
    (message("1", '{"instrument":-2}'), "unknown_instrument", "instrument -2"),
    (message("1", '{"instrument":"2"}'), "unknown_instrument", "instrument"),
    (message("1", '{"instrument":"\\ud800"}'), "unknown_instrument", "instrument"),
    (message("1", f'{{"instrument":"eurrub{"-" * 1000}"}}'), "unknown_instrument", "instrument"),
    (message("1", '{"instrument":2,"symbol":2}'), "bad_field", "symbol"),
    (message("1", '{"Instrument":2}'), "bad_field", "Instrument"),
    (message("1", '{"instrument":2,"instrument":2}'), "bad_message", "instrument"),
    (message("2", "{}"), "bad_field", "subscription_id is missing"),
    (message("2", '{"subscription_id":null}'), "bad_field", "subscription_id"),
    (message("2", '{"subscription_id":5}'), "bad_field", "subscription_id"),
    (message("2", '{"subscription_id":"x"}'), "bad_field", "subscription_id"),
    (message("2", f'{{"subscription_id":"{{{ORDER_ID}}}"}}'), "bad_field", "subscription_id"),
    (message("2", f'{{"subscription_id":"{ORDER_ID.replace("-", "")}"}}'), "bad_field", "subscription_id"),
    (message("2", f'{{"subscription_id":"{ORDER_ID}"}}'), "unknown_subscription", "subscription_id"),
    (
        message("2", f'{{"subscription_id":"{ORDER_ID}","subscriptionId":"{ORDER_ID}"}}'),
        "bad_field",
        "subscription_id is given twice",
    ),
    (message("4", "{}"), "bad_field", "order_id is missing"),
    (message("4", '{"order_id":12345}'), "bad_field", "order_id"),
    (message("4", '{"order_id":"12345"}'), "bad_field", "order_id"),
    (message("4", '{"order_id":{}}'), "bad_field", "order_id"),
    (message("4", f'{{"orderID":"{ORDER_ID}"}}'), "bad_field", "orderID"),
    (message("5", '{"order_id":1}'), "bad_field", "order_id"),
    (message("6", '{"instrument":"nope"}'), "unknown_instrument", "instrument"),
    (message("5", '{"request_id":1.5}'), "bad_field", "request_id"),
    (message("5", '{"request_id":true}'), "bad_field", "request_id"),
    (message("5", '{"request_id":{}}'), "bad_field", "request_id"),
    (message("5", '{"request_id":""}'), "bad_field", "request_id"),
    (message("5", f'{{"request_id":"{"x" * 65}"}}'), "bad_field", "request_id"),
    (message("5", '{"request_id":"\\ud800"}'), "bad_field", "request_id"),
    (message("5", '{"request_id":"a\\u0000"}'), "bad_field", "request_id"),
    (message("5", '{"request_id":9007199254740993}'), "bad_field", "request_id"),
    (message("5", f'{{"request_id":{"9" * 5_000}}}'), "bad_field", "request_id"),
]
NO_ORDER = [
    (place(instrument=None), "bad_field", "instrument is missing"),
    (place(side=None), "bad_field", "side is missing"),
    (place(amount=None), "bad_field", "amount is missing"),
    (place(price=None), "bad_field", "price is missing"),
    (place(side="0"), "bad_field", "side"),
    (place(side="3"), "bad_field", "side"),
    (place(side="1.0"), "bad_field", "side"),
    (place(side='"1"'), "bad_field", "side"),
    (place(side='"hold"'), "bad_field", "side"),
    (place(side="true"), "bad_field", "side"),
    (place(side="null"), "bad_field", "side"),
    (place(side="[1]"), "bad_field", "side"),
    (place(amount="0"), "bad_field", "amount"),
    (place(amount='"0.000"'), "bad_field", "amount"),
    (place(amount="-1"), "bad_field", "amount"),
    (place(amount="-0"), "bad_field", "amount"),
    (place(amount="true"), "bad_field", "amount"),
    (place(amount="null"), "bad_field", "amount"),
    (place(amount='""'), "bad_field", "amount"),
    (place(amount='"ten"'), "bad_field", "amount"),
    (place(amount='" 10"'), "bad_field", "amount"),
    (place(amount='"1,5"'), "bad_field", "amount"),
    (place(amount='"1_0"'), "bad_field", "amount"),
    (place(amount='"+1"'), "bad_field", "amount"),
    (place(amount='"0x10"'), "bad_field", "amount"),
    (place(amount='"NaN"'), "bad_field", "amount"),
    (place(amount='"Infinity"'), "bad_field", "amount"),
    (place(amount='"٣"'), "bad_field", "amount"),
    (place(amount='"10\\n"'), "bad_field", "amount"),
    (place(amount="{}"), "bad_field", "amount"),
    (place(amount='["10"]'), "bad_field", "amount"),
    (place(amount="1e400"), "bad_field", "amount"),
    (place(amount="1e-400"), "bad_field", "amount"),
    (place(amount="1e99999999999999999999"), "bad_field", "amount"),
    (place(amount="100000000000000000000"), "bad_field", "20 digits"),
    (place(price="0.1234567890123456789"), "bad_field", "price"),
    (place(price="9" * 5_000), "bad_field", "price"),
    (place(price="0." + "1" * 5_000), "bad_field", "price"),
    (place(price='"87 RUB"'), "bad_field", "price"),
    (place(price="false"), "bad_field", "price"),
    (place(stop='"80"'), "bad_field", "stop"),
    (place(order_id=f'"{ORDER_ID}"'), "bad_field", "order_id"),
    (place(type='"stop"'), "bad_field", "type"),
    (place(type="1"), "bad_field", "type"),
    (place(type='"market"'), "bad_field", "price"),
    (place(type='"market"', price=None, time_in_force='"gtc"'), "bad_field", "time_in_force"),
    (place(type='"market"', price=None, outcome='"fill"'), "bad_field", "outcome"),
    (place(time_in_force='"day"'), "bad_field", "time_in_force"),
    (place(time_in_force='"ioc"', timeInForce='"ioc"'), "bad_field", "time_in_force"),
    (place(outcome='"win"'), "bad_field", "outcome"),
    (place(client_order_id='""'), "bad_field", "client_order_id"),
    (place(client_order_id="7"), "bad_field", "client_order_id"),
    (place(client_order_id=f'"{"x" * 65}"'), "bad_field", "client_order_id"),
    (place(client_order_id='"ü"'), "bad_field", "client_order_id"),
    (place(client_order_id='"a\\u0007"'), "bad_field", "client_order_id"),
    (place(client_order_id="{}"), "bad_field", "client_order_id"),
]
BAD = [*NO_JSON, *NO_MESSAGE, *NO_FIELDS, *NO_ORDER]

# Good in the extended mode, refused in the plain one.
ONLY_EXTENDED = [
    (place(type='"limit"'), "type"),
    (place(time_in_force='"ioc"'), "time_in_force"),
    (place(clientOrderId='"mine"'), "client_order_id"),
    (place(outcome='"rest"'), "outcome"),
    (message("5", '{"request_id":1}'), "request_id"),
    (message("6", "{}"), "messageType 6"),
]
