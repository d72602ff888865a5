"""What crosses the bus. State goes engine → gateway, requests gateway → engine, each answered once."""

from __future__ import annotations

import msgspec

from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus, Switch, Venues


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Everything a gateway must know: the first message of a connection, and again after it fell behind.

    `epoch` is one life of the engine; `reasons` says why a stale instrument is stale, by symbol.
    """

    epoch: str
    seq: int
    instruments: list[Instrument]
    quotes: list[Quote]
    sources: list[SourceStatus]
    pin: str | None
    reasons: dict[str, str]


class Quotes(msgspec.Struct, frozen=True, tag="quotes"):
    """Quotes that changed, newest only; `seq` is the newest of them. `reasons` only for those stale."""

    seq: int
    quotes: list[Quote]
    reasons: dict[str, str] = {}


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The engine lives: each second, and at once when a source changes state. Lag is its loop's, in ms."""

    time: int
    sources: list[SourceStatus]
    pin: str | None
    lag_ms: float


class Switched(msgspec.Struct, frozen=True, tag="switched"):
    """Instruments changed the source that serves them."""

    switch: Switch


class VenuesChanged(msgspec.Struct, frozen=True, tag="venues"):
    """The per-source quotes of a watched instrument."""

    venues: Venues


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """The answer to the request of the same id; either `value` or `code` and `reason`."""

    id: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")  # msgpack null
    code: str | None = None
    reason: str | None = None


class GetVenues(msgspec.Struct, frozen=True, tag="get_venues"):
    """Ask for the per-source quotes of one instrument; answered with `Venues`."""

    symbol: str


class WatchVenues(msgspec.Struct, frozen=True, tag="watch_venues"):
    """Replace the set of instruments whose `VenuesChanged` this gateway wants; answered with None."""

    symbols: list[str]


class Pin(msgspec.Struct, frozen=True, tag="pin"):
    """Pin a source (`auto` unpins); answered with None, refused for an unknown source."""

    source: str


class Metrics(msgspec.Struct, frozen=True, tag="metrics"):
    """What one of several gateways counts, for the others to show too; answered with None.

    `families` is opaque to the engine and at most MOST_METRICS long; of one gateway the newest `taken_ns`
    (its monotonic clock) is kept while it is connected.
    """

    gateway: str
    taken_ns: int
    families: bytes


class GetMetrics(msgspec.Struct, frozen=True, tag="get_metrics"):
    """Ask for what every connected gateway counts; answered with a list of `Metrics`."""


Ask = GetVenues | WatchVenues | Pin | Metrics | GetMetrics


class Request(msgspec.Struct, frozen=True, tag="request"):
    """One question of a gateway; `id` grows per connection."""

    id: int
    ask: Ask


ToGateway = Snapshot | Quotes | Beat | Switched | VenuesChanged | Answer
ToEngine = Request
