"""Messages of the bus as msgpack, and back; every bus carries these bytes. No I/O here.

Messages and their quotes are arrays, half the size of maps: the order of the fields is the protocol. Who
changes it raises VERSION, which every bus says beside each message.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import asdict, astuple

from crypto_stream.bus.messages import (
    Answer,
    Beat,
    Quotes,
    RulesChanged,
    Snapshot,
    Switched,
    ToEngine,
    ToGateway,
    TopicUpdate,
)
from crypto_stream.bus.orders import OrderNews
from crypto_stream.errors import BusError
from crypto_stream.market.quotes import Quote

VERSION = 1


class _Row(Quote, frozen=True, gc=False, array_like=True):
    """A quote without the names of its fields: `Quote` itself is JSON for people, with them."""


class _Quotes(Quotes, frozen=True, array_like=True, tag="quotes", kw_only=True):
    quotes: list[_Row]


class _Snapshot(Snapshot, frozen=True, array_like=True, tag="snapshot", kw_only=True):
    quotes: list[_Row]


_COMPACT: dict[type, type[_Quotes | _Snapshot]] = {Quotes: _Quotes, Snapshot: _Snapshot}
_WHOLE: dict[type, type[Quotes | Snapshot]] = {_Quotes: Quotes, _Snapshot: Snapshot}
_encoder = msgspec.msgpack.Encoder()
_to_gateway = msgspec.msgpack.Decoder(
    _Quotes | _Snapshot | Beat | Switched | RulesChanged | TopicUpdate | Answer | OrderNews
)
_to_engine = msgspec.msgpack.Decoder(ToEngine)


def encode_value(value: object) -> msgspec.Raw:
    """Encode an answer's value."""
    return msgspec.Raw(_encoder.encode(value))


def encode(message: ToGateway | ToEngine) -> bytes:
    """Encode one message."""
    if isinstance(message, Quotes | Snapshot):
        rows = [_Row(*astuple(quote)) for quote in message.quotes]
        message = _COMPACT[type(message)](**{**asdict(message), "quotes": rows})
    return _encoder.encode(message)


def decode_to_gateway(body: bytes) -> ToGateway:
    """Decode what the engine sent; BusError when it is no message."""
    try:
        message: ToGateway = _to_gateway.decode(body)
    except msgspec.MsgspecError as error:
        raise BusError(f"unreadable message from the engine: {error}") from None
    if isinstance(message, _Quotes | _Snapshot):
        quotes = [Quote(*astuple(row)) for row in message.quotes]
        return _WHOLE[type(message)](**{**asdict(message), "quotes": quotes})
    return message


def decode_to_engine(body: bytes) -> ToEngine:
    """Decode what a gateway sent; BusError when it is no message."""
    try:
        message: ToEngine = _to_engine.decode(body)
    except msgspec.MsgspecError as error:
        raise BusError(f"unreadable message from a gateway: {error}") from None
    return message
