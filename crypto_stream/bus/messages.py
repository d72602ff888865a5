"""The messages of the bus: state (engine → gateway), and requests (gateway → engine), each answered once.

Messages about orders are in `orders`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crypto_stream.bus.orders import OrderCommands, OrderMessages
from crypto_stream.market.bars import Bar, Gap
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus, Switch, Timeline


class Snapshot(msgspec.Struct, frozen=True, array_like=True, tag="snapshot"):
    """The complete state: the first message of a connection, repeated after a gateway has fallen behind.

    `epoch` identifies the data directory and `run` this run of the engine; `seq` increases over restarts,
    too. `reasons` says why stale instruments are stale, by symbol. `rules` for orders are by source and
    symbol; the source of an instrument's quote determines which apply.
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
    """The newest quotes that changed; `seq` is the highest of them, `reasons` say why some are stale."""

    seq: int
    quotes: Sequence[Quote]
    reasons: dict[str, str] = {}


class InstrumentsChanged(msgspec.Struct, frozen=True, array_like=True, tag="instruments"):
    """Instruments were added and removed (by symbol); the first quotes of the added ones follow."""

    added: list[Instrument]
    removed: list[str]


class OrderCounts(msgspec.Struct, frozen=True):
    """The number of active orders, and totals since the engine was started.

    `commit_s` is the total duration of `commits`, `waiting` the bytes of order messages queued for gateways,
    and `cuts` the number of sessions ended because their queue was too long.
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
    """Late trades and lost bars since the engine was started, and bars waiting to be written."""

    late_trades: int
    waiting: int
    lost: int


class Beat(msgspec.Struct, frozen=True, array_like=True, tag="beat"):
    """The engine's heartbeat, each second and whenever a source changes state; `lag_ms` is its event loop's.

    Sentences about problems, None if there are none: `history_trouble` says why bars are not stored,
    `bars_trouble` which instruments' trades cannot be made into bars, `orders_trouble` why orders are not
    accepted, `clock_trouble` what is wrong with the machine's clock, `feed_troubles` which sources are held
    back. `followers` is how many engines could take over, None if that is unknown or none can.
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
    followers: int | None = None


class Switched(msgspec.Struct, frozen=True, array_like=True, tag="switched"):
    """Instruments switched from one source to another."""

    switch: Switch


class RulesChanged(msgspec.Struct, frozen=True, array_like=True, tag="rules"):
    """All rules of a source for orders, by symbol."""

    source: str
    rules: dict[str, Rules]


class TopicUpdate(msgspec.Struct, frozen=True, array_like=True, tag="topic"):
    """The changes of a topic's key, in the topic's own format; a higher `version` is newer."""

    topic: str
    key: str
    version: int
    payload: msgspec.Raw


class LiveBars(msgspec.Struct, frozen=True):
    """The bars of a series that changed: those closed since the last message, and the open one, as of `seq`.

    `previous` is the time of the bar before the first of them, None if unknown; a receiver whose last bar is
    another one has missed something. `gap` is the current gap, if no source is live.
    """

    epoch: str
    symbol: str
    interval: str
    seq: int
    previous: int | None
    bars: list[Bar]
    gap: Gap | None


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The answer to the request with the same id: `value`, or `code` and `reason` of a refusal."""

    id: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")  # msgpack null
    code: str | None = None
    reason: str | None = None


class GetTopic(msgspec.Struct, frozen=True, array_like=True, tag="get_topic"):
    """Get the current state of a topic's key; answered in the topic's own format."""

    topic: str
    key: str


class Watch(msgspec.Struct, frozen=True, array_like=True, tag="watch"):
    """Replace the keys, by topic, that this gateway watches; answered with `Watched`.

    To be repeated every WATCH_REFRESH_S; expires after WATCH_EXPIRES_S.
    """

    keys: dict[str, list[str]]


class Watched(msgspec.Struct, frozen=True):
    """The current state of all keys that the gateway did not watch before, and the keys that do not exist.

    For the keys in `no_room` there was no room, so they are not watched; the next request may find some.
    If there is `more`, the request had too many new keys for one answer: it is to be repeated at once.
    """

    now: list[TopicUpdate]
    unknown: list[tuple[str, str]]
    no_room: list[tuple[str, str]] = []
    more: bool = False


class GetHistory(msgspec.Struct, frozen=True, array_like=True, tag="get_history"):
    """Get bars; answered with `HistoryPage`.

    With `points` instead of `interval`, the shortest interval that gives at most so many bars is chosen.
    Refused with `bad_parameter`, `unknown_symbol` or `history_unavailable`.
    """

    symbol: str
    interval: str | None = None
    points: int | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: int | None = None


class HistoryPage(msgspec.Struct, frozen=True):
    """Bars and gaps of a range, oldest first, as of `seq`.

    If there are further pages, they begin with `older` as `to` and with `newer` as `from`.
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
    """Get the sparklines of all instruments; answered with `Sparks`, by the engine as `SparkParts`."""


class Sparks(msgspec.Struct, frozen=True):
    """The closing prices of the last hour's minutes, oldest first, by symbol: [time, price].

    Minutes without a trade are omitted; the newest one is still open.
    """

    epoch: str
    seq: int
    interval_ms: int
    sparks: dict[str, list[tuple[int, str]]]


class SparkParts(msgspec.Struct, frozen=True):
    """`Sparks` with each line still encoded: neither end has to handle all of them in one piece."""

    epoch: str
    seq: int
    interval_ms: int
    sparks: dict[str, msgspec.Raw]


class Pin(msgspec.Struct, frozen=True, array_like=True, tag="pin"):
    """Pin a source (`auto` unpins); answered with None, refused if the source is unknown."""

    source: str


class ChangeInstruments(msgspec.Struct, frozen=True, array_like=True, tag="change_instruments"):
    """Remove instruments, then add pairs by name, pattern or `top:N`; answered with `ChangedInstruments`.

    Refused with `bad_parameter`, `unknown_instrument` or `no_list`, and then nothing has changed.
    """

    add: list[str]
    remove: list[str]


class ChangedInstruments(msgspec.Struct, frozen=True):
    """The symbols that were added and removed, and those that no venue has room for.

    What was there already is in neither.
    """

    added: list[str]
    removed: list[str]
    left_out: list[str] = []


class GetOwners(msgspec.Struct, frozen=True, array_like=True, tag="get_owners"):
    """Get the 1,000 owners with most active orders; answered with a list of `OwnerKept`."""


class RemoveOwner(msgspec.Struct, frozen=True, array_like=True, tag="remove_owner"):
    """Remove an owner with all its orders; answered with the number of active ones, or `unknown_owner`."""

    owner: str


RequestBody = GetTopic | Watch | GetHistory | GetSparks | Pin | ChangeInstruments | GetOwners | RemoveOwner


class BusRequest(msgspec.Struct, frozen=True, array_like=True, tag="request"):
    """A gateway's request; `id` increases per connection; after `within_s` the answer is no longer wanted."""

    id: int
    body: RequestBody
    within_s: float = 5.0


ToGateway = (
    Snapshot
    | Quotes
    | InstrumentsChanged
    | Beat
    | Switched
    | RulesChanged
    | TopicUpdate
    | Answer
    | OrderMessages
)
ToEngine = BusRequest | OrderCommands
