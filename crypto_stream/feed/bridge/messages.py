"""The messages of the bridge protocol, as docs/bridges.md describes them. Pure.

A message is one line of JSON with a `type`. Unknown fields are ignored, so that later versions can add some.
"""

from __future__ import annotations

from typing import Annotated, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.decoding import VenueKey, VenueTime

PROTOCOL = 1
LINE_BYTES = 256 * 1024  # including its end
LINES_PER_S = 10_000
ANNOUNCEMENTS_PER_S = 100  # lists and statuses, each of which may concern all instruments
HEARTBEAT_S = 15

_Name = Annotated[str, Meta(min_length=1, max_length=40)]
_Id = Annotated[str, Meta(min_length=1, max_length=80)]
_Word = Annotated[str, Meta(max_length=80)]
_Reason = Annotated[str, Meta(max_length=300)]
_Level = tuple[str, str]  # price, size
_Side = Annotated[list[_Level], Meta(max_length=100)]
# Absent: unchanged; null: there is none.
_Number = str | None | UnsetType
_RequestNumber = Annotated[int, Meta(ge=0, le=2**53)]


class Hello(Struct, frozen=True, tag="hello"):
    """The first line: which protocol, which bridge (`bridge:name`), and of which venue."""

    protocol: int
    name: _Name
    venue: _Name
    token: Annotated[str, Meta(max_length=200)] = ""


class Entry(Struct, frozen=True):
    """An instrument as the venue lists it: the bridge's id of it, its base and quote, rules for orders.

    `status` is empty if it trades, else the venue's word.
    """

    id: _Id
    base: _Name
    quote: _Name
    status: _Word = ""
    tick: str | None = None
    lot: str | None = None
    min_amount: str | None = None
    min_notional: str | None = None
    max_amount: str | None = None
    max_notional: str | None = None


class Instruments(Struct, frozen=True, tag="instruments"):
    """The venue's list, or a part of it: it is complete, and applied, with a part that has no `more`."""

    instruments: Annotated[list[Entry], Meta(max_length=1_000)]
    more: bool = False


class Quote(Struct, frozen=True, tag="quote"):
    """The best bid and ask; `n` increases per instrument, if the venue numbers its updates."""

    instrument: _Id
    bid: _Number = UNSET
    bid_size: _Number = UNSET
    ask: _Number = UNSET
    ask_size: _Number = UNSET
    time: VenueTime | None = None
    n: VenueKey | None = None


class Levels(Struct, frozen=True, tag="levels"):
    """The first levels of the book, each complete and best first; the best are the bid and ask."""

    instrument: _Id
    bids: _Side
    asks: _Side
    time: VenueTime | None = None
    n: VenueKey | None = None


class Trade(Struct, frozen=True, tag="trade"):
    """One trade; `n` is the venue's number of it, if numbers increase per instrument."""

    instrument: _Id
    price: str
    size: str | None = None
    time: VenueTime | None = None
    n: VenueKey | None = None


class Day(Struct, frozen=True, tag="day"):
    """The figures of the last 24 hours."""

    instrument: _Id
    price: _Number = UNSET
    bid: _Number = UNSET
    bid_size: _Number = UNSET
    ask: _Number = UNSET
    ask_size: _Number = UNSET
    open: _Number = UNSET
    high: _Number = UNSET
    low: _Number = UNSET
    volume: _Number = UNSET
    time: VenueTime | None = None
    n: VenueKey | None = None


class Status(Struct, frozen=True, tag="status"):
    """The venue's `word` for why an instrument, or without one everything, does not trade; empty: it does."""

    word: _Word
    instrument: _Id | None = None


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    """The bridge is running, although it has nothing to say."""


class Ack(Struct, frozen=True, tag="ack"):
    """The bridge did what the request asked."""

    request: _RequestNumber


class Refused(Struct, frozen=True, tag="refused"):
    """The bridge cannot do what the request asked, for `instrument` or, without one, for all of them.

    `temporary`: it could later.
    """

    request: _RequestNumber
    reason: _Reason
    instrument: _Id | None = None
    temporary: bool = False


FromBridge = Hello | Instruments | Quote | Levels | Trade | Day | Status | Heartbeat | Ack | Refused


class Unknown(Struct, frozen=True):
    """A message of a type that this version does not know."""

    type: str


class Welcome(Struct, frozen=True, tag="welcome"):
    """The answer to `hello`: the limits that apply."""

    protocol: int
    server: str
    line_bytes: int
    lines_per_s: int
    heartbeat_s: int


class Subscribe(Struct, frozen=True, tag="subscribe"):
    """Send these topics of these instruments from now on; answer with the number of the `request`."""

    request: int
    instruments: list[str]
    topics: list[str]


class Unsubscribe(Struct, frozen=True, tag="unsubscribe"):
    """Stop sending these topics of these instruments; no answer is expected."""

    request: int
    instruments: list[str]
    topics: list[str]


class Dropped(Struct, frozen=True, tag="dropped"):
    """How many values of this connection were dropped so far, by reason or, if not newer, by channel."""

    counts: dict[str, int]


class Error(Struct, frozen=True, tag="error"):
    """What was wrong; `fatal`: the connection ends."""

    code: str
    reason: str
    fatal: bool


ToBridge = Welcome | Subscribe | Unsubscribe | Dropped | Error

_KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in get_args(FromBridge))
_decoder: msgspec.json.Decoder[FromBridge] = msgspec.json.Decoder(FromBridge)
_decode_type = msgspec.json.Decoder(Unknown).decode
_encode = msgspec.json.Encoder().encode


def decode(line: bytes) -> FromBridge | Unknown:
    """Parse one line; raise MalformedFrame, which says what is wrong with it."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            found = _decode_type(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MalformedFrame(f"not a message: {error}") from None
        if found.type in _KNOWN:
            raise MalformedFrame(f"{found.type}: {error}") from None
        return found


def encode(message: ToBridge) -> str:
    """Return a message's text, without the end of the line."""
    return _encode(message).decode()
