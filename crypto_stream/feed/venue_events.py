"""What handlers report besides prices: answers to requests, losses, statuses, lists of instruments. Pure."""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple

import msgspec

from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.ladder import DepthChange
from crypto_stream.market.orders import Rules

# The best bid and ask; trades; the 24 h figures; the book.
Topic = Literal["top", "trades", "day", "depth"]
# Those that every connection for prices subscribes to. The book has a connection of its own.
TOPICS: tuple[Topic, ...] = ("top", "trades", "day")


class Acked(msgspec.Struct, frozen=True, gc=False):
    """The venue accepted what `key` names (a request id or a topic)."""

    channel: ClassVar[str] = "ack"
    key: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The venue refused what `key` names (empty: it named nothing), `instrument` if that is known.

    `temporary`: it would accept the same request later (rate limit, busy).
    """

    channel: ClassVar[str] = "refused"
    key: str
    reason: str
    instrument: Instrument | None = None
    temporary: bool = False


class Reply(msgspec.Struct, frozen=True, gc=False):
    """The venue sent a request itself (an application-level ping): send `text` at once."""

    channel: ClassVar[str] = "reply"
    text: str


class Resync(msgspec.Struct, frozen=True, gc=False):
    """Data of one topic was lost, for `reason`: resubscribe to it."""

    channel: ClassVar[str] = "resync"
    instrument: Instrument
    topic: Topic
    reason: str


class Moving(msgspec.Struct, frozen=True, gc=False):
    """The venue announced that it will close this connection: move to a new one first."""

    channel: ClassVar[str] = "moving"
    reason: str


class InstrumentStatus(msgspec.Struct, frozen=True, gc=False):
    """The venue's own `word` for why an instrument does not trade (`HALT`); empty: it trades again."""

    channel: ClassVar[str] = "status"
    instrument: Instrument
    word: str


class VenueStatus(msgspec.Struct, frozen=True, gc=False):
    """The venue's own `word` for why nothing trades there (`maintenance`); empty: it trades again."""

    channel: ClassVar[str] = "venue status"
    word: str


class Pong(msgspec.Struct, frozen=True, gc=False):
    """The venue answered our ping; does not count as data."""

    channel: ClassVar[str] = "pong"


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A frame that is not used; counted by its channel."""

    channel: str


class Listed(NamedTuple):
    """How a venue lists one pair: its id, its base and quote, aliases resolved (XBT is BTC).

    `state` is "" if it trades, else the venue's word (`HALT`), None if the list does not say. `rules` are as
    the venue writes them; an empty number or 0 means no rule.
    """

    id: str
    base: str
    quote: str
    state: str | None = ""
    rules: Rules = Rules()


class ListReceived(msgspec.Struct, frozen=True, gc=False):
    """The venue's complete list of instruments arrived over the connection itself."""

    channel: ClassVar[str] = "instruments"
    listed: tuple[Listed, ...]


Event = (
    Update
    | Trade
    | DepthChange
    | Acked
    | Refused
    | Reply
    | Resync
    | Moving
    | InstrumentStatus
    | VenueStatus
    | ListReceived
    | Pong
    | Ignored
)
