"""What is handed to the store, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from crypto_stream.market.orders import Report
from crypto_stream.storage.interface import OrderReader, OrdersFound, OwnerFound, Taken


class Decided(NamedTuple):
    """A change of an order that was decided and is to be kept: a report whose seq is still to come.

    `cause` comes back with the result. `anonymous` counts for a new order: nobody can come back as its owner.
    `taken` is what a trade has left of the displayed size.
    """

    report: Report
    cause: object = None
    anonymous: bool = False
    taken: Taken | None = None


class OwnerRead(NamedTuple):
    """Read what is known of an owner, after all that was decided before; `done` runs among its results.

    Of its reports the oldest beyond the seq `after` are read.
    """

    owner: str
    done: Callable[[OwnerFound], object]
    after: int = 0


class Lookup(NamedTuple):
    """Read after all that was decided before, beside what comes later.

    `begin` runs when that was sent; `read`, on a thread, returns what to do with what it has found.
    """

    begin: Callable[[], None]
    read: Callable[[OrderReader], Callable[[], None]]
    failed: Callable[[str], None]


class UnusedRead(NamedTuple):
    """Find owners that nobody has used for so many seconds; `done` runs with their names."""

    seconds: float
    done: Callable[[list[str]], object]


class Removal(NamedTuple):
    """Forget an owner, its orders and reports, after all that was decided before; `done` runs then."""

    owner: str
    done: Callable[[], object]


Item = Decided | OwnerRead | Lookup | UnusedRead | Removal


class Stored(NamedTuple):
    """A decided change is on disk; or nothing was written, as its owner has `known` an order by this name."""

    decided: Decided
    report: Report
    known: bool


class Listener(Protocol):
    """Who is told what became of the items; called on the event loop, in their order."""

    def opened(self, found: OrdersFound) -> None:
        """Begin with what is kept; nothing of before counts."""

    def stored(self, results: list[Stored]) -> None:
        """Take what was written together."""

    def refused(self, reason: str, *, hopeless: bool) -> None:
        """Notice that what is kept cannot be opened; `hopeless`: it is not tried again."""

    def failed(self, items: list[Item], reason: str, *, hopeless: bool) -> None:
        """Notice that nothing of these was written; the listener forgets all and calls `forget`."""
