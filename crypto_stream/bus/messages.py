"""What crosses the bus. State goes engine → gateway, requests gateway → engine, each answered once.

Orders go their own way beside it (`orders`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crypto_stream.bus.orders import OrderCommands, OrderNews
from crypto_stream.market.bars import Bar, Gap
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus, Switch, Timeline


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag="snapshot"):
    """Everything a gateway must know: the first message of a connection, and again after it fell behind.

    `epoch` names the installation, `run` this run of the engine; `seq` grows over both. `reasons` says why a
    stale instrument is stale, by symbol. `rules` are those of orders, by source and symbol: an instrument's
    are those of the source of its quote.
    """

    epoch: str
    seq: int
    instruments: list[Instrument]
    quotes: Sequence[Quote]
    sources: list[SourceStatus]
    pin: str | None
    reasons: dict[str, str]
    rules: dict[str, dict[str, Rules]] = {}
    timeline: Timeline = Timeline(0)
    run: str = ""


class Quotes(msgspec.Struct, frozen=True, array_like=True, tag="quotes"):
    """Quotes that changed, newest only; `seq` is the newest of them. `reasons` only for those stale."""

    seq: int
    quotes: Sequence[Quote]
    reasons: dict[str, str] = {}


class OrderCounts(msgspec.Struct, frozen=True):
    """How many orders are active, and what happened in this life of the engine; `commit_s` in all.

    `waiting` are the bytes of news that wait for gateways, `cuts` the sessions cut because of that.
    """

    active: int
    placed: int
    filled: int
    cancelled: int
    rejected: int
    commits: int
    commit_s: float
    waiting: int = 0
    cuts: int = 0


class HistoryCounts(msgspec.Struct, frozen=True):
    """What became of trades and bars in this life of the engine, and how many bars wait for the disk now."""

    late_trades: int
    waiting: int
    lost: int


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="beat"):
    """The engine lives: each second, and at once when a source changes state. Lag is its loop's, in ms.

    `history_trouble` says why bars are not stored, `bars_trouble` whose trades make none, `orders_trouble`
    why no order is accepted, `clock_trouble` what is wrong with the machine's clock; None while all is well.
    `feed_troubles` are sentences on what the feed holds back.
    """

    time: int
    sources: list[SourceStatus]
    pin: str | None
    lag_ms: float
    history_trouble: str | None = None
    orders_trouble: str | None = None
    orders: OrderCounts | None = None
    history: HistoryCounts | None = None
    feed_troubles: list[str] = []
    bars_trouble: str | None = None
    clock_trouble: str | None = None


class Switched(msgspec.Struct, frozen=True, array_like=True, tag="switched"):
    """Instruments changed the source that serves them."""

    switch: Switch


class RulesChanged(msgspec.Struct, frozen=True, array_like=True, tag="rules"):
    """All that a source demands of orders now, by symbol."""

    source: str
    rules: dict[str, Rules]


class TopicUpdate(msgspec.Struct, frozen=True, array_like=True, tag="topic"):
    """The news of one key of a topic, in the topic's own form; a higher `version` is newer."""

    topic: str
    key: str
    version: int
    payload: msgspec.Raw


class LiveBars(msgspec.Struct, frozen=True):
    """Bars of a series that changed: those closed since the last message, and the open one.

    `previous` is the time of the bar before the first of them, None where that is not known: who has another
    one before it has missed something. `gap` tells since when no source is live. State as of `seq`.
    """

    epoch: str
    symbol: str
    interval: str
    seq: int
    previous: int | None
    bars: list[Bar]
    gap: Gap | None


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The answer to the request of the same id; either `value` or `code` and `reason`."""

    id: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")  # msgpack null
    code: str | None = None
    reason: str | None = None


class GetTopic(msgspec.Struct, frozen=True, array_like=True, tag="get_topic"):
    """Ask for the present state of one key of a topic; answered in the topic's own form."""

    topic: str
    key: str


class Watch(msgspec.Struct, frozen=True, array_like=True, tag="watch"):
    """Replace the keys, by topic, whose updates this gateway wants; answered with `Watched`.

    Said again every WATCH_AGAIN_S, and forgotten after WATCH_FORGOTTEN_S without.
    """

    keys: dict[str, list[str]]


class Watched(msgspec.Struct, frozen=True):
    """The present state of every key that is new to this gateway, and the keys that there are not."""

    now: list[TopicUpdate]
    unknown: list[tuple[str, str]]


class GetHistory(msgspec.Struct, frozen=True, array_like=True, tag="get_history"):
    """Ask for bars; `points` instead of `interval` picks the finest with at most so many. Answered with
    `HistoryPage`, refused with `bad_parameter`, `unknown_symbol` or `history_unavailable`.
    """

    symbol: str
    interval: str | None = None
    points: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: int | None = None


class HistoryPage(msgspec.Struct, frozen=True):
    """Bars and gaps of one range, oldest first, as of `seq`.

    `older` (with it as `to`) and `newer` (as `from`) fetch the next page where there is one.
    """

    symbol: str
    interval: str
    interval_ms: int
    epoch: str
    seq: int
    older: int | None
    newer: int | None
    bars: list[Bar]
    gaps: list[Gap]


class GetSparks(msgspec.Struct, frozen=True, array_like=True, tag="get_sparks"):
    """Ask for the last hour of every instrument; answered with `Sparks`."""


class Sparks(msgspec.Struct, frozen=True):
    """The last price of each minute of the last hour, oldest first, by symbol: [time, price].

    Minutes without a trade are left out; the newest one is still open.
    """

    epoch: str
    seq: int
    interval_ms: int
    sparks: dict[str, list[tuple[int, str]]]


class Pin(msgspec.Struct, frozen=True, array_like=True, tag="pin"):
    """Pin a source (`auto` unpins); answered with None, refused for an unknown source."""

    source: str


class GetOwners(msgspec.Struct, frozen=True, array_like=True, tag="get_owners"):
    """Ask for the 1,000 owners of orders with most active ones; answered with a list of `OwnerKept`."""


class RemoveOwner(msgspec.Struct, frozen=True, array_like=True, tag="remove_owner"):
    """Remove an owner with all its orders; answered with how many were active, or `unknown_owner`."""

    owner: str


Ask = GetTopic | Watch | GetHistory | GetSparks | Pin | GetOwners | RemoveOwner


class Request(msgspec.Struct, frozen=True, array_like=True, tag="request"):
    """One question of a gateway; `id` grows per connection; after `within_s` nobody waits for the answer."""

    id: int
    ask: Ask
    within_s: float = 5.0


ToGateway = Snapshot | Quotes | Beat | Switched | RulesChanged | TopicUpdate | Answer | OrderNews
ToEngine = Request | OrderCommands
