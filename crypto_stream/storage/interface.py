"""The storage interfaces; each implementation is a file beside this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from crypto_stream.market.bars import Bar, Gap
from crypto_stream.market.clock import Anchor
from crypto_stream.market.orders import Order, Position, Report, Side

ALL_SYMBOLS = ""  # the symbol of a gap of all instruments
MAX_GAPS = 5_000  # per read


class StateStore(Protocol):
    """Small values that must survive a restart: the pin, bans. Blocking; call it on a thread."""

    def load(self) -> dict[str, str]:
        """Return all values, to continue from them."""

    def peek(self) -> dict[str, str]:
        """Return all values that are stored now, to look at only; raise OSError if they cannot be read."""

    def save(self, state: dict[str, str]) -> None:
        """Replace all values atomically; raise OSError if that fails."""


class CorruptError(OSError):
    """The stored data is damaged."""


class UnusableError(OSError):
    """The storage location cannot be used until an operator changes something."""


class FencedError(UnusableError):
    """Another engine writes to this store now; this one must end, and may start again and wait."""


class StoredBar(NamedTuple):
    """One closed bar of one series."""

    symbol: str
    interval: str
    bar: Bar


class SetAside(NamedTuple):
    """Set aside a symbol's data from `from_ms` on, because it came from a clock that was ahead.

    Bars are moved to another table if `bars` is set; gaps are removed, or end there.
    """

    symbol: str
    from_ms: int
    bars: bool


class Retention(NamedTuple):
    """When old bars are removed: as of `now_ms` at most; a large share only if the clock is `steady`."""

    now_ms: int
    steady: bool


class Batch(NamedTuple):
    """Written in one transaction: closed bars, begun or ended gaps (symbol, gap), and when the engine ran.

    Data is set aside before the bars are added. Without `retention` nothing is removed.
    """

    bars: Sequence[StoredBar]
    gaps: Sequence[tuple[str, Gap]]
    alive_ms: int
    set_asides: Sequence[SetAside] = ()
    anchor: Anchor | None = None
    retention: Retention | None = None


class HistoryWriter(Protocol):
    """The only writer of the history, on one thread. Every call may raise OSError: retry later."""

    def prepare(self) -> None:
        """Open or create the store; raise SettingError if the user must change something."""

    def write(self, batch: Batch) -> None:
        """Store the batch atomically. A bar that exists already is not changed; a gap is replaced."""

    def prune(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> int:
        """Remove the bars of a series that are `keep_ms` older than its newest, or than the present.

        Only whole blocks are removed, so that longer bars are never folded from a part. Returns their number
        if it is large, else 0.
        """

    def tidy(self) -> None:
        """Do maintenance that may wait for the disk; called on a thread of its own."""

    def check(self, reason: str) -> None:
        """Check whether the store is corrupt, as a reader found; if so move it aside."""

    def move_aside(self, reason: str) -> None:
        """Rename the corrupt store, log that, and start a new one."""

    def close(self) -> None:
        """Close the store."""


class Range(NamedTuple):
    """Times in ms, `from_ms` inclusive, `to_ms` exclusive; at most `limit` rows, the newest if `newest`."""

    from_ms: int
    to_ms: int
    limit: int
    newest: bool


class HistoryReader(Protocol):
    """Reads of the history; blocking, on any thread, concurrent with the writer. May raise OSError."""

    def bars(self, symbol: str, interval: str, wanted: Range) -> list[Bar]:
        """Return closed bars, oldest first."""

    def gaps(self, symbol: str, from_ms: int, to_ms: int) -> list[Gap]:
        """Return the newest 5,000 gaps in this time, oldest first, including those of all symbols."""

    def first(self, symbol: str, interval: str) -> int | None:
        """Return the time of the oldest bar of a series."""

    def newest(self, interval: str) -> Mapping[str, int]:
        """Return the time of each symbol's newest bar."""

    # What a start needs of all symbols at once: those without such bars or gaps are left out.

    def bars_since(self, interval: str, since_ms: Mapping[str, int]) -> Mapping[str, list[Bar]]:
        """Return the closed bars of these symbols, of each from its time on, oldest first."""

    def oldest(self, interval: str, symbols: Collection[str]) -> Mapping[str, Bar]:
        """Return the oldest bar of each of these symbols."""

    def open_gaps(self) -> Mapping[str, list[Gap]]:
        """Return each symbol's gaps that have not ended, oldest first."""

    def alive_ms(self) -> int | None:
        """Return when an engine last recorded that it is alive."""

    def anchor(self) -> Anchor | None:
        """Return what the clocks showed then."""


class RemainingSize(NamedTuple):
    """How much remains of a displayed size (None: unlimited) that was traded with."""

    symbol: str
    source: str
    side: Side
    price: str
    size: str | None
    remaining: str | None


class LoadedOrders(NamedTuple):
    """What a start loads: the active orders by rank, their anonymous owners, the next free rank.

    `store` is the identity of the store: in another one `seq` starts again. `lost` describes missing
    acknowledged changes. `remaining` are the displayed sizes that were traded with last.
    """

    active: list[Order]
    anonymous: frozenset[str]
    next_rank: int
    store: str = ""
    lost: str | None = None
    remaining: Sequence[RemainingSize] = ()


MAX_UNREAD = 1_000  # reports per read


class OwnerState(NamedTuple):
    """An owner's newest seq (0: no report yet), and its oldest reports that it has not received."""

    last_seq: int
    unread: list[Report]


class OwnerSummary(NamedTuple):
    """One owner: active orders, number of reports, and how long it has been unused (s of running time)."""

    owner: str
    anonymous: bool
    active: int
    reports: int
    unused_s: int


class OrderBatch(NamedTuple):
    """Written in one transaction: reports with their orders, oldest first, and the seq that owners received.

    `anonymous` are owners in this batch that cannot reconnect, `used` those in use now; `remaining` are the
    displayed sizes that were traded with.
    """

    reports: Sequence[Report]
    read: Mapping[str, int]
    anonymous: frozenset[str]
    used: frozenset[str] = frozenset()
    remaining: Sequence[RemainingSize] = ()


class OrderWriter(Protocol):
    """The only writer of the orders, on one thread. OSError: nothing of the call was stored.

    CorruptError and UnusableError need an operator: a store of orders is never replaced automatically.
    """

    advice: str  # what an operator can do about such an error

    def open(self) -> LoadedOrders:
        """Open or create the store; may be called again after a failure."""

    def write(self, batch: OrderBatch) -> None:
        """Store the batch atomically and durably."""

    def owner(self, owner: str, after: int = 0) -> OwnerState:
        """Return an owner's state, with its oldest MAX_UNREAD reports beyond seq `after`."""

    def existing(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        """Return the newest reports of existing orders, by owner and client_order_id.

        Called with all new orders of a batch that have a client_order_id, so usually there are none.
        """

    def unused(self, seconds: float, limit: int) -> list[str]:
        """Return owners unused for `seconds`, counted while the store was in use."""

    def remove(self, owner: str) -> None:
        """Remove an owner, its orders and reports; `tidy` deletes the rows in small steps."""

    def tidy(self) -> bool:
        """Delete some rows of removed owners; return False if there are none."""

    def close(self) -> None:
        """Close the store."""


class OrderReader(Protocol):
    """Reads of the orders; blocking, on one thread, concurrent with the writer. May raise OSError."""

    def order(self, owner: str, order_id: str) -> Order | None:
        """Return one order of this owner."""

    def newest_report(self, owner: str, order_id: str) -> Report | None:
        """Return the newest report of one order of this owner."""

    def orders(self, owner: str, max_closed: int) -> list[Order]:
        """Return all active orders and the newest others, by rank."""

    def trades(self, owner: str, symbol: str, limit: int) -> list[Report]:
        """Return the newest trades in one instrument, oldest first."""

    def positions(self, owner: str) -> list[Position]:
        """Return the sums of all trades of an owner, by symbol."""

    def owners(self, limit: int) -> list[OwnerSummary]:
        """Return the owners with the most active orders."""

    def close(self) -> None:
        """Close the store."""


class Stores(Protocol):
    """All stores of one engine. At most one engine writes at a time: the one that has acquired them."""

    @property
    def followers(self) -> int | None:
        """How many other engines could acquire the stores; None: not known, or there can be none."""

    def acquire(self) -> bool:
        """Return whether this engine may write from now on; if not, another one does: ask again. Blocking.

        Returns True also if the stores cannot be reached at first: until they can be, calls raise OSError.
        Raises SettingError if an operator must change something first.
        """

    async def run(self) -> None:
        """Run until cancelled; raise FencedError as soon as another engine has acquired the stores."""

    def close(self) -> None:
        """Let another engine acquire the stores at once."""

    def state(self) -> StateStore:
        """Return the store of the engine's small values."""

    def history(self) -> tuple[HistoryWriter, HistoryReader]:
        """Return writer and reader of the history; nothing is opened yet."""

    def orders(self) -> tuple[OrderWriter, OrderReader]:
        """Return writer and reader of the orders; nothing is opened yet."""
