"""Encoding of the bus's messages as msgpack, the same for all implementations. No I/O here.

Messages and quotes are encoded as arrays, half the size of maps, so the order of their fields is part of the
protocol. Whenever that changes, VERSION must be incremented; it is sent with each message.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import asdict, astuple

from crypto_stream.bus.messages import (
    Answer,
    Beat,
    InstrumentsChanged,
    Quotes,
    RulesChanged,
    Snapshot,
    Switched,
    ToEngine,
    ToGateway,
    TopicUpdate,
)
from crypto_stream.bus.orders import OrderMessages
from crypto_stream.errors import BusError
from crypto_stream.market.quotes import Quote

VERSION = 2


class _Row(Quote, frozen=True, gc=False, array_like=True):
    """A quote as an array; `Quote` itself is encoded with field names, for JSON."""


class _Quotes(Quotes, frozen=True, array_like=True, tag="quotes", kw_only=True):
    quotes: list[_Row]


class _Snapshot(Snapshot, frozen=True, array_like=True, tag="snapshot", kw_only=True):
    quotes: list[_Row]


_COMPACT: dict[type, type[_Quotes | _Snapshot]] = {Quotes: _Quotes, Snapshot: _Snapshot}
_WHOLE: dict[type, type[Quotes | Snapshot]] = {_Quotes: Quotes, _Snapshot: Snapshot}
_encoder = msgspec.msgpack.Encoder()
_to_gateway = msgspec.msgpack.Decoder(
    _Quotes
    | _Snapshot
    | InstrumentsChanged
    | Beat
    | Switched
    | RulesChanged
    | TopicUpdate
    | Answer
    | OrderMessages
)
_to_engine = msgspec.msgpack.Decoder(ToEngine)


def encode_value(value: object) -> msgspec.Raw:
    """Encode the value of an answer or update."""
    return msgspec.Raw(_encoder.encode(value))


def encode(message: ToGateway | ToEngine) -> bytes:
    """Encode one message."""
    if isinstance(message, Quotes | Snapshot):
        rows = [_Row(*astuple(quote)) for quote in message.quotes]
        message = _COMPACT[type(message)](**{**asdict(message), "quotes": rows})
    return _encoder.encode(message)


def decode_to_gateway(body: bytes) -> ToGateway:
    """Decode a message from the engine; raise BusError if that is impossible."""
    try:
        message: ToGateway = _to_gateway.decode(body)
    except msgspec.MsgspecError as error:
        raise BusError(f"unreadable message from the engine: {error}") from None
    if isinstance(message, _Quotes | _Snapshot):
        quotes = [Quote(*astuple(row)) for row in message.quotes]
        return _WHOLE[type(message)](**{**asdict(message), "quotes": quotes})
    return message


def decode_to_engine(body: bytes) -> ToEngine:
    """Decode a message from a gateway; raise BusError if that is impossible."""
    try:
        message: ToEngine = _to_engine.decode(body)
    except msgspec.MsgspecError as error:
        raise BusError(f"unreadable message from a gateway: {error}") from None
    return message
