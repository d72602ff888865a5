"""The interface of handler modules: how to subscribe to one venue's data, and how to read it.

A handler is a module of the `handlers` package (or of a folder named in the settings); its file name is its
name. It never opens a connection, waits, retries or logs. There are three kinds, by what the module defines.

A venue, read over WebSockets:

    LIMITS = Limits(...)                              # optional: the venue's limits
    DEPTH = True                                      # optional: its Reader gives books: the topic "depth"
    URLS = ["wss://host:port", ...]                   # tried in order; a setting overrides them
    REST_URL = "https://host"                         # optional
    def venue_id(pair: Instrument) -> str | None      # the venue's id; None: known only from its list
    def pair_of(venue_id) -> tuple[str, str] | None   # the reverse; None if it is not a spot pair
    async def opening(http, options) -> Opening       # optional: path, headers, greeting; may fetch a token
    class Reader:                                     # one for each connection; may have state
        def __init__(self, instruments: Mapping[str, Instrument])      # by the venue's id
        def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]
        def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]        # optional
        def read(self, frame: bytes) -> Iterable[Event]                # ValueError: malformed
    async def instruments(http) -> list[Listed]       # optional: listed pairs, rules for orders
    async def candles(http, venue_id, interval) -> list[Bar]           # optional: older bars, "1m" and "1h"
    async def volumes(http) -> dict[str, str]         # optional: 24 h volumes in the quote currency, by id

A venue, polled over REST:

    EVERY_S = 5.0                                     # seconds from one round to the next
    async def poll(http, instruments) -> list[Event]  # `instruments` by the venue's id
    # and REST_URL, venue_id, instruments, candles, volumes as above

A generator (the synthetic source):

    INSTRUMENTS = [Instrument, ...]                   # what it carries; venues carry the configured pairs
    RULES = {symbol: Rules, ...}                      # optional: its rules for orders
    async def events(running, instruments) -> AsyncGenerator[Event]

Each may define OPTIONS = {"name": "default", ...}, settings of its own (`CRYPTO_STREAM_<HANDLER>_<NAME>`),
and `check_options(options)`, which raises ValueError for a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import msgspec

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.decoding import (
    BarSeconds,
    BarTime,
    Places,
    VenueKey,
    VenueList,
    VenueTime,
    best,
    exact,
    exact_price,
    gunzip,
    microseconds,
    nanoseconds,
    read_each,
    reading,
    step,
)
from crypto_stream.feed.venue_events import (
    TOPICS,
    Acked,
    Event,
    Ignored,
    InstrumentStatus,
    Listed,
    ListReceived,
    Moving,
    Pong,
    Refused,
    Reply,
    Resync,
    Topic,
    VenueStatus,
)
from crypto_stream.market.bars import Bar
from crypto_stream.market.events import ARRIVAL, Trade, Update
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.ladder import DepthChange, Level
from crypto_stream.market.orders import Rules

__all__ = [
    "ARRIVAL",
    "MAX_FRAME_BYTES",
    "TOPICS",
    "UNREADABLE",
    "Acked",
    "Bar",
    "BarSeconds",
    "BarTime",
    "Budget",
    "DepthChange",
    "Event",
    "Ignored",
    "Instrument",
    "InstrumentStatus",
    "Keepalive",
    "Level",
    "Limits",
    "ListReceived",
    "Listed",
    "MalformedFrame",
    "Moving",
    "Opening",
    "Places",
    "Pong",
    "Refused",
    "Reply",
    "Request",
    "Resync",
    "Rules",
    "Running",
    "Topic",
    "Trade",
    "Update",
    "VenueKey",
    "VenueList",
    "VenueStatus",
    "VenueTime",
    "Wanted",
    "best",
    "by_topic",
    "exact",
    "exact_price",
    "gunzip",
    "microseconds",
    "nanoseconds",
    "read_each",
    "reading",
    "step",
]

# The highest `frame_bytes` that a handler may set.
MAX_FRAME_BYTES = 16 * 1024 * 1024

# What a reader may raise for a frame that it cannot read; anything else is a bug in the handler.
UNREADABLE = (MalformedFrame, msgspec.DecodeError, ValueError, OverflowError, ArithmeticError, RecursionError)


class Wanted(NamedTuple):
    """One topic of one instrument; `id` is what the venue calls the instrument."""

    id: str
    instrument: Instrument
    topic: Topic


def by_topic(wanted: Sequence[Wanted], names: Mapping[Topic, str]) -> list[tuple[Wanted, str]]:
    """Return what is wanted of the topics in `names`, in their order, each with the name of its topic."""
    return [(each, name) for topic, name in names.items() for each in wanted if each.topic == topic]


class Request(NamedTuple):
    """One message to send, and what it requests; its acknowledgements will name the `keys`.

    Without keys no answer is expected.
    """

    text: str
    keys: tuple[str, ...] = ()
    wanted: tuple[Wanted, ...] = ()


class Keepalive(NamedTuple):
    """Send `text` after `every_s` without any frame; None sends a WebSocket ping frame instead.

    `always`: also while frames arrive. `text` may be a function that creates a new text each time.
    """

    text: str | Callable[[], str] | None
    every_s: float
    always: bool = False


class Budget(NamedTuple):
    """At most so many in any `seconds`."""

    most: int
    seconds: float


class Limits(NamedTuple):
    """A venue's limits.

    At most `instruments` per connection, and `connections` per source; one request per `pace_s`, and no more
    than `requests` of each connection, of at most `request_bytes`; frames of at most `frame_bytes`;
    connections last at most `max_age_s`; `attempts` to connect, over all hosts of the venue. At most `books`
    at once, on one connection.
    """

    instruments: int | None = None
    connections: int = 1
    pace_s: float = 0.25
    requests: Budget | None = None
    request_bytes: int = 4_000
    frame_bytes: int = 1024 * 1024
    max_age_s: float | None = None
    attempts: Budget = Budget(60, 60.0)
    keepalive: Keepalive = Keepalive(None, 20.0)
    books: int | None = None

    @property
    def max_instruments(self) -> int | None:
        """The number of instruments on all connections together; None if unlimited."""
        return None if self.instruments is None else self.instruments * self.connections


class Opening(NamedTuple):
    """How a connection begins: `path` on the host, `headers` of the handshake, a `greeting` to send first.

    `is_welcomed`: the venue speaks first; nothing is sent before its first frame has come, or two seconds.
    """

    path: str
    headers: Mapping[str, str] = MappingProxyType({})
    greeting: Sequence[str] = ()
    is_welcomed: bool = False


class Reading(Protocol):
    """A handler's `Reader`, one for each connection. It does no I/O."""

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Return the requests that subscribe to what is wanted."""

    def read(self, frame: bytes) -> Iterable[Event]:
        """Read one frame; raise ValueError, or msgspec's DecodeError, if it cannot be read."""


class Running(Protocol):
    """What `events()` may use of its session."""

    @property
    def options(self) -> Mapping[str, str]:
        """The handler's own settings."""

    @property
    def seed(self) -> int | None:
        """The seed of all randomness; None for a different run each time."""

    def last_price(self, symbol: str, /) -> str | None:
        """Return this source's last price, from before a restart too; None if there is none."""

    def now_ms(self) -> int:
        """Return the time by the engine's clock, in ms since the epoch; it may go backwards."""
