"""Executes the commands of sessions on the state, or answers them from the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from crypto_stream.bus.orders import MAX_PENDING, Cancel, Failed, ListOrders, ListTrades, Place
from crypto_stream.errors import RefusedError
from crypto_stream.orders.lookups import LookupLimiter, answer
from crypto_stream.orders.owners import Cause, OwnerSession, Promise, SessionCommand
from crypto_stream.orders.state import State
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.writes import Lookup
from crypto_stream.storage.interface import OrderReader

log = logging.getLogger(__name__)

UNAVAILABLE = "store_unavailable"


class Requests:
    """Executes the commands of attached sessions."""

    def __init__(self, store: StoreWriter, limiter: LookupLimiter, on_fault: Callable[[], None]) -> None:
        """Write to `store`, and read through `limiter`.

        `on_fault` is called if an internal error leaves an order inconsistent.
        """
        self._store = store
        self._limiter = limiter
        self._on_fault = on_fault

    def do(self, state: State, session: OwnerSession, command: SessionCommand) -> None:
        """Execute a command; an internal error is answered as well."""
        try:
            if isinstance(command, Place):
                if behind := self._store.behind:
                    raise RefusedError(UNAVAILABLE, behind)
                cause = Cause(session, command.ref)
                state.place(session.owner, command.ticket, cause, walks=command.walks)
            elif isinstance(command, Cancel) and (active := session.owner.active.get(command.order_id)):
                state.cancel(active, Cause(session, command.ref))
            elif session.promises >= MAX_PENDING:  # each cancellation of an order that has ended is a lookup
                reason = f"at most {MAX_PENDING} answers may be pending; wait for one"
                raise RefusedError("rate_limited", reason)
            else:
                self._start_lookup(session, command)
        except RefusedError as refused:
            session.fail(command.ref, refused.code, str(refused))
        except Exception:
            log.exception("internal error while processing orders")
            session.fail(command.ref, UNAVAILABLE, "internal error, see the server's log")
            if isinstance(command, Cancel):
                self._on_fault()  # a failed new order has changed nothing

    def _start_lookup(self, session: OwnerSession, command: Cancel | ListOrders | ListTrades) -> None:
        """Answer from the store, in order with the reports of what is stored before and after."""
        promise = Promise(session)

        def failed(reason: str) -> None:
            promise.fulfil(Failed(session.number, command.ref, UNAVAILABLE, reason))

        def read(reader: OrderReader) -> Callable[[], None]:
            if session.gone:
                return _nothing
            return partial(promise.fulfil, answer(reader, session.owner.name, command))

        self._limiter.submit(session, Lookup(promise.begin, read, failed))


def _nothing() -> None:
    """Discard the answer."""
