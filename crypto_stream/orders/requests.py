"""What sessions ask, done on the state or answered from the disk: each request gets its answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from crypto_stream.bus.orders import Cancel, Failed, ListOrders, ListTrades, Place
from crypto_stream.errors import RefusedError
from crypto_stream.orders.lookups import LookupLimiter, answer
from crypto_stream.orders.owners import Ask, Cause, Promise, Session
from crypto_stream.orders.state import State
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.writes import Lookup
from crypto_stream.storage.interface import OrderReader

log = logging.getLogger(__name__)

UNAVAILABLE = "store_unavailable"
_MOST_READING = 64  # answers one session may wait for that are read from the disk


class Requests:
    """Do what a session asks that is attached to a state."""

    def __init__(self, store: StoreWriter, limiter: LookupLimiter, broken: Callable[[], None]) -> None:
        """Read and write over `store`, reading by `limiter`.

        `broken` hears of a fault that leaves an order half done.
        """
        self._store = store
        self._limiter = limiter
        self._broken = broken

    def do(self, state: State, session: Session, command: Ask) -> None:
        """Do what is asked; a fault of ours is an answer too."""
        try:
            if isinstance(command, Place):
                if behind := self._store.behind:
                    raise RefusedError(UNAVAILABLE, behind)
                state.place(session.owner, command.ticket, Cause(session, command.ref))
            elif isinstance(command, Cancel) and (live := session.owner.live.get(command.order_id)):
                state.cancel(live, Cause(session, command.ref))
            elif session.promises >= _MOST_READING:
                reason = f"at most {_MOST_READING} answers may be under way; wait for one"
                raise RefusedError("rate_limited", reason)
            else:
                self._look_up(session, command)
        except RefusedError as refused:
            session.fail(command.ref, refused.code, str(refused))
        except Exception:
            log.exception("a fault of this server while it worked on orders")
            session.fail(command.ref, UNAVAILABLE, "a fault of this server, see its log")
            if isinstance(command, Cancel):
                self._broken()  # a new order changes nothing before it is handed to the disk

    def _look_up(self, session: Session, command: Cancel | ListOrders | ListTrades) -> None:
        """Answer from the disk; what is stored before is sent before it, what is stored later after it."""
        promise = Promise(session)

        def failed(reason: str) -> None:
            promise.keep(Failed(session.number, command.ref, UNAVAILABLE, reason))

        def read(reader: OrderReader) -> Callable[[], None]:
            if session.gone:
                return _nothing
            return partial(promise.keep, answer(reader, session.owner.name, command))

        self._limiter.take(session, Lookup(promise.begin, read, failed))


def _nothing() -> None:
    """Answer nobody."""
