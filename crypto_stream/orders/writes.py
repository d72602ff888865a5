"""The items that are queued for the store, and their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from crypto_stream.market.orders import Report
from crypto_stream.storage.interface import LoadedOrders, OrderReader, OwnerState, RemainingSize


class PendingReport(NamedTuple):
    """A report to be stored; its seq is not assigned yet.

    `cause` is returned with the result. `anonymous`: the owner of a new order cannot reconnect. `remaining`
    is what a trade left of the displayed size.
    """

    report: Report
    cause: object = None
    anonymous: bool = False
    remaining: RemainingSize | None = None


class OwnerRead(NamedTuple):
    """Read an owner's state and its oldest reports beyond the seq `after`; `done` is called with them.

    Runs after all earlier items; `done` is called in order with their results.
    """

    owner: str
    done: Callable[[OwnerState], object]
    after: int = 0


class Lookup(NamedTuple):
    """Read after all earlier items, concurrently with later ones.

    `begin` is called after their results; `read` runs on a thread and returns the callback for its result.
    """

    begin: Callable[[], None]
    read: Callable[[OrderReader], Callable[[], None]]
    failed: Callable[[str], None]


class UnusedRead(NamedTuple):
    """Find owners unused for `seconds`; `done` is called with their names."""

    seconds: float
    done: Callable[[list[str]], object]


class Removal(NamedTuple):
    """Remove an owner with its orders and reports, after all earlier items; then call `done`."""

    owner: str
    done: Callable[[], object]


Item = PendingReport | OwnerRead | Lookup | UnusedRead | Removal


class Stored(NamedTuple):
    """A stored report; or, if `known`, the report of an earlier order with the same client_order_id."""

    pending: PendingReport
    report: Report
    known: bool


class Listener(Protocol):
    """Receives the results of the items; called on the event loop, in order."""

    def opened(self, found: LoadedOrders) -> None:
        """Start from the stored orders; discard all earlier state."""

    def stored(self, results: list[Stored]) -> None:
        """Handle what was written in one transaction."""

    def refused(self, reason: str, *, fatal: bool) -> None:
        """Handle a failure to open the store; if `fatal` it is not retried."""

    def failed(self, items: list[Item], reason: str, *, fatal: bool) -> None:
        """Handle that none of `items` was written; the listener discards its state and calls `forget`."""
