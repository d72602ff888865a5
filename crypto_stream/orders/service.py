"""The order service: commands of sessions in, reports out, none before it is stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from crypto_stream.bus.messages import OrderCounts
from crypto_stream.bus.orders import Attach, Command, Detach, OrderMessages, Received, Reported
from crypto_stream.errors import RefusedError
from crypto_stream.log_throttle import TroubleLog
from crypto_stream.market.orders import Rules
from crypto_stream.market.quotes import Quote
from crypto_stream.orders.clock import Clock
from crypto_stream.orders.lookups import LookupLimiter
from crypto_stream.orders.metrics import OrderLog
from crypto_stream.orders.notifier import Notifier
from crypto_stream.orders.outbox import Outbox, Recipient
from crypto_stream.orders.owner_admin import OwnerAdmin
from crypto_stream.orders.owners import Cause, Owner, OwnerSession, SessionCommand
from crypto_stream.orders.recovery import FaultRecovery
from crypto_stream.orders.requests import UNAVAILABLE, Requests
from crypto_stream.orders.simulator import Offers, remaining_offers
from crypto_stream.orders.state import State
from crypto_stream.orders.store_writer import StoreWriter
from crypto_stream.orders.validation import OrderSettings
from crypto_stream.orders.walking import Books
from crypto_stream.orders.writes import Item, Lookup, OwnerRead, PendingReport, Stored
from crypto_stream.storage.interface import MAX_UNREAD, LoadedOrders, OwnerState, OwnerSummary

log = logging.getLogger(__name__)

_FAILS, _WORKS = "orders are not accepted, prices continue", "orders are accepted again"
FAULT = "internal error, see the server's log; the orders are loaded again"
# Commands that one session, and all together, may queue before they are attached.
_MAX_EARLY = 1_000
_MAX_EARLY_IN_ALL = 20_000
_ENDS_WITHIN_S = 5.0


class Orders:
    """Execute the commands of sessions, and send reports to all sessions of an owner.

    All methods are called on the event loop. While the store cannot be used, `trouble` is the reason,
    commands are refused with `store_unavailable`, and nothing trades.
    """

    def __init__(
        self,
        quotes: Mapping[str, Quote],
        rules: Callable[[str, str], Rules | None],
        settings: OrderSettings,
        store: StoreWriter,
        clock: Clock,
        send: Callable[[str, OrderMessages], bool],
    ) -> None:
        """Trade on `quotes` (always the newest, by symbol); `rules` returns those of a source and symbol.

        `send` returns whether the gateway accepts more now; if not, `drained` must be called when it does.
        `books` may be set before `start`: orders of the extended mode walk them.
        """
        self.books: Books | None = None
        self._safely = FaultRecovery(self._on_fault)
        self._new_state = partial(State, quotes, rules, settings, clock, self._safely, store.put)
        self._store = store
        self._clock = clock
        self._limiter = LookupLimiter(store.put)
        self._outbox = Outbox(send, clock.soon, self._cut_slow, self._limiter.done)
        self.drained = self._outbox.drained
        self._log = OrderLog()
        self._notifier = Notifier(self._log, clock)
        self._requests = Requests(store, self._limiter, self._on_fault)
        self._sessions: dict[tuple[str, int], OwnerSession] = {}
        self._state: State | None = None
        self._opening: State | None = None
        self._trouble = TroubleLog(log, _FAILS, _WORKS, level=logging.ERROR, each_reason=True)
        self._offers: Offers = {}
        self._early = 0
        self._lost: str | None = None
        self._owner_admin = OwnerAdmin(store, settings.keep_days, self._cut)

    @property
    def trouble(self) -> str | None:
        """Why orders are not accepted now, or what is missing of them; None while all is well."""
        return self._trouble.reason or self._store.stuck or self._lost

    def counts(self) -> OrderCounts:
        """Return the number of active orders, and of events in this run of the engine."""
        active = self._state.active if self._state else 0
        return self._log.counts(
            active,
            commits=self._store.commits,
            commit_s=self._store.commit_s,
            waiting=self._outbox.waiting,
            cuts=self._outbox.cuts,
        )

    def start(self) -> None:
        """Open the store; sessions that connect earlier wait for that."""
        self._store.start(self)

    def stop(self) -> None:
        """Write what is pending, and stop."""
        self._store.stop(_ENDS_WITHIN_S)
        self._log.log_omitted()

    def tick(self) -> None:
        """Do what is due every second."""
        self._log.log_omitted()
        if self._state is not None:
            self._safely(self._owner_admin.tick, self._state, self._clock.now_s())

    def remove(self, owner: str, done: Callable[[int], None], refuse: Callable[[RefusedError], None]) -> None:
        """Remove an owner with all its orders; call `done` with the number of active ones."""
        if self._state is None:
            refuse(RefusedError(UNAVAILABLE, self._trouble.reason or "the orders are still being loaded"))
        else:
            self._safely(self._owner_admin.remove, self._state, owner, done, refuse)

    def owners(
        self, done: Callable[[list[OwnerSummary]], None], refuse: Callable[[RefusedError], None]
    ) -> None:
        """List the owners with most active orders."""
        if self._state is None:
            refuse(RefusedError(UNAVAILABLE, self._trouble.reason or "the orders are still being loaded"))
        else:
            self._owner_admin.report_owners(done, refuse)

    def quoted(self, quotes: Iterable[Quote]) -> None:
        """Match orders with quotes that were just published."""
        if self._state is not None:
            self._safely(self._state.quoted, quotes)

    def add_instruments(self, symbols: Iterable[str]) -> None:
        """Accept orders in more instruments."""
        if (state := self._state or self._opening) is not None:
            self._safely(state.add_instruments, symbols)

    def remove_instruments(self, symbols: Collection[str]) -> bool:
        """Cancel some active orders in instruments that were removed; call it again while it returns True.

        While the store cannot be used they remain, as those in an instrument that is missing at a start.
        """
        state = self._state or self._opening
        return bool(state and self._safely(state.remove_instruments, symbols) and state.has_orders(symbols))

    def commands(self, gateway: str, commands: Iterable[Command]) -> None:
        """Execute commands of one gateway's sessions."""
        for command in commands:
            self._safely(self._command, gateway, command)

    def _command(self, gateway: str, command: Command) -> None:
        if isinstance(command, Attach):
            self._attach(gateway, command)
            return
        session = self._sessions.get((gateway, command.session))
        if session is None:  # it was disconnected, and its gateway did not know yet
            log.debug("command of a closed session", extra={"link": gateway})
        elif isinstance(command, Detach):
            self._detach(session)
        elif isinstance(command, Received):
            self._received(session, command.seq)
        else:
            self._execute(session, command)

    def left(self, gateway: str) -> None:
        """End all sessions of a gateway."""
        for session in [one for one in self._sessions.values() if one.gateway == gateway]:
            self._safely(self._detach, session)
        self._outbox.left(gateway)

    # Results of the store.

    def opened(self, found: LoadedOrders) -> None:
        """Start from the stored orders."""
        self._notifier.store, self._lost = found.store, self._lost or found.lost
        if not self._offers:
            self._offers = remaining_offers(found.remaining)
        state = self._opening = self._new_state(self._offers)
        state.walk(self.books)
        self._safely(state.load, found, partial(self._ready, state))

    def refused(self, reason: str, *, fatal: bool) -> None:
        """Report that the store cannot be opened."""
        self._report_trouble(reason, fatal=fatal)

    def failed(self, items: list[Item], reason: str, *, fatal: bool) -> None:
        """Discard everything that is not stored, refuse the commands that waited for it, and start again."""
        if (state := self._state or self._opening) is not None:
            self._offers = state.close()
        self._state = self._opening = None
        self._report_trouble(reason, fatal=fatal)
        for session in self._sessions.values():
            session.attached, session.piece_end = False, 0
        for item in [*items, *self._store.forget(reopen=not fatal), *self._limiter.remove_waiting()]:
            if isinstance(item, PendingReport) and isinstance(item.cause, Cause):
                item.cause.session.fail(item.cause.ref, UNAVAILABLE, reason)
            elif isinstance(item, Lookup):
                item.failed(reason)

    def stored(self, results: list[Stored]) -> None:
        """Send what is now stored, and let new orders go to the market."""
        for result in results:
            if self._state is None or not self._safely(self._notifier.notify, self._state, result):
                self._notifier.answer_only(result)

    def _on_fault(self) -> None:
        """Reload the stored orders after an internal error: the state in memory may be inconsistent."""
        if (state := self._state or self._opening) is not None:
            self._offers = state.close()
            self._state = self._opening = None
            self._report_trouble(FAULT, fatal=False)
            self._store.abandon(FAULT)

    def _ready(self, state: State) -> None:
        """Resume trading, and let sessions join."""
        self._state, self._opening = state, None
        self._trouble.works(active=state.active)
        for session in list(self._sessions.values()):
            self._join(state, session)

    def _report_trouble(self, reason: str, *, fatal: bool) -> None:
        """Report why orders cannot be accepted, and refuse queued commands."""
        if fatal and "restart" not in reason:
            reason += f"; {self._store.advice}"
        first = self._trouble.reason is None
        self._trouble.fails(reason)
        for session in [one for one in self._sessions.values() if first and not one.attached]:
            session.fail(0, UNAVAILABLE, reason)
            for command in self._pop_early(session):
                session.fail(command.ref, UNAVAILABLE, reason)

    # Sessions.

    def _attach(self, gateway: str, command: Attach) -> None:
        key = (gateway, command.session)
        if known := self._sessions.get(key):
            self._detach(known)
        owner = Owner(command.owner, anonymous=command.anonymous)
        session = OwnerSession(gateway, command.session, owner, self._outbox, command.address)
        self._sessions[key] = session
        if self._state is not None:
            self._join(self._state, session)
        elif self._trouble.reason is not None:
            session.fail(0, UNAVAILABLE, self._trouble.reason)

    def _join(self, state: State, session: OwnerSession) -> None:
        """Send the session what it missed, then all new reports; disconnect it if it is one too many."""
        try:
            owner = state.join(session)
        except RefusedError as refused:
            self._cut(session, refused.code, str(refused))
            return
        self._store.used(owner.name)
        self._read_on(state, session, owner.received)

    def _cut_slow(self, recipient: Recipient) -> None:
        if (session := self._sessions.get((recipient.gateway, recipient.number))) is not None:
            self._cut(
                session,
                "too_slow",
                "too much data is queued for this connection; its reports are sent when it reconnects",
            )

    def _cut(self, session: OwnerSession, code: str, reason: str) -> None:
        """End a session; its gateway sends the client the reason."""
        self._detach(session)
        self._outbox.end(session, code, reason)

    def _read_on(self, state: State, session: OwnerSession, after: int) -> None:
        session.piece_end = 0
        joined = partial(self._safely, self._joined, state, session)
        self._store.put(OwnerRead(session.owner.name, joined, after))

    def _joined(self, state: State, session: OwnerSession, found: OwnerState) -> None:
        if state is not self._state or session.gone:
            return
        received = session.owner.received
        for report in found.unread:
            if report.seq > received:
                session.send(Reported(session.number, 0, report, self._notifier.store))
        if len(found.unread) == MAX_UNREAD:
            session.piece_end = found.unread[-1].seq
            self._next_piece(state, session, received)
            return
        session.attached = True
        for command in self._pop_early(session):
            self._requests.do(state, session, command)

    def _detach(self, session: OwnerSession) -> None:
        del self._sessions[session.gateway, session.number]
        self._pop_early(session)
        session.end()
        self._limiter.session_ended(session)
        if self._state is not None:
            self._state.leave(session)

    def _next_piece(self, state: State, session: OwnerSession, seq: int) -> None:
        """Send the next piece of missed reports once this one has been received."""
        if 0 < session.piece_end <= seq:
            self._read_on(state, session, seq)

    def _received(self, session: OwnerSession, seq: int) -> None:
        owner = session.owner
        if (session.attached or session.piece_end) and seq > owner.received:
            owner.received = seq
            self._store.received(owner.name, seq)
        if self._state is not None:
            self._next_piece(self._state, session, seq)

    # Commands.

    def _execute(self, session: OwnerSession, command: SessionCommand) -> None:
        if self._trouble.reason is not None:
            session.fail(command.ref, UNAVAILABLE, self._trouble.reason)
        elif self._state is not None and session.attached:
            self._requests.do(self._state, session, command)
        elif len(session.waiting) < _MAX_EARLY and self._early < _MAX_EARLY_IN_ALL:
            self._early += 1
            session.waiting.append(command)
        else:
            session.fail(command.ref, "starting", "the orders are still being loaded; try again in a second")

    def _pop_early(self, session: OwnerSession) -> list[SessionCommand]:
        """Return, and remove, the commands that a session sent before it was attached."""
        waiting = list(session.waiting)
        session.waiting.clear()
        self._early -= len(waiting)
        return waiting
