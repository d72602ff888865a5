"""Lists owners; removes those unused for long, with their resting orders, and those an operator removes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from crypto_stream.errors import RefusedError
from crypto_stream.orders.owners import OwnerSession
from crypto_stream.orders.requests import UNAVAILABLE
from crypto_stream.orders.state import State
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.writes import Lookup, OwnerRead, Removal, UnusedRead
from crypto_stream.storage.interface import OrderReader, OwnerState, OwnerSummary

log = logging.getLogger(__name__)

_FIRST_S = 60.0
_EVERY_S = 3600.0
_DAY_S = 86_400.0
_MOST_LISTED = 1_000
REMOVED = "owner_removed"
_WHY = "this client_id and all its orders were removed by the operator"


class OwnerAdmin:
    """List and remove owners; unused time counts only while the engine runs, not by the wall clock."""

    def __init__(
        self, store: StoreWriter, keep_days: float, cut: Callable[[OwnerSession, str, str], None]
    ) -> None:
        """Keep unused owners for `keep_days` of running time (0: for ever); `cut` disconnects a session."""
        self._store = store
        self._keep_s = keep_days * _DAY_S
        self._why = f"its owner was unused for {keep_days:g} days"
        self._cut = cut
        self._next_s: float | None = None

    def tick(self, state: State, now_s: float) -> None:
        """Every hour, record which owners are in use, and find those unused for long."""
        if self._next_s is None:
            self._next_s = now_s + _FIRST_S
        if now_s < self._next_s:
            return
        self._next_s = now_s + _EVERY_S
        for owner in state.owners.values():
            if owner.sessions:
                self._store.used(owner.name)
        if self._keep_s:
            self._store.put(UnusedRead(self._keep_s, lambda names: self._expire(state, names)))

    def report_owners(
        self, done: Callable[[list[OwnerSummary]], None], refuse: Callable[[RefusedError], None]
    ) -> None:
        """Call `done` with the owners that have most active orders."""

        def read(reader: OrderReader) -> Callable[[], None]:
            return partial(done, reader.owners(_MOST_LISTED))

        self._store.put(Lookup(_nothing, read, lambda reason: refuse(RefusedError(UNAVAILABLE, reason))))

    def remove(
        self, state: State, name: str, done: Callable[[int], None], refuse: Callable[[RefusedError], None]
    ) -> None:
        """Remove an owner; call `done` with its number of active orders, or `refuse` if it does not exist."""

        def known(found: OwnerState) -> None:
            owner = state.owners.get(name)
            if not found.last_seq and owner is None:
                refuse(RefusedError("unknown_owner", f"there is no owner {name}"))
                return
            for session in list(owner.sessions) if owner else ():
                self._cut(session, REMOVED, _WHY)
            if owner is not None and owner.open > len(owner.active):  # its orders being written come first
                self._store.put(OwnerRead(name, known))
                return
            cancelled = state.clear(name, "its owner was removed")
            self._store.put(Removal(name, lambda: done(cancelled)))
            log.warning("owner removed", extra={"owner": name[:8], "active": cancelled})

        self._store.put(OwnerRead(name, known))

    def _expire(self, state: State, names: list[str]) -> None:
        gone = 0
        for name in names:
            owner = state.owners.get(name)
            if owner is not None and (owner.sessions or owner.open > len(owner.active)):
                self._store.used(name)
                continue
            state.clear(name, self._why)
            self._store.put(Removal(name, _nothing))
            gone += 1
        if gone:
            log.warning("unused owners removed", extra={"owners": gone})
            self._next_s = None  # there may be more


def _nothing() -> None:
    """Ignore the result."""
