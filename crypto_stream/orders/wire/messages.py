"""Parse the messages of order clients into typed requests. Pure; `replies` is the reverse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.market.orders import Kind, Outcome, Side, Ticket, TimeInForce
from crypto_stream.orders.wire import fields
from crypto_stream.orders.wire.fields import Find, Form, Number, RequestId, refused, shown


class Subscribe(NamedTuple):
    """Subscribe to the quotes of an instrument, which the client calls `form`."""

    symbol: str
    form: Form


class Unsubscribe(NamedTuple):
    """End a subscription."""

    subscription_id: str


class PlaceOrder(NamedTuple):
    """Place an order in an instrument, which the client calls `form`."""

    ticket: Ticket
    form: Form


class CancelOrder(NamedTuple):
    """Cancel an order."""

    order_id: str


class GetOrders(NamedTuple):
    """List the owner's orders."""


class GetTrades(NamedTuple):
    """List the owner's trades in one instrument (None: no trades), and its positions in all."""

    symbol: str | None = None
    form: Form | None = None


class Identify(NamedTuple):
    """Identify the owner of this connection's orders."""

    client_id: str


ClientRequest = Subscribe | Unsubscribe | PlaceOrder | CancelOrder | GetOrders | GetTrades | Identify


class ParsedRequest(NamedTuple):
    """One message: its request and request_id, and whether its keys are camelCase (None: undetermined)."""

    request: ClientRequest
    request_id: RequestId
    camel: bool | None


class InvalidMessageError(RefusedError):
    """An invalid message, with what could be read of it."""

    def __init__(
        self, code: str, reason: str, request_id: RequestId = None, camel: bool | None = None
    ) -> None:
        """Store a stable code and the reason, the request_id and the style of the keys."""
        super().__init__(code, reason)
        self.request_id = request_id
        self.camel = camel


class _DuplicateKeyError(ValueError):
    """A key is given twice in one object."""


class _Shape(NamedTuple):
    """The fields of a message, and those it may have only in the extended mode."""

    basic: frozenset[str]
    extended: frozenset[str]


def _shape(basic: str, extended: str = "") -> _Shape:
    return _Shape(frozenset(basic.split()), frozenset(f"request_id {extended}".split()))


_ORDERED = "type time_in_force client_order_id outcome"
_SHAPES = {
    "1": _shape("instrument"),
    "2": _shape("subscription_id"),
    "3": _shape("instrument side amount price", _ORDERED),
    "4": _shape("order_id"),
    "5": _shape(""),
    "6": _shape("", "instrument"),
    "7": _shape("", "client_id"),
}
_ONLY_EXTENDED = frozenset({"6", "7"})
_SIDES = {"1": Side.BUY, "2": Side.SELL, "buy": Side.BUY, "sell": Side.SELL}
_KINDS = {one.value: one for one in Kind}
_TIMES_IN_FORCE = {one.value: one for one in TimeInForce}
_OUTCOMES = {one.value: one for one in Outcome}


def camel_case(name: str) -> str:
    """Write a snake_case name in camelCase."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


_NAMES = {name for shape in _SHAPES.values() for name in shape.basic | shape.extended}
# Every spelling of a key: its field, and whether it is camelCase (None if both spellings are the same).
_SPELLINGS: dict[str, tuple[str, bool | None]] = {
    **{camel_case(name): (name, True) for name in _NAMES},
    **{name: (name, False if "_" in name else None) for name in _NAMES},
}


def read(text: str, find: Find, *, extended: bool) -> ParsedRequest:
    """Parse one message; raise InvalidMessageError, whose text names what is wrong, if it is invalid."""
    number, message = _envelope(_loaded(text), extended)
    given: dict[str, Any] = {}
    camel: bool | None = None
    request_id: RequestId = None
    try:
        for key, value in message.items():
            name, is_camel = _SPELLINGS.get(key, (key, None))
            camel = camel if is_camel is None else is_camel
            if name in given:
                raise refused(f"{name} is given twice, as {name} and {camel_case(name)}")
            given[name] = value
        if extended:
            request_id = fields.request_id(given.pop("request_id", None))
        _check_names(given, _SHAPES[number], extended)
        return ParsedRequest(_READERS[number](given, find), request_id, camel)
    except RefusedError as error:
        raise InvalidMessageError(error.code, str(error), request_id, camel) from None


def _loaded(text: str) -> Any:
    try:
        return _decoder.decode(text)
    except _DuplicateKeyError as error:
        raise InvalidMessageError("bad_message", str(error)) from None
    except json.JSONDecodeError as error:
        raise InvalidMessageError("bad_json", f"invalid JSON: {error.msg} (character {error.pos})") from None
    except ValueError as error:
        raise InvalidMessageError("bad_json", f"invalid JSON: {error}") from None
    except RecursionError:
        raise InvalidMessageError("bad_json", "the JSON is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _DuplicateKeyError(f"the key {shown(name)} is given twice")
            seen.add(name)
    return made


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Number, parse_int=Number, parse_constant=_no_number
)


def _envelope(value: Any, extended: bool) -> tuple[str, dict[str, Any]]:
    """Return the number of the message type, as text, and the message."""
    if not isinstance(value, dict):
        raise InvalidMessageError("bad_message", f"a message must be an object, not {shown(value)}")
    for key in value:
        if key not in {"messageType", "message_type", "message"}:
            raise InvalidMessageError(
                "bad_message", f"unknown key {shown(key)} besides messageType and message"
            )
    if "messageType" in value and "message_type" in value:
        raise InvalidMessageError(
            "bad_message", "messageType is given twice, as messageType and message_type"
        )
    for name in ("messageType", "message"):
        if name not in value and (name == "message" or "message_type" not in value):
            raise InvalidMessageError("bad_message", f"{name} is missing")
    number = value.get("messageType", value.get("message_type"))
    if not isinstance(number, Number):
        raise InvalidMessageError("bad_message", f"messageType must be an integer, not {shown(number)}")
    if number not in _SHAPES or (number in _ONLY_EXTENDED and not extended):
        known = [one for one in _SHAPES if extended or one not in _ONLY_EXTENDED]
        raise InvalidMessageError(
            "unknown_type", f"messageType {shown(number)} is not one of {', '.join(known)}"
        )
    message = value["message"]
    if not isinstance(message, dict):
        raise InvalidMessageError("bad_message", f"message must be an object, not {shown(message)}")
    return str(number), message


def _check_names(given: dict[str, Any], shape: _Shape, extended: bool) -> None:
    for name in given.keys() - shape.basic:
        if name not in shape.extended:
            allowed = sorted(shape.basic | shape.extended if extended else shape.basic)
            known = f"known: {', '.join(allowed)}" if allowed else "it has none"
            raise refused(f"{shown(name)} is not a field of this message; {known}")
        if not extended:
            raise refused(f"{name} is a field of the extended mode only: /ws?mode=extended")
        if given[name] is None:
            del given[name]


def _required(given: dict[str, Any], name: str) -> Any:
    if name not in given:
        raise refused(f"{name} is missing")
    return given[name]


def _subscribe(given: dict[str, Any], find: Find) -> ClientRequest:
    return Subscribe(*fields.instrument(_required(given, "instrument"), find))


def _unsubscribe(given: dict[str, Any], _find: Find) -> ClientRequest:
    return Unsubscribe(fields.uuid(_required(given, "subscription_id"), "subscription_id"))


def _place(given: dict[str, Any], find: Find) -> ClientRequest:
    symbol, form = fields.instrument(_required(given, "instrument"), find)
    side = fields.choice(_required(given, "side"), "side", _SIDES)
    amount = fields.decimal(_required(given, "amount"), "amount")
    kind = fields.choice(given["type"], "type", _KINDS) if "type" in given else Kind.LIMIT
    price = None
    if kind is Kind.LIMIT:
        price = fields.decimal(_required(given, "price"), "price")
    elif given.get("price") is not None:
        raise refused("price is not allowed for a market order")
    name = given.get("client_order_id")
    ticket = Ticket(
        symbol=symbol,
        side=side,
        amount=amount,
        price=price,
        kind=kind,
        time_in_force=_time_in_force(given, kind),
        client_order_id=None if name is None else fields.client_order_id(name),
        outcome=_outcome(given, kind),
    )
    return PlaceOrder(ticket, form)


def _time_in_force(given: dict[str, Any], kind: Kind) -> TimeInForce:
    """Parse it; a market order never rests."""
    if "time_in_force" not in given:
        return TimeInForce.GTC if kind is Kind.LIMIT else TimeInForce.IOC
    found = fields.choice(given["time_in_force"], "time_in_force", _TIMES_IN_FORCE)
    if kind is Kind.MARKET and found is TimeInForce.GTC:
        raise refused("time_in_force of a market order must be ioc or fok: it does not wait")
    return found


def _outcome(given: dict[str, Any], kind: Kind) -> Outcome | None:
    if "outcome" not in given:
        return None
    if kind is Kind.MARKET:
        raise refused("outcome is only for a limit order, which has a price to fill at")
    return fields.choice(given["outcome"], "outcome", _OUTCOMES)


def _cancel(given: dict[str, Any], _find: Find) -> ClientRequest:
    return CancelOrder(fields.uuid(_required(given, "order_id"), "order_id"))


def _get_orders(_given: dict[str, Any], _find: Find) -> ClientRequest:
    return GetOrders()


def _get_trades(given: dict[str, Any], find: Find) -> ClientRequest:
    return GetTrades(*fields.instrument(given["instrument"], find)) if "instrument" in given else GetTrades()


def _identify(given: dict[str, Any], _find: Find) -> ClientRequest:
    return Identify(fields.uuid(_required(given, "client_id"), "client_id"))


_READERS: dict[str, Callable[[dict[str, Any], Find], ClientRequest]] = {
    "1": _subscribe,
    "2": _unsubscribe,
    "3": _place,
    "4": _cancel,
    "5": _get_orders,
    "6": _get_trades,
    "7": _identify,
}
