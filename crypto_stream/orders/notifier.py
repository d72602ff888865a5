"""Sends stored results to all sessions of an owner, and answers the command that caused them."""

from __future__ import annotations

from crypto_stream.bus.orders import Failed, Reported, SessionMessage
from crypto_stream.market.orders import ExecType, Order, Report
from crypto_stream.orders.clock import Clock
from crypto_stream.orders.metrics import OrderLog
from crypto_stream.orders.owners import Cause, OwnerSession
from crypto_stream.orders.state import State
from crypto_stream.orders.writes import PendingReport, Stored


class Notifier:
    """Send and log what was stored; `store` is the identity of the open store."""

    def __init__(self, order_log: OrderLog, clock: Clock) -> None:
        self.store = ""
        self._log = order_log
        self._clock = clock

    def notify(self, state: State, result: Stored) -> None:
        """Send a result to the owner's sessions, and send a new order to the market."""
        pending, report, known = result
        owner = state.owners.get(report.order.owner)
        if known:
            state.withdraw(pending.report.order)
            self._answer(result)
            return
        if report.exec_type is ExecType.NEW:
            state.accept(report.order)
        for session in owner.sessions if owner is not None else ():
            if session.attached:
                session.send(Reported(session.number, _ref(pending, session), report, self.store))
        self._log.note(report, self._clock.now_s())

    def answer_only(self, result: Stored) -> None:
        """Answer only the command: other sessions read the report once the orders are loaded again."""
        self._answer(result)
        if not result.known:
            self._log.note(result.report, self._clock.now_s())

    def _answer(self, result: Stored) -> None:
        """Answer the command that caused the result, if any."""
        if isinstance(cause := result.pending.cause, Cause):
            number, order = cause.session.number, result.pending.report.order
            cause.session.send(_resent(number, cause.ref, order, result.report, self.store))


def _ref(pending: PendingReport, session: OwnerSession) -> int:
    cause = pending.cause
    return cause.ref if isinstance(cause, Cause) and cause.session is session else 0


def _resent(session: int, ref: int, order: Order, newest: Report, store: str) -> SessionMessage:
    """Answer a known client_order_id: with the newest report if the order is the same, else a refusal."""
    if newest.order.ticket == order.ticket:
        return Reported(session, ref, newest, store)
    name, known = order.ticket.client_order_id, newest.order.order_id
    reason = f"client_order_id: {name!r} was used for another order, {known}"
    return Failed(session, ref, "duplicate_client_order_id", reason)
