"""What is on the disk, sent: to all sessions of its owner, and to who asked for it."""

from __future__ import annotations

from crypto_stream.bus.orders import Failed, Happened, Told
from crypto_stream.market.orders import ExecType, Order, Report
from crypto_stream.orders.clock import Clock
from crypto_stream.orders.metrics import OrderLog
from crypto_stream.orders.owners import Cause, Session
from crypto_stream.orders.state import State
from crypto_stream.orders.writes import Decided, Stored


class Notifier:
    """Send what was stored, and have it logged; `store` is the identity of what is open."""

    def __init__(self, order_log: OrderLog, clock: Clock) -> None:
        self.store = ""
        self._log = order_log
        self._clock = clock

    def notify(self, state: State, result: Stored) -> None:
        """Send it to the sessions of the owner, and let a new order go to the market."""
        decided, report, known = result
        owner = state.owners.get(report.order.owner)
        if known:
            state.withdraw(decided.report.order.owner)
            self._answer(result)
            return
        if report.exec_type is ExecType.NEW:
            state.accept(report.order)
        for session in owner.sessions if owner is not None else ():
            if session.attached:
                session.send(Happened(session.number, _ref(decided, session), report, self.store))
        self._log.note(report, self._clock.now_s())

    def answer_late(self, result: Stored) -> None:
        """Answer who asked for what was written as memory was thrown away; others hear of it later."""
        self._answer(result)
        if not result.known:
            self._log.note(result.report, self._clock.now_s())

    def _answer(self, result: Stored) -> None:
        """Answer who asked for it, if somebody did."""
        if isinstance(cause := result.decided.cause, Cause):
            number, order = cause.session.number, result.decided.report.order
            cause.session.send(_resent(number, cause.ref, order, result.report, self.store))


def _ref(decided: Decided, session: Session) -> int:
    cause = decided.cause
    return cause.ref if isinstance(cause, Cause) and cause.session is session else 0


def _resent(session: int, ref: int, order: Order, newest: Report, store: str) -> Told:
    """Answer a new order whose name its owner has used before: how that one stands, if it is the same."""
    if newest.order.ticket == order.ticket:
        return Happened(session, ref, newest, store)
    name, known = order.ticket.client_order_id, newest.order.order_id
    reason = f"client_order_id: {name!r} is the name of another order, {known}"
    return Failed(session, ref, "duplicate_client_order_id", reason)
