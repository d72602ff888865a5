"""Storage as the engine sees it; each way of keeping things is a file beside this one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from crypto_stream.market.bars import Bar, Gap
from crypto_stream.market.clock import Anchor
from crypto_stream.market.orders import Order, Position, Report, Side

EVERY = ""  # as a symbol: a gap of all instruments
MAX_GAPS = 5_000  # read at once


class StateStore(Protocol):
    """Small facts that must survive a restart: the pin, the ends of bans. Blocking; call it on a thread."""

    def load(self) -> dict[str, str]:
        """Return everything kept."""

    def save(self, state: dict[str, str]) -> None:
        """Replace everything kept, all or nothing; OSError when it could not be written."""


class CorruptError(OSError):
    """What is stored cannot be read and never will."""


class UnusableError(OSError):
    """The place for what is stored cannot be used: a person must change something."""


class StoredBar(NamedTuple):
    """One closed bar of one series."""

    symbol: str
    interval: str
    bar: Bar


class SetAside(NamedTuple):
    """Put aside what a symbol has from `from_ms` on: a clock that was ahead made it.

    Bars are kept, out of sight, if `bars` is set; gaps are forgotten, or end there.
    """

    symbol: str
    from_ms: int
    bars: bool


class Retention(NamedTuple):
    """By which time old bars are forgotten: `now_ms` at the latest; a large share only if it is `steady`."""

    now_ms: int
    steady: bool


class Batch(NamedTuple):
    """What is written together: closed bars, gaps (symbol, gap) begun or ended, and when the engine lived.

    What is put aside is so before the bars of this batch come. Without `retention` nothing is forgotten.
    """

    bars: Sequence[StoredBar]
    gaps: Sequence[tuple[str, Gap]]
    alive_ms: int
    set_asides: Sequence[SetAside] = ()
    anchor: Anchor | None = None
    retention: Retention | None = None


class HistoryWriter(Protocol):
    """The one writer of the history, on one thread. Every call may raise OSError: try again later."""

    def prepare(self) -> None:
        """Open what is kept, made where there is none; SettingError if a person must change something."""

    def write(self, batch: Batch) -> None:
        """Keep the batch, all or nothing. A bar that is already kept stays as it is; a gap is replaced."""

    def prune(self, symbol: str, interval: str, keep_ms: int, by: Retention) -> int:
        """Forget the bars of a series that are `keep_ms` older than its newest, or than the present.

        They go by whole stretches: what longer bars are folded from goes together. Returns how many went if
        those were many, 0 else.
        """

    def tidy(self) -> None:
        """Bring what was written to its last place; may wait for the disk, on a thread beside the others."""

    def check(self, reason: str) -> None:
        """Look whether what is kept is corrupt, as somebody found; if so put it aside."""

    def put_aside(self, reason: str) -> None:
        """Keep what is corrupt under a new name, say so, and begin anew."""

    def close(self) -> None:
        """Give back what is held."""


class Range(NamedTuple):
    """Times in ms, `from_ms` inclusive, `to_ms` exclusive; `limit` rows, the newest ones with `newest`."""

    from_ms: int
    to_ms: int
    limit: int
    newest: bool


class HistoryReader(Protocol):
    """Reads of the history; blocking, from any thread, beside the writer. OSError when it cannot be read."""

    def bars(self, symbol: str, interval: str, wanted: Range) -> list[Bar]:
        """Return closed bars, oldest first."""

    def gaps(self, symbol: str, from_ms: int, to_ms: int) -> list[Gap]:
        """Return the newest 5000 gaps that reach into this time, oldest first, those of all symbols too."""

    def first(self, symbol: str, interval: str) -> int | None:
        """Return the time of the oldest bar of a series."""

    def newest(self, interval: str) -> Mapping[str, int]:
        """Return the time of each symbol's newest bar."""

    def alive_ms(self) -> int | None:
        """Return when an engine last said that it lives."""

    def anchor(self) -> Anchor | None:
        """Return what the clocks showed then."""


class Taken(NamedTuple):
    """What is left of a displayed size (None: it has no end) that was traded with, by who displayed it."""

    symbol: str
    source: str
    side: Side
    price: str
    size: str | None
    left: str | None


class OrdersFound(NamedTuple):
    """What a start finds: the active orders by rank, who of their owners is anonymous, the next free rank.

    `store` is the identity of what is kept: its reports are counted anew in another one. `lost` says, for
    people, what is missing of what was acknowledged. `taken` is what was traded with last.
    """

    active: list[Order]
    anonymous: frozenset[str]
    next_rank: int
    store: str = ""
    lost: str | None = None
    taken: Sequence[Taken] = ()


MAX_UNREAD = 1_000  # reports read at once


class OwnerFound(NamedTuple):
    """What is known of an owner: its newest report's seq (0: none yet) and the oldest it has not read."""

    last_seq: int
    unread: list[Report]


class OwnerKept(NamedTuple):
    """One owner: active orders, reports in all, and for how long nobody has used it (s of running)."""

    owner: str
    anonymous: bool
    active: int
    reports: int
    unused_s: int


class OrderBatch(NamedTuple):
    """What is written together: reports with their orders, oldest first, and up to which seq owners have
    read theirs.

    `anonymous` are owners of this batch that nobody can come back as, `used` those that somebody uses now;
    `taken` is what was traded with.
    """

    reports: Sequence[Report]
    read: Mapping[str, int]
    anonymous: frozenset[str]
    used: frozenset[str] = frozenset()
    taken: Sequence[Taken] = ()


class OrderWriter(Protocol):
    """The one writer of the orders, on one thread. OSError: nothing of the call was kept.

    CorruptError and UnusableError need a person: a file of orders is never replaced.
    """

    def open(self) -> OrdersFound:
        """Open what is kept, made where there is nothing; may be called again after a failure."""

    def write(self, batch: OrderBatch) -> None:
        """Keep the batch, all or nothing; on disk (synchronous) when this returns."""

    def owner(self, owner: str, after: int = 0) -> OwnerFound:
        """Return what is known of an owner, of its reports the oldest MOST_UNREAD beyond seq `after`."""

    def named(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Report]:
        """Return the newest reports of those orders that exist, by owner and client_order_id.

        Asked for all new orders of a batch that have such a name, so nearly always for nothing.
        """

    def unused(self, seconds: float, most: int) -> list[str]:
        """Return owners that nobody has used for so long, counted while the store was in use."""

    def remove(self, owner: str) -> None:
        """Forget an owner, its orders and reports; the space is given back bit by bit by `tidy`."""

    def tidy(self) -> bool:
        """Do a little of what `remove` left to do; False when nothing is left."""

    def close(self) -> None:
        """Give back what is held."""


class OrderReader(Protocol):
    """Reads of the orders; blocking, from one thread, beside the writer. OSError when they cannot be read."""

    def order(self, owner: str, order_id: str) -> Order | None:
        """Return one order of this owner."""

    def newest_report(self, owner: str, order_id: str) -> Report | None:
        """Return the newest report of one order of this owner."""

    def orders(self, owner: str, most_closed: int) -> list[Order]:
        """Return all active orders and the newest others, by rank."""

    def trades(self, owner: str, symbol: str, most: int) -> list[Report]:
        """Return the newest trades in one instrument, oldest first."""

    def positions(self, owner: str) -> list[Position]:
        """Return what all trades of an owner come to, by symbol."""

    def owners(self, most: int) -> list[OwnerKept]:
        """Return the owners with most active orders."""

    def close(self) -> None:
        """Give back what is held."""
