"""What sessions ask, done on the state or answered from the disk: each request gets its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from crypto_stream.bus.orders import Cancel, Failed, ListOrders, ListTrades, Place
from crypto_stream.errors import RefusedError
from crypto_stream.orders.lookups import answer
from crypto_stream.orders.owners import Ask, Cause, Promise, Session
from crypto_stream.orders.recovery import guarded
from crypto_stream.orders.state import State
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.turns import Turns
from crypto_stream.orders.writes import Lookup
from crypto_stream.storage.interface import OrderReader

UNAVAILABLE = "store_unavailable"
_MOST_READING = 64  # answers one session may wait for that are read from the disk


class Requests:
    """Do what a session asks that is attached to a state."""

    def __init__(self, store: StoreWriter, turns: Turns, broken: Callable[[], None]) -> None:
        """Read and write over `store`, reading in `turns`.

        `broken` hears of a fault that leaves an order half done.
        """
        self._store = store
        self._turns = turns
        self._broken = broken

    def do(self, state: State, session: Session, command: Ask) -> None:
        """Do what is asked; a fault of ours is an answer too."""
        refuse = partial(session.fail, command.ref, UNAVAILABLE, "a fault of this server, see its log")
        if not guarded(refuse, partial(self._do, state, session, command)) and isinstance(command, Cancel):
            self._broken()  # a new order changes nothing before it is handed to the disk

    def _do(self, state: State, session: Session, command: Ask) -> None:
        if isinstance(command, Place):
            self._place(state, session, command)
        elif isinstance(command, Cancel) and (live := session.owner.live.get(command.order_id)):
            state.cancel(live, Cause(session, command.ref))
        elif session.promises >= _MOST_READING:
            session.fail(
                command.ref, "rate_limited", f"at most {_MOST_READING} answers may be under way; wait for one"
            )
        else:
            self._look_up(session, command)

    def _place(self, state: State, session: Session, command: Place) -> None:
        try:
            if behind := self._store.behind:
                raise RefusedError(UNAVAILABLE, behind)
            state.place(session.owner, command.ticket, Cause(session, command.ref))
        except RefusedError as refused:
            session.fail(command.ref, refused.code, str(refused))

    def _look_up(self, session: Session, command: Cancel | ListOrders | ListTrades) -> None:
        """Answer from the disk; what is stored before is told before it, what is stored later after it."""
        promise = Promise(session)

        def failed(reason: str) -> None:
            promise.keep(Failed(session.number, command.ref, UNAVAILABLE, reason))

        def read(reader: OrderReader) -> Callable[[], None]:
            if session.gone:
                return _nothing
            return partial(promise.keep, answer(reader, session.owner.name, command))

        self._turns.take(session, Lookup(promise.begin, read, failed))


def _nothing() -> None:
    """Answer nobody."""
