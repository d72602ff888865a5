"""Orders as the engine sees them: sessions and what they ask in, what happened out, nothing too early."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from crypto_stream.bus.messages import OrderCounts
from crypto_stream.bus.orders import Attach, Command, Detach, Happened, OrderNews, Received
from crypto_stream.errors import RefusedError
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import Clock
from crypto_stream.orders.lookups import LookupLimiter
from crypto_stream.orders.metrics import OrderLog
from crypto_stream.orders.notifier import Notifier
from crypto_stream.orders.outbox import Outbox, Reader
from crypto_stream.orders.owner_removal import OwnerRemoval
from crypto_stream.orders.owners import Ask, Cause, Owner, Session
from crypto_stream.orders.recovery import Guard
from crypto_stream.orders.requests import UNAVAILABLE, Requests
from crypto_stream.orders.simulator import Offers, offers_left
from crypto_stream.orders.state import State
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.validation import Terms
from crypto_stream.orders.writes import Decided, Item, Lookup, OwnerRead, Stored
from crypto_stream.storage.interface import MAX_UNREAD, OrderReader, OrdersFound, OwnerFound, OwnerKept

log = logging.getLogger(__name__)

FAULT = "a fault of this server, see its log; the orders are read anew"
# What one session, and all together, may ask before they are attached.
_MOST_EARLY = 1_000
_MOST_EARLY_IN_ALL = 20_000
_ENDS_WITHIN_S = 5.0
_MOST_OWNERS = 1_000


class Orders:
    """Keep sessions, do what they ask, send them what happened: reports to all sessions of an owner.

    Everything is called on the event loop. While the store cannot be used, `trouble` says why, commands are
    refused with `store_unavailable`, and nothing trades.
    """

    def __init__(
        self,
        quotes: Mapping[str, Quote],
        rules: Callable[[str, str], Rules | None],
        terms: Terms,
        store: StoreWriter,
        clock: Clock,
        send: Callable[[str, OrderNews], bool],
    ) -> None:
        """Trade on `quotes` (always the newest, by symbol); `rules` are asked by source and symbol.

        `send` says whether the gateway takes more now; if not, `drained` says when it does.
        """
        self._safely = Guard(self._broken)
        self._new_state = partial(State, quotes, rules, terms, clock, self._safely, store.put)
        self._store = store
        self._clock = clock
        self._limiter = LookupLimiter(store.put)
        self._outbox = Outbox(send, clock.soon, self._cut_slow, self._limiter.done)
        self.drained = self._outbox.drained
        self._log = OrderLog()
        self._notifier = Notifier(self._log, clock)
        self._requests = Requests(store, self._limiter, self._broken)
        self._sessions: dict[tuple[str, int], Session] = {}
        self._state: State | None = None
        self._opening: State | None = None
        self._trouble = TroubleLog(
            log,
            "orders are not accepted, prices go on",
            "orders are accepted again",
            level=logging.ERROR,
            each_reason=True,
        )
        self._offers: Offers = {}
        self._early = 0
        self._lost: str | None = None
        self._removal = OwnerRemoval(store, terms.keep_days, self._cut)

    @property
    def trouble(self) -> str | None:
        """Say why orders are not accepted now, or what is missing of them; None while all is well."""
        return self._trouble.reason or self._store.stuck or self._lost

    def counts(self) -> OrderCounts:
        """Return what is active and what has happened in this life of the engine."""
        active = self._state.active if self._state else 0
        return self._log.counts(
            active,
            commits=self._store.commits,
            commit_s=self._store.commit_s,
            waiting=self._outbox.waiting,
            cuts=self._outbox.cuts,
        )

    def start(self) -> None:
        """Open what is kept; sessions that come before that wait."""
        self._store.start(self)

    def stop(self) -> None:
        """Have written what is decided, and end."""
        self._store.stop(_ENDS_WITHIN_S)
        self._log.log_omitted()

    def tick(self) -> None:
        """Do what is due each second."""
        self._log.log_omitted()
        if self._state is not None:
            self._safely(self._removal.tick, self._state, self._clock.now_s())

    def remove(self, owner: str, done: Callable[[int], None], refuse: Callable[[RefusedError], None]) -> None:
        """Remove an owner with all its orders; `done` hears how many were active."""
        if self._state is None:
            refuse(RefusedError(UNAVAILABLE, self._trouble.reason or "the orders are still being loaded"))
        else:
            self._safely(self._removal.remove, self._state, owner, done, refuse)

    def owners(self, done: Callable[[list[OwnerKept]], None], refuse: Callable[[RefusedError], None]) -> None:
        """List the owners with most active orders."""

        def read(reader: OrderReader) -> Callable[[], None]:
            return partial(done, reader.owners(_MOST_OWNERS))

        def failed(reason: str) -> None:
            refuse(RefusedError(UNAVAILABLE, reason))

        if self._state is None:
            failed(self._trouble.reason or "the orders are still being loaded")
        else:
            self._store.put(Lookup(lambda: None, read, failed))

    def quoted(self, quotes: Iterable[Quote]) -> None:
        """Trade with quotes that were just published."""
        if self._state is not None:
            self._safely(self._state.quoted, quotes)

    def commands(self, gateway: str, commands: Iterable[Command]) -> None:
        """Do what the sessions of one gateway ask."""
        for command in commands:
            self._safely(self._command, gateway, command)

    def _command(self, gateway: str, command: Command) -> None:
        if isinstance(command, Attach):
            self._attach(gateway, command)
            return
        session = self._sessions.get((gateway, command.session))
        if session is None:  # it was cut, and its gateway did not know yet
            log.debug("a session that is gone asks", extra={"link": gateway})
        elif isinstance(command, Detach):
            self._detach(session)
        elif isinstance(command, Received):
            self._received(session, command.seq)
        else:
            self._ask(session, command)

    def left(self, gateway: str) -> None:
        """End all sessions of a gateway."""
        for session in [one for one in self._sessions.values() if one.gateway == gateway]:
            self._safely(self._detach, session)
        self._outbox.left(gateway)

    # What the store tells.

    def opened(self, found: OrdersFound) -> None:
        """Begin with what is kept."""
        self._notifier.store, self._lost = found.store, self._lost or found.lost
        if not self._offers:
            self._offers = offers_left(found.taken)
        state = self._opening = self._new_state(self._offers)
        self._safely(state.load, found, partial(self._ready, state))

    def refused(self, reason: str, *, hopeless: bool) -> None:
        """Say, once, that the store cannot be opened."""
        self._note(reason, hopeless=hopeless)

    def failed(self, items: list[Item], reason: str, *, hopeless: bool) -> None:
        """Forget everything that is not on disk, answer what waited for it, begin anew."""
        if (state := self._state or self._opening) is not None:
            self._offers = state.close()
        self._state = self._opening = None
        self._note(reason, hopeless=hopeless)
        for session in self._sessions.values():
            session.attached, session.piece_end = False, 0
        for item in [*items, *self._store.forget(reopen=not hopeless), *self._limiter.take_back()]:
            if isinstance(item, Decided) and isinstance(item.cause, Cause):
                item.cause.session.fail(item.cause.ref, UNAVAILABLE, reason)
            elif isinstance(item, Lookup):
                item.failed(reason)

    def stored(self, results: list[Stored]) -> None:
        """Tell what is on disk now, and let new orders go to the market."""
        for result in results:
            if self._state is None or not self._safely(self._notifier.notify, self._state, result):
                self._notifier.answer_late(result)

    def _broken(self) -> None:
        """Go back to what is on disk after a fault of ours: what is in memory may be half done."""
        if (state := self._state or self._opening) is not None:
            self._offers = state.close()
            self._state = self._opening = None
            self._note(FAULT, hopeless=False)
            self._store.abandon(FAULT)

    def _ready(self, state: State) -> None:
        """Trade again, and let sessions in."""
        self._state, self._opening = state, None
        self._trouble.works(active=state.active)
        for session in list(self._sessions.values()):
            self._join(state, session)

    def _note(self, reason: str, *, hopeless: bool) -> None:
        """Say why orders cannot be accepted, and refuse what waits for them."""
        if hopeless and "restart" not in reason:
            reason += (
                "; orders.db is never replaced by itself: mend it, or move it away, and restart the engine"
            )
        first = self._trouble.reason is None
        self._trouble.fails(reason)
        for session in [one for one in self._sessions.values() if first and not one.attached]:
            session.fail(0, UNAVAILABLE, reason)
            for command in self._taken_early(session):
                session.fail(command.ref, UNAVAILABLE, reason)

    # Sessions.

    def _attach(self, gateway: str, command: Attach) -> None:
        key = (gateway, command.session)
        if known := self._sessions.get(key):
            self._detach(known)
        owner = Owner(command.owner, anonymous=command.anonymous)
        session = Session(gateway, command.session, owner, self._outbox, command.address)
        self._sessions[key] = session
        if self._state is not None:
            self._join(self._state, session)
        elif self._trouble.reason is not None:
            session.fail(0, UNAVAILABLE, self._trouble.reason)

    def _join(self, state: State, session: Session) -> None:
        """Have the session sent what it missed, then all that happens; one too many is cut."""
        try:
            owner = state.join(session)
        except RefusedError as refused:
            self._cut(session, refused.code, str(refused))
            return
        self._store.used(owner.name)
        self._read_on(state, session, owner.received)

    def _cut_slow(self, reader: Reader) -> None:
        if (session := self._sessions.get((reader.gateway, reader.number))) is not None:
            self._cut(
                session,
                "too_slow",
                "too much waits for this connection; its reports are told when it is back",
            )

    def _cut(self, session: Session, code: str, reason: str) -> None:
        """End a session here; its gateway tells its client why."""
        self._detach(session)
        self._outbox.end(session, code, reason)

    def _read_on(self, state: State, session: Session, after: int) -> None:
        session.piece_end = 0
        joined = partial(self._safely, self._joined, state, session)
        self._store.put(OwnerRead(session.owner.name, joined, after))

    def _joined(self, state: State, session: Session, found: OwnerFound) -> None:
        if state is not self._state or session.gone:
            return
        received = session.owner.received
        for report in found.unread:
            if report.seq > received:
                session.send(Happened(session.number, 0, report, self._notifier.store))
        if len(found.unread) == MAX_UNREAD:
            session.piece_end = found.unread[-1].seq
            self._next_piece(state, session, received)
            return
        session.attached = True
        for command in self._taken_early(session):
            self._requests.do(state, session, command)

    def _detach(self, session: Session) -> None:
        del self._sessions[session.gateway, session.number]
        self._taken_early(session)
        session.end()
        self._limiter.left(session)
        if self._state is not None:
            self._state.leave(session)

    def _next_piece(self, state: State, session: Session, seq: int) -> None:
        """Go on to the next piece of a long absence, when this one is read."""
        if 0 < session.piece_end <= seq:
            self._read_on(state, session, seq)

    def _received(self, session: Session, seq: int) -> None:
        owner = session.owner
        if (session.attached or session.piece_end) and seq > owner.received:
            owner.received = seq
            self._store.received(owner.name, seq)
        if self._state is not None:
            self._next_piece(self._state, session, seq)

    # What they ask.

    def _ask(self, session: Session, command: Ask) -> None:
        if self._trouble.reason is not None:
            session.fail(command.ref, UNAVAILABLE, self._trouble.reason)
        elif self._state is not None and session.attached:
            self._requests.do(self._state, session, command)
        elif len(session.waiting) < _MOST_EARLY and self._early < _MOST_EARLY_IN_ALL:
            self._early += 1
            session.waiting.append(command)
        else:
            session.fail(command.ref, "starting", "the orders are still being loaded; try again in a second")

    def _taken_early(self, session: Session) -> list[Ask]:
        """Take out what a session asked before it was attached."""
        waiting = list(session.waiting)
        session.waiting.clear()
        self._early -= len(waiting)
        return waiting
