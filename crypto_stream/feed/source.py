"""The source interface: what a handler module must, and may, define.

A handler is a module of the `handlers` package (or of a folder named in the settings); its file name is its
name. It says what to send and how to read. It never opens a connection and never keeps state.

A venue's module defines:

    URLS = ["wss://host:port", ...]      # scheme://host:port, tried in order; a setting replaces them
    REST_URL = "https://host"            # optional
    def url(base, instruments) -> str                 # the full address: the venue's path on `base`
    def subscribe(instruments) -> list[Request]       # what to send; the feed paces it, keeps the acks
    def unsubscribe(instruments) -> list[Request]
    def parse(frame: bytes) -> list[Event]            # raises MalformedFrame, nothing else; never empty
    async def instruments(http) -> dict[str, Listed]  # optional: listed symbols, and their rules of orders
    async def candles(http, instrument, interval) -> list[Bar]      # optional: "1m", "1h" of before we came

and, where the defaults below do not fit, BUSY, MAX_INSTRUMENTS, PACE_S, KEEPALIVE, MAX_AGE_S, CONNECTS.

A source that is no WebSocket venue defines instead (the synthetic generator):

    INSTRUMENTS = [Instrument, ...]      # what it carries; venues carry the configured pairs
    RULES = {symbol: Rules, ...}         # optional: what it demands of an order's numbers
    async def events(connection, instruments) -> AsyncGenerator[Event]      # one connection's life

Either may define OPTIONS = {"name": "default", ...}: settings of its own, `CRYPTO_STREAM_<HANDLER>_<NAME>`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeVar

import msgspec

from crypto_stream.errors import MalformedFrame
from crypto_stream.market.bars import Bar
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.orders import Rules

__all__ = [
    "Acked",
    "BarTime",
    "Budget",
    "Event",
    "Ignored",
    "Instrument",
    "InstrumentStatus",
    "Keepalive",
    "Listed",
    "MalformedFrame",
    "Moving",
    "Pong",
    "Refused",
    "Request",
    "Rules",
    "Running",
    "Source",
    "Symbols",
    "Trade",
    "Update",
    "VenueKey",
    "VenueList",
    "VenueTime",
    "read_each",
    "reading",
]

# Types of a venue's JSON. A key of order is what `Update.key` and `Trade.key` take.
VenueKey = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Since the epoch, in ms; of an event also in us or ns, which the feed tells by their size and brings to ms.
VenueTime = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Of a bar, in ms. Past the year 2100 it is another unit or nonsense.
BarTime = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]
# Of a list that a venue's REST interface gives: more would be nonsense, and too much work in one piece.
VenueList = msgspec.Meta(max_length=20_000)

Entry = TypeVar("Entry")
_SYMBOLS_KEPT = 10_000


class Symbols(dict[str, str]):
    """The symbol of each name of a venue, read once; what is remembered begins anew when it is full."""

    def __init__(self, read: Callable[[str], str]) -> None:
        """Learn unknown names by `read`; what it raises is the reader's to handle."""
        self._read = read

    def __missing__(self, name: str) -> str:
        symbol = self._read(name)
        if len(self) >= _SYMBOLS_KEPT:
            self.clear()
        self[name] = symbol
        return symbol


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn everything that a wrong text of a venue can raise into MalformedFrame."""
    try:
        yield
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedFrame(f"{what}: {error}") from None


def read_each(raws: Sequence[msgspec.Raw], *ways: Callable[[msgspec.Raw], Entry]) -> list[Entry]:
    """Read each entry of a venue's list by the first of `ways` that can; one that none can read is left out.

    Raises ValueError where the first way reads none of them: then it is the list that is another.
    """
    found: list[Entry] = []
    as_expected = 0
    for raw in raws:
        for number, read in enumerate(ways):
            try:
                found.append(read(raw))
                as_expected += number == 0
                break
            except msgspec.DecodeError:
                continue
    if raws and not as_expected:
        raise ValueError("no entry of the list can be read")
    return found


class Request(NamedTuple):
    """One message to send; `keys` are what its acknowledgements will name, `symbols` what it is about.

    No key: nobody waits for an answer (`unsubscribe`).
    """

    text: str
    keys: tuple[str, ...]
    symbols: tuple[str, ...]


class Acked(msgspec.Struct, frozen=True, gc=False):
    """The venue accepted what `key` names (a request id or a topic)."""

    channel: ClassVar[str] = "ack"
    key: str


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The venue refused what `key` names (empty: it did not say), `symbol` where it is known.

    `passing`: it would take the same request later (too many of them, busy).
    """

    channel: ClassVar[str] = "refused"
    key: str
    reason: str
    symbol: str | None = None
    passing: bool = False


class Moving(msgspec.Struct, frozen=True, gc=False):
    """The venue announced that this connection will end: move to a new one before it does."""

    channel: ClassVar[str] = "moving"
    reason: str


class InstrumentStatus(msgspec.Struct, frozen=True, gc=False):
    """The venue says that `symbol` does not trade now, in its own `word` (`HALT`); empty: it does again."""

    channel: ClassVar[str] = "status"
    symbol: str
    word: str


class Pong(msgspec.Struct, frozen=True, gc=False):
    """The venue answered our ping; says nothing about its data."""

    channel: ClassVar[str] = "pong"


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A frame we do not use; counted under its channel."""

    channel: str


Event = Update | Trade | Acked | Refused | Moving | InstrumentStatus | Pong | Ignored


class Keepalive(NamedTuple):
    """Send `text` after `idle_s` without any frame; None sends a WebSocket ping frame instead."""

    text: str | None
    idle_s: float


class Listed(NamedTuple):
    """How a venue lists an instrument: `state` is "" where it trades, else the venue's word (`HALT`).

    `rules` are as the venue writes them; a number that is empty or 0 is none.
    """

    state: str
    rules: Rules = Rules()


class Budget(NamedTuple):
    """At most `attempts` connection attempts in `seconds`, over all hosts of a venue."""

    attempts: int
    seconds: float


class Running(Protocol):
    """What `events()` gets of the connection it is run for."""

    @property
    def options(self) -> Mapping[str, str]:
        """The handler's own settings."""

    @property
    def seed(self) -> int | None:
        """The seed of everything random, None for a different run each time."""

    def last_price(self, symbol: str) -> str | None:
        """Tell the last price this source gave, before a restart too; None where there is none."""

    def now_ms(self) -> int:
        """Tell the present, in ms since the epoch, by the engine's clock: it may go back."""


class Source(msgspec.Struct, frozen=True):
    """A loaded handler with its settings, as the feed uses it.

    `frames` and `scan` are a recording's: it gives frames without a connection and ends, and its instruments
    are found in it. `without` are symbols that a person took from it, `names` what it calls our currencies.
    """

    name: str
    found: str
    urls: Sequence[str]
    rest_url: str | None
    parse: Callable[[bytes], list[Event]] | None = None
    url: Callable[[str, Sequence[Instrument]], str] | None = None
    subscribe: Callable[[Sequence[Instrument]], list[Request]] | None = None
    unsubscribe: Callable[[Sequence[Instrument]], list[Request]] | None = None
    events: Callable[[Any, Sequence[Instrument]], AsyncGenerator[Event]] | None = None
    instruments: Callable[[Any], Awaitable[dict[str, Listed]]] | None = None
    candles: Callable[[Any, Instrument, str], Awaitable[list[Bar]]] | None = None
    carries: Sequence[Instrument] | None = None
    rules: Mapping[str, Rules] = MappingProxyType({})
    busy: str | None = None
    max_instruments: int | None = None
    pace_s: float = 0.25
    keepalive: Keepalive = Keepalive(None, 20.0)
    max_age_s: float | None = None
    connects: Budget = Budget(60, 60.0)
    options: Mapping[str, str] = MappingProxyType({})
    synthetic: bool = False
    frames: Callable[[], AsyncGenerator[bytes]] | None = None
    scan: Callable[[], list[Instrument]] | None = None
    without: frozenset[str] = frozenset()
    names: Mapping[str, str] = MappingProxyType({})
